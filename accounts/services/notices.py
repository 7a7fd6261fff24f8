"""Telling people: a line in their inbox, and for who wants it a letter by a task."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from accounts.models import Notice, User
from kling_platform.errors import InvalidValue

# A letter for these, whatever was chosen: somebody waits for an answer, just got one, or has to act.
ALWAYS_MAILED = (Notice.Kind.ASKED, Notice.Kind.DECIDED, Notice.Kind.LOW, Notice.Kind.WEBHOOK)
# A letter for these only for who chose so, and one for all that come within a few minutes.
GATHERED = (Notice.Kind.DONE, Notice.Kind.FAILED)
GATHER_FOR = timedelta(minutes=3)
# A letter that could not be sent is tried again after this, until its news are a day old.
TRY_AGAIN, NEWS_FOR = timedelta(minutes=10), timedelta(days=1)


def notify(users: Iterable[User], kind: str, *, link: str = "", **facts: Any) -> list[Notice]:
    """Tell each of them; in the transaction of what happened."""
    notices = Notice.objects.bulk_create(
        Notice(user=user, kind=kind, link=link, facts=facts, mail_at=_gathered(user, kind))
        for user in users
        if user.is_active
    )
    for notice in notices:
        if notice.user.email and kind in ALWAYS_MAILED:
            async_task("accounts.tasks.mail_notice", notice.pk)
    return notices


def _gathered(user: User, kind: str) -> Any:
    """When the letter with this in it is due, for who wants one."""
    return Now() + GATHER_FOR if kind in GATHERED and kind in user.mailed_kinds and user.email else None


def unread(user: User) -> list[int]:
    """What this person has not looked at, newest first; up to a hundred."""
    return list(Notice.objects.filter(user=user).unread().newest_first().values_list("pk", flat=True)[:100])


def mark_read(user: User, upto: int | None = None) -> None:
    """Everything, or everything up to a notice, has been looked at."""
    rows = Notice.objects.filter(user=user).unread()
    if upto is not None:
        rows = rows.filter(pk__lte=upto)
    rows.update(read_at=Now())


def mark_seen(user: User, ids: Iterable[int]) -> None:
    """These, as far as they are this person's, have been looked at."""
    Notice.objects.filter(user=user, pk__in=ids).unread().update(read_at=Now())


def mark_read_about(user: User, link: str) -> None:
    """This person looks at the very thing."""
    Notice.objects.filter(user=user, link=link).unread().update(read_at=Now())


def forget_notices(users: Iterable[int], *, link: str | None = None) -> None:
    """What these people (by id) were told goes, all of it or what led to this place: its words are purged."""
    rows = Notice.objects.filter(user__in=users)
    (rows if link is None else rows.filter(link=link)).delete()


def choose_letters(user: User, kinds: Collection[str], *, language: str) -> None:
    """This person wants letters about these kinds of ``GATHERED``, in this language, from now on."""
    if not set(kinds) <= set(GATHERED):
        raise InvalidValue(_("There are no letters about that."), param="kinds")
    if kinds and not user.email:
        raise InvalidValue(_("No e-mail address of yours is known. Ask an admin to enter it."), param="kinds")
    user.mailed_kinds, user.language = sorted(kinds), language[:10]
    user.save(update_fields=["mailed_kinds", "language"])
    if not kinds:
        Notice.objects.filter(user=user).to_mail().update(mail_at=None)


# --- letters, as tasks send them ------------------------------------------------


def record_notice_mailed(notice_id: int) -> bool:
    """The letter is out. False when another task was faster."""
    return Notice.objects.filter(pk=notice_id, mailed_at__isnull=True).update(mailed_at=Now()) == 1


def letters_due() -> list[int]:
    """Ids of those whose gathered letter is due."""
    return list(Notice.objects.to_mail().filter(mail_at__lte=Now()).values_list("user", flat=True).distinct())


def claim_letter(user_id: int) -> list[Notice]:
    """What stands in this person's letter, oldest first: all that waits and was not read meanwhile.

    Empty when nothing is left to tell, or another task is at it. Claiming plans the next try.
    """
    waiting = Notice.objects.filter(user=user_id).to_mail()
    waiting.exclude(read_at=None).update(mail_at=None)
    waiting.filter(created_at__lt=Now() - NEWS_FOR).update(mail_at=None)
    if not waiting.filter(mail_at__lte=Now()).update(mail_at=Now() + TRY_AGAIN):
        return []
    return list(waiting.select_related("user").order_by("pk"))


def record_letter_mailed(notices: Iterable[Notice]) -> None:
    """The letter with these is out."""
    Notice.objects.filter(pk__in=[notice.pk for notice in notices]).update(mailed_at=Now())
