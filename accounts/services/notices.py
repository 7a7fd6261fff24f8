"""Telling people: a line in their inbox, and for who wants it a letter by a task."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models.functions import Now
from django_q.tasks import async_task

from accounts.models import Notice, User

# A letter for these, whatever was chosen: somebody waits for an answer, just got one, or has to act.
ALWAYS_MAILED = (Notice.Kind.ASKED, Notice.Kind.DECIDED, Notice.Kind.LOW, Notice.Kind.WEBHOOK)


def notify(users: Iterable[User], kind: str, *, link: str = "", **facts: Any) -> list[Notice]:
    """Tell each of them; in the transaction of what happened."""
    notices = Notice.objects.bulk_create(
        Notice(user=user, kind=kind, link=link, facts=facts) for user in users if user.is_active
    )
    for notice in notices:
        if notice.user.email and (kind in ALWAYS_MAILED or kind in notice.user.mailed_kinds):
            async_task("accounts.tasks.mail_notice", notice.pk)
    return notices


def unread(user: User) -> int:
    """How many things this person has not looked at, up to a hundred."""
    return len(Notice.objects.filter(user=user).unread().values_list("pk")[:100])


def mark_read(user: User, upto: int | None = None) -> None:
    """Everything, or everything up to a notice, has been looked at."""
    rows = Notice.objects.filter(user=user).unread()
    if upto is not None:
        rows = rows.filter(pk__lte=upto)
    rows.update(read_at=Now())


def record_notice_mailed(notice_id: int) -> bool:
    """The letter is out. False when another task was faster."""
    return Notice.objects.filter(pk=notice_id, mailed_at__isnull=True).update(mailed_at=Now()) == 1
