"""The django-q2 functions of upkeep: telling admins, looking after the invariants. Nobody imports this module."""

from __future__ import annotations

import logging
import time
from itertools import groupby

from django.conf import settings
from django.core.mail import EmailMessage
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.invariants import INVARIANTS as OF_ACCOUNTS
from accounts.invariants import Invariant, Scope
from accounts.models import User
from generations import archive, invariants, lanes, services
from generations.invariants import INVARIANTS as OF_GENERATIONS
from generations.models import Alarm
from kling_platform import alarms

log = logging.getLogger(__name__)

VERIFY_EVERY = 5  # minutes
# No look begins after so many seconds: well before the task's timeout.
VERIFY_SECONDS = 45
PURGE_SECONDS = 45
SHOWN = 20  # alarms of a kind in one mail; the rest is counted


def tell_admins() -> int:
    """Send every admin who has an address one mail about what rang; how many alarms it tells of.

    One such task runs at a time. Killed between mail and note it tells twice: better than never.
    """
    token = lanes.enter("alarms")
    if token is None:
        return 0  # its holder was told to look once more
    told = 0
    try:
        while True:
            told += _tell()
            if lanes.leave("alarms", token):
                return told
    except BaseException:
        lanes.abandon("alarms", token)  # the schedule tries again
        raise


def _tell() -> int:
    found = alarms.untold()
    admins = User.objects.filter(role=User.Role.ADMIN, is_active=True).exclude(email="").order_by("pk")
    addresses = list(admins.values_list("email", flat=True))
    if not found or not addresses:
        return 0
    kinds = {alarm.kind: alarm.get_kind_label() for alarm in found}
    subject = _("Alarm: %(what)s") % {"what": "; ".join(kinds.values())}
    mail = EmailMessage(subject[:200], _body(found), None, addresses)
    mail.send()
    alarms.note_told(found)
    return len(found)


def _body(found: list[Alarm]) -> str:
    parts = []
    for _kind, group in groupby(found, key=lambda alarm: alarm.kind):
        rows = list(group)
        lines = [f"{rows[0].get_kind_label()}\n"]
        lines += [f"  {row.first_at:%Y-%m-%d %H:%M} {row.text}{_times(row)}" for row in rows[:SHOWN]]
        if len(rows) > SHOWN:
            lines.append(_("  and %(count)d more") % {"count": len(rows) - SHOWN})
        parts.append("\n".join(lines))
    end = _("You hear of each kind once an hour at most. Times are UTC.")
    return "\n\n".join([*parts, f"{end}\n{settings.PUBLIC_URL}/admin/\n"])


def _times(row: Alarm) -> str:
    if row.times == 1:
        return ""
    return ngettext(" (%(times)d time)", " (%(times)d times)", row.times) % {"times": row.times}


def verify() -> int:
    """Look at the newest steps and at a part of all history; an alarm for each breach, and never a repair.

    ``manage.py verify`` looks at everything. Returns how many invariants are breached.
    """
    ends = time.monotonic() + VERIFY_SECONDS
    number = int(time.time() // (VERIFY_EVERY * 60))
    breached = 0
    for scope in (invariants.newest(), invariants.part(number)):
        for invariant in (*OF_ACCOUNTS, *OF_GENERATIONS):
            if time.monotonic() > ends:
                log.warning("verify had no time for: %s", invariant.name)
            elif not invariant.whole:
                breached += _verified(invariant, scope)
    return breached


def _verified(invariant: Invariant, scope: Scope) -> bool:
    """Whether it is breached. What a second look no longer sees was a file that came or went between two questions."""
    breaches = invariant.breaches(scope) and invariant.breaches(scope)
    if not breaches:
        return False
    more = f" (and {len(breaches) - 1} more)" if len(breaches) > 1 else ""
    alarms.ring(Alarm.Kind.BREACH, f"{invariant.name}: {breaches[0][:200]}{more}")
    return True


def purge() -> int:
    """Remove the files and words of what was deleted long ago, was kept long enough, or belongs to those who left.

    Returns how many. What one task has no time for, the next does: the schedule comes every ten minutes.
    """
    ends = time.monotonic() + PURGE_SECONDS
    services.delete_expired()
    services.hide_content_of_leavers()
    purged = 0
    while time.monotonic() < ends and (found := services.due_purges()):
        for due in found:
            archive.remove(*due.files)
            purged += services.record_purged(due)
    services.forget_leavers()
    return purged
