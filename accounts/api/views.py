"""``/v1/quota``: what the owner of a key may still spend."""

from __future__ import annotations

from typing import cast

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import quotas
from accounts.api.serializers import QuotaSerializer, as_quota
from accounts.models import ApiKey, User
from kling_platform.api_views import ApiView
from kling_platform.documents import answers


class OwnQuota(ApiView):
    @extend_schema(
        operation_id="get_quota",
        tags=["account"],
        summary=_("What is left to spend"),
        description=_(
            "Your quota, and the key's own if it has one. A generation is paid from all of them or from none: "
            "its price is held when it is taken, charged when its video is made, and returned when it fails."
        ),
        responses=answers(QuotaSerializer),
    )
    def get(self, request: Request) -> Response:
        return Response(
            as_quota(quotas.balances(cast(User, request.user), api_key=cast(ApiKey, request.auth)))
        )
