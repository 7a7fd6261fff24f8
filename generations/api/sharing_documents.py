"""What the documents say of links for people outside."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_view
from rest_framework import serializers

from generations import services
from generations.models import LINK_TITLE_LENGTH
from kling_platform.documents import answers, operation


class LinkRequestSerializer(serializers.Serializer[Any]):
    days = serializers.ChoiceField(
        sorted(services.LINK_DAYS),
        required=False,
        default=services.LINK_DAYS[0],
        help_text=_("How long it lasts."),
    )
    downloads = serializers.BooleanField(
        required=False, default=False, help_text=_("Whether the film may be kept, or only watched.")
    )
    title = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=LINK_TITLE_LENGTH,
        help_text=_("What stands above it; the prompt is never shown."),
    )


class LinkSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.ChoiceField(["share_link"])
    generation_id = serializers.UUIDField(help_text=_("Of the video."))
    url = serializers.URLField(
        allow_null=True,
        help_text=_(
            "The page that opens, for everybody who has it. null once the platform's secret was changed: it still "
            "works, but can't be told again."
        ),
    )
    title = serializers.CharField(allow_blank=True, help_text=_("What stands above it."))
    downloads = serializers.BooleanField(help_text=_("Whether the film may be kept."))
    created_at = serializers.IntegerField(help_text=_("Unix seconds."))
    expires_at = serializers.IntegerField(help_text=_("Unix seconds."))
    opened = serializers.IntegerField(min_value=0, help_text=_("How often its page was opened."))
    last_opened_at = serializers.IntegerField(allow_null=True, help_text=_("Unix seconds."))


class LinkListSerializer(serializers.Serializer[Any]):
    object = serializers.ChoiceField(["list"])
    data = LinkSerializer(many=True)  # type: ignore[assignment] # a field
    first_id = serializers.UUIDField(allow_null=True)
    last_id = serializers.UUIDField(allow_null=True)
    has_more = serializers.BooleanField()


class LinkDeletedSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.ChoiceField(["share_link"])
    deleted = serializers.BooleanField()


_operation = partial(operation, "videos")


links = extend_schema_view(
    get=_operation(
        "list_share_links",
        _("List the share links to a video"),
        _("Those that have neither ended nor been revoked, newest first: 50 at most, so there is one page."),
        responses=answers(LinkListSerializer, 404),
    ),
    post=_operation(
        "create_share_link",
        _("Make a share link"),
        _(
            "Whoever has it watches this one video without an account, until it ends or is revoked. 409 while the "
            "video is not ready; 403 where its team, or the platform, makes no links."
        ),
        request=LinkRequestSerializer,
        responses=answers(LinkSerializer, 400, 404, 409, 413, 415),
    ),
)
link = extend_schema_view(
    delete=_operation(
        "revoke_share_link",
        _("Revoke a share link"),
        _("It opens nothing any more, from now on. Doing it again changes nothing."),
        responses=answers(LinkDeletedSerializer, 404),
    )
)
