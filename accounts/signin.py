"""Signing in, for the portal and for ``/admin/``: one form, one count of tries."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts import throttle
from accounts.models import User

logger = logging.getLogger(__name__)


class SignInForm(AuthenticationForm):
    """Name and password. Wrong, unknown and suspended sound the same.

    Over the limit the form has an error with the code ``too_many_tries``, and ``retry_after`` says after
    how many seconds to come back; the view answers 429.
    """

    error_messages = {
        "invalid_login": _("Name and password do not match, or the account is suspended."),
        "inactive": _("Name and password do not match, or the account is suspended."),
    }
    retry_after: int | None = None

    def clean(self) -> dict[str, Any]:
        name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if not (name and password):
            return self.cleaned_data
        # Behind a proxy this is the proxy's address, and the limit is one per name: a header that
        # anybody can send must not open more tries.
        address = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        try:
            throttle.check(name, address)
        except throttle.TooManyTries as refusal:
            logger.warning("sign-in refused: too many tries from %s", address)
            self.retry_after = refusal.retry_after
            raise ValidationError(str(refusal), code=refusal.code) from refusal
        cleaned = super().clean()  # raises where name and password do not match
        throttle.forget(name, address)
        return cleaned


class AdminSignInForm(SignInForm):
    """The same for ``/admin/``, which is open to admins alone."""

    error_messages = {
        **SignInForm.error_messages,
        "not_admin": _(
            "This part is for admins. Your own pages are at the portal; ask an admin for the role."
        ),
    }
    required_css_class = "required"

    def confirm_login_allowed(self, user: User) -> None:
        super().confirm_login_allowed(user)
        if not (user.role == User.Role.ADMIN and user.is_staff):
            raise ValidationError(self.error_messages["not_admin"], code="not_admin")
