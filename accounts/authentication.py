"""Hands an API key to DRF. The one authenticator of ``/v1``: sessions and cookies do not count there."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts import keys
from accounts.models import ApiKey, User
from kling_platform.errors import Suspended


class KeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer klp_…``. ``request.user`` is the owner, ``request.auth`` the key."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        scheme, _space, text = get_authorization_header(request).decode("latin-1").partition(" ")
        if not scheme:
            return None
        text = text.strip() if scheme.lower() == "bearer" else ""
        key = keys.find(text)
        if key is None:
            unknown = _("This API key is not known here. Make one on your account page.")
            raise AuthenticationFailed(keys.why_ended(text) or unknown)
        if not key.user.is_active:
            raise Suspended(_("This account is suspended. Ask an admin."))
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
