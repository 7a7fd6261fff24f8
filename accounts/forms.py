"""What people type about themselves."""

from __future__ import annotations

from django.contrib.auth.forms import PasswordChangeForm


class NewPasswordForm(PasswordChangeForm):
    """The old one, and the new one twice; errors in the words of the validators."""

    field_order = ["old_password", "new_password1", "new_password2"]
