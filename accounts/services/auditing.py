"""Who did what: one line in the transaction of the change."""

from __future__ import annotations

from typing import Any

from accounts.models import AuditEntry, User
from kling_platform import origin


def audit(action: str, subject: object, *, actor: User | None, **detail: Any) -> None:
    """One line of who did what, and from where; to be called inside the transaction of the change."""
    AuditEntry.objects.create(
        actor=actor, action=action, subject=str(subject)[:200], address=origin.address(), detail=detail
    )
