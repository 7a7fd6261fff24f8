"""What an admin types about people and quotas. Rules are in the services."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.forms import BaseUserCreationForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey, Quota, User
from kling_platform.text import whole_number


class NewUserForm(BaseUserCreationForm):
    """A person with a password, a role and a quota at once."""

    email = forms.EmailField(label=_("Email"), required=False)
    role = forms.ChoiceField(label=_("Role"), choices=User.Role.choices, initial=User.Role.MEMBER)
    credits = forms.IntegerField(
        label=_("Credits per period"),
        min_value=0,
        max_value=settings.MAX_CREDITS,
        required=False,
        help_text=_("Empty: what everybody new gets."),
    )
    period = forms.ChoiceField(
        label=_("Period"), choices=Quota.Period.choices, initial=Quota.Period.MONTH, required=False
    )

    class Meta(BaseUserCreationForm.Meta):
        model = User
        fields = ("username", "email")


class NewQuotaForm(forms.ModelForm):
    """A quota for a period for which its owner has none yet."""

    class Meta:
        model = Quota
        fields = ("user", "api_key", "credits", "period")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if bool(cleaned.get("user")) == bool(cleaned.get("api_key")) and not self.errors:
            raise ValidationError(_("A quota is for one user, or for one API key."), code="one_owner")
        return cleaned

    @property
    def owner(self) -> User | ApiKey:
        """Whom it is for, once the form is valid."""
        found: User | ApiKey = self.cleaned_data["user"] or self.cleaned_data["api_key"]
        return found


class ReasonForm(forms.Form):
    """Why; kept in journal and audit."""

    reason = forms.CharField(
        label=_("Reason"), max_length=200, widget=forms.TextInput(attrs={"class": "vTextField"})
    )


class SetQuotaForm(ReasonForm):
    """``seen`` carries the versions that the editor looked at: "1:4,2:1"."""

    credits = forms.IntegerField(label=_("Credits per period"), min_value=0, max_value=settings.MAX_CREDITS)
    seen = forms.CharField(widget=forms.HiddenInput)
    field_order = ["credits", "reason", "seen"]

    def version(self, quota_id: int) -> int:
        """The version of a quota that the editor saw; 0, which nothing has, when it was not on the page."""
        pairs = (pair.partition(":") for pair in self.cleaned_data["seen"].split(","))
        seen = {key: value for key, _colon, value in pairs}.get(str(quota_id), "")
        return whole_number(seen, most=10**9) or 0


class GrantForm(ReasonForm):
    credits = forms.IntegerField(label=_("Credits to add"), min_value=1, max_value=settings.MAX_CREDITS)
    field_order = ["credits", "reason"]


class AdjustForm(ReasonForm):
    credits = forms.IntegerField(
        label=_("Credits to add, or to take (−)"),
        min_value=-settings.MAX_CREDITS,
        max_value=settings.MAX_CREDITS,
        help_text=_("A cut takes at most what is available: what is spent or held stays."),
    )
    field_order = ["credits", "reason"]

    def clean_credits(self) -> int:
        credits: int = self.cleaned_data["credits"]
        if credits == 0:
            raise ValidationError(_("Nought changes nothing."), code="zero")
        return credits
