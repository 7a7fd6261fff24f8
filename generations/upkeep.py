"""The django-q2 functions of upkeep: look after the invariants, remove what is over. Nobody imports this module."""

from __future__ import annotations

import logging
import time

from accounts.invariants import INVARIANTS as OF_ACCOUNTS
from accounts.invariants import Invariant, Scope
from generations import archive, invariants, services
from generations.invariants import INVARIANTS as OF_GENERATIONS
from generations.models import Alarm
from kling_platform import alarms

log = logging.getLogger(__name__)

VERIFY_EVERY = 5  # minutes
# No look begins after so many seconds: well before the task's timeout.
VERIFY_SECONDS = 45
PURGE_SECONDS = 45


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
