"""What people type about themselves."""

from __future__ import annotations

from django import forms
from django.contrib.auth.forms import PasswordChangeForm


class NewPasswordForm(PasswordChangeForm):
    """The old one, and the new one twice; errors in the words of the validators."""

    field_order = ["old_password", "new_password1", "new_password2"]


class KeyForm(forms.Form):
    """A name for a new API key; the service judges it."""

    label = forms.CharField(required=False, strip=True)
    read_only = forms.BooleanField(required=False)
