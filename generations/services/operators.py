"""Who may decide what no member can: one rule for doubts, prices, and the switch that stops the sending."""

from __future__ import annotations

from django.utils.translation import gettext as _

from accounts.models import User
from kling_platform.errors import Forbidden


def check_operator(actor: User) -> None:
    """``Forbidden`` for everybody but an active admin."""
    if actor.role != User.Role.ADMIN or not actor.is_active:
        raise Forbidden(_("Only an admin may do this."))
