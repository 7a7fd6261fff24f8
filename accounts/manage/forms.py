"""What people type on the pages of ``/manage/``. Rules are in the services."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.models import Quota, Team, User
from kling_platform.errors import PlatformError


class ServiceForm(forms.Form):
    """A form whose judge is a service: a refusal stands beside the field that it names."""

    def show(self, refusal: PlatformError) -> None:
        self.add_error(refusal.param if refusal.param in self.fields else None, str(refusal))


class InviteForm(ServiceForm):
    """Whom, as what, into which teams. Only an admin is asked for role and credits."""

    email = forms.CharField(label=_("E-mail"), max_length=254)
    role = forms.ChoiceField(label=_("Role"), choices=User.Role.choices, initial=User.Role.MEMBER)
    teams = forms.ModelMultipleChoiceField(
        label=_("Teams"), queryset=Team.objects.none(), required=False, widget=forms.CheckboxSelectMultiple
    )
    credits = forms.IntegerField(
        label=_("Credits"), min_value=0, max_value=settings.MAX_CREDITS, required=False
    )
    period = forms.ChoiceField(label=_("Per"), choices=Quota.Period.choices, initial=Quota.Period.MONTH)

    def __init__(self, *args: Any, actor: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        teams: Any = self.fields["teams"]
        teams.queryset = Team.objects.managed_by(actor).order_by("name")
        if actor.role != User.Role.ADMIN:
            for name in ("role", "credits", "period"):
                del self.fields[name]


class JoinForm(ServiceForm):
    """A name and a password of one's own."""

    username = forms.CharField(max_length=150)
    password = forms.CharField(strip=False)
    again = forms.CharField(strip=False)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "again" in cleaned and cleaned.get("password") != cleaned["again"]:
            self.add_error("again", _("The two passwords are not the same."))
        return cleaned


class NewPasswordByLinkForm(JoinForm):
    """A password alone: the name is known."""

    username = None  # type: ignore[assignment]
