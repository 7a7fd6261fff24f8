"""Who goes next: fair share under the cap, and the circuit breaker. Database only.

Everything here happens under the lock of the one ``Upstream`` row, so eight dispatchers and a cap of 20
never make 21. A claim is made in the breath in which it is sent: the caller sends at once.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Max, Q, Window
from django.db.models.functions import Now, RowNumber

from accounts.models import User
from generations import epoch, lifecycle
from generations.models import TERMINAL, Alarm, Generation, Status, Upstream
from kling_platform import alarms
from kling_platform.failpoints import reach

log = logging.getLogger(__name__)

DOUBT_WITHOUT_ID = timedelta(hours=72)
DOUBT_HOLDS_SLOT = timedelta(minutes=30)
GROWS_BACK_EVERY = timedelta(minutes=1)
CONNECT_WINDOW = timedelta(seconds=30)
DOUBTS_OPEN = 2
CONNECT_FAILURES_OPEN = 3
# Seconds that an open circuit waits: first and longest, for a broken line and for a fault of our account.
LINE_WAIT = (5, 60)
ACCOUNT_WAIT = (60, 600)


@dataclass(frozen=True)
class Claim:
    """The right to send one generation, once, until the lease is over."""

    generation_id: uuid.UUID
    token: uuid.UUID


def database_now() -> datetime:
    """The database's clock, which all workers share."""
    Upstream.objects.get_or_create(pk=1)
    return Upstream.objects.annotate(now=Now()).values_list("now", flat=True).get(pk=1)


@transaction.atomic(savepoint=False)
def locked() -> tuple[Upstream, datetime]:
    """The one row, locked until the caller's transaction ends, and the database's clock."""
    rows = Upstream.objects.select_for_update().annotate(now=Now()).filter(pk=1)
    row = rows.first()
    if row is None:
        Upstream.objects.get_or_create(pk=1)
        row = rows.get()
    return row, row.now


class ForeignRows(Exception):
    """Open rows belong to another upstream, key or time; ``manage.py fence`` says how to go on."""


@transaction.atomic
def adopt_epoch() -> None:
    """Make sure that the open rows are this upstream's and of this time; where none is open, adopt it.

    Raises ``ForeignRows``.
    """
    row, _now = locked()
    account, seen = epoch.account(), epoch.sends_seen(row.database)
    if (row.host, row.key_fingerprint) == account and seen <= row.sends:
        return
    if seen > row.sends and Generation.objects.open().exists():
        raise ForeignRows("the database is older than what this worker has sent: it was restored")
    if Generation.objects.open().exclude(status=Status.QUEUED).exists():
        raise ForeignRows("open generations belong to another upstream or key")
    _adopt(account, max(row.sends, seen))


def _adopt(account: epoch.Account, sends: int) -> None:
    log.warning("upstream is now %s with the key %s…", account.host, account.key_fingerprint[:4])
    Upstream.objects.filter(pk=1).update(**account._asdict(), sends=sends)


@transaction.atomic
def fence(*, same_account: bool) -> dict[str, int]:
    """Park every row that upstream may have without our knowing, and go on from here.

    After a restore or a copy: what waits or was being sent becomes unknown, for it may have been sent since.
    With ``same_account`` (only the key was changed) nothing is parked. Returns how many of each state.
    """
    row, now = locked()
    parked: dict[str, int] = {}
    for status in () if same_account else (Status.QUEUED, Status.SUBMITTING):
        rows = Generation.objects.filter(status=status).values_list("pk", flat=True)
        parked[status] = sum(
            lifecycle.transition(
                pk,
                status,
                Status.UNKNOWN,
                note="fenced",
                claim_token=None,
                submitted_at=now,
                next_check_at=now + DOUBT_WITHOUT_ID,
            )
            for pk in list(rows)
        )
    _adopt(epoch.account(), max(row.sends, epoch.sends_seen(row.database)))
    return parked


def in_flight() -> Any:
    """Generations that hold a slot."""
    return Generation.objects.filter(holds_slot())


def holds_slot() -> Q:
    """Sent or being sent, and fresh doubts that may be running after all."""
    fresh = Now() - DOUBT_HOLDS_SLOT
    return Q(status__in=[Status.SUBMITTING, Status.RUNNING]) | Q(
        status=Status.UNKNOWN, submitted_at__gte=fresh
    )


def claim(most: int) -> list[Claim]:
    """Claim up to ``most`` queued generations in fair order; empty when the circuit or the cap says no.

    While the circuit is trying, one POST at most is out.
    """
    with transaction.atomic():
        upstream, claims = _claim(most)
    if claims:
        # After the commit, so that nothing is remembered that never was, and before the first byte is sent.
        epoch.remember(upstream.database, upstream.sends + len(claims))
        reach("dispatch.remembered")
    return claims


def _claim(most: int) -> tuple[Upstream, list[Claim]]:
    upstream, now = locked()
    claims: list[Claim] = []
    if upstream.paused_at or upstream.circuit == Upstream.Circuit.OPEN:
        return upstream, claims
    free = cap_now(upstream, now) - in_flight().count()
    if upstream.circuit == Upstream.Circuit.TRYING:
        trying = Generation.objects.filter(status=Status.SUBMITTING).exists()
        free = 0 if trying else min(free, 1)
    for generation_id in _fair_order(min(free, most)):
        token = uuid.uuid4()
        if lifecycle.transition(
            generation_id,
            Status.QUEUED,
            Status.SUBMITTING,
            claim_token=token,
            next_check_at=now + timedelta(seconds=settings.SUBMIT_LEASE),
            submitted_at=now,
        ):
            claims.append(Claim(generation_id, token))
            reach("dispatch.claimed")
    if claims:
        Upstream.objects.filter(pk=1).update(sends=F("sends") + len(claims))
    return upstream, claims


def has_work() -> bool:
    """A look without a lock: could a dispatcher send, or probe, now?"""
    upstream = Upstream.objects.annotate(now=Now()).filter(pk=1).first()
    if upstream is None or upstream.paused_at or not Generation.objects.sendable().exists():
        return False
    if upstream.circuit == Upstream.Circuit.OPEN:
        return upstream.open_until is None or upstream.open_until <= upstream.now
    return in_flight().count() < cap_now(upstream, upstream.now)


def _fair_order(most: int) -> list[uuid.UUID]:
    """Ids of queued and due generations: round-robin by user, counting what each has in flight."""
    if most <= 0:
        return []
    busy: dict[int, int] = dict(
        in_flight().order_by().values_list("user_id").annotate(n=Count("pk")).values_list("user_id", "n")
    )
    place = Window(RowNumber(), partition_by="user_id", order_by=["created_at", "id"])
    waiting = (
        Generation.objects.sendable()
        .order_by()
        .annotate(place=place)
        .filter(place__lte=most)
        .values_list("place", "user_id", "created_at", "id")
    )
    ordered = sorted(waiting, key=lambda row: (row[0] + busy.get(row[1], 0), row[2], row[3]))
    return [row[3] for row in ordered[:most]]


def cap_now(upstream: Upstream, now: datetime) -> int:
    """The cap of this moment: what 429 left of it, grown back by one a minute."""
    most = settings.OMNIMAAS_MAX_IN_FLIGHT
    if not upstream.cap:
        return most
    grown = int((now - upstream.cap_changed_at) / GROWS_BACK_EVERY)
    return min(most, upstream.cap + max(grown, 0))


@transaction.atomic
def note_success() -> None:
    """An answer to a POST that upstream understood: the line and the account are well."""
    upstream, now = locked()
    if upstream.open_since:
        _forgive(now - upstream.open_since)
    if upstream.circuit != Upstream.Circuit.CLOSED or upstream.doubts or upstream.connect_failures:
        Upstream.objects.filter(pk=1).update(
            circuit=Upstream.Circuit.CLOSED,
            circuit_reason="",
            open_since=None,
            open_until=None,
            open_seconds=0,
            doubts=0,
            connect_failures=0,
        )


def _forgive(waited: timedelta) -> None:
    """Nobody is to blame for the time in which nothing could be sent."""
    Generation.objects.filter(status=Status.QUEUED).update(give_up_at=F("give_up_at") + waited)


@transaction.atomic
def pause(*, reason: str, actor: User) -> bool:
    """Send nothing more until ``resume``; what is running goes on. False when that was so already."""
    _upstream, now = locked()
    rows = Upstream.objects.filter(pk=1, paused_at__isnull=True)
    return rows.update(paused_at=now, paused_reason=reason, paused_by=actor) == 1


@transaction.atomic
def resume() -> bool:
    """Send again. False when nothing was paused."""
    upstream, now = locked()
    if not upstream.paused_at:
        return False
    # Once for a time in which the circuit was open as well.
    since = upstream.paused_at
    if not upstream.open_since:
        _forgive(now - since)
    elif since < upstream.open_since:
        _forgive(upstream.open_since - since)
    Upstream.objects.filter(pk=1).update(paused_at=None, paused_reason="", paused_by=None)
    return True


@transaction.atomic
def note_throttled() -> None:
    """Too many in flight: the cap falls to what was running besides this one, and the line is well."""
    note_success()
    upstream, now = locked()
    running = Generation.objects.filter(status=Status.RUNNING).count()
    cap = max(1, min(cap_now(upstream, now) - 1, running or 1))
    Upstream.objects.filter(pk=1).update(cap=cap, cap_changed_at=now)


@transaction.atomic
def note_doubt(reason: str) -> bool:
    """A POST that may or may not have created something. True when this opened the circuit."""
    upstream, now = locked()
    doubts = upstream.doubts + 1
    Upstream.objects.filter(pk=1).update(doubts=doubts)
    if doubts >= DOUBTS_OPEN or upstream.circuit == Upstream.Circuit.TRYING:
        return _open(upstream, now, LINE_WAIT, reason)
    return False


@transaction.atomic
def note_not_sent(reason: str) -> bool:
    """A connection that did not come about. True when this opened the circuit."""
    upstream, now = locked()
    recent = upstream.connect_failed_at and now - upstream.connect_failed_at < CONNECT_WINDOW
    failures = upstream.connect_failures + 1 if recent else 1
    changes: dict[str, Any] = {"connect_failures": failures}
    if failures == 1:
        changes["connect_failed_at"] = now  # the window begins with its first failure
    Upstream.objects.filter(pk=1).update(**changes)
    if failures >= CONNECT_FAILURES_OPEN or upstream.circuit == Upstream.Circuit.TRYING:
        return _open(upstream, now, LINE_WAIT, reason)
    return False


@transaction.atomic
def note_account_fault(reason: str) -> bool:
    """Upstream refuses *us*: no member can mend that. True when this opened the circuit."""
    upstream, now = locked()
    return _open(upstream, now, ACCOUNT_WAIT, reason)


def _open(upstream: Upstream, now: datetime, wait: tuple[int, int], reason: str) -> bool:
    """Open the circuit, for twice as long as the last time it did not hold."""
    first, longest = wait
    if upstream.circuit == Upstream.Circuit.OPEN and upstream.open_seconds >= first:
        return False  # a straggler of the same trouble
    seconds = min(longest, max(first, upstream.open_seconds * 2))
    Upstream.objects.filter(pk=1).update(
        circuit=Upstream.Circuit.OPEN,
        circuit_reason=reason[:200],
        open_since=upstream.open_since or now,
        open_until=now + timedelta(seconds=seconds),
        open_seconds=seconds,
        open_most=longest,
    )
    opened = upstream.circuit == Upstream.Circuit.CLOSED
    if opened:  # one that was tried and failed again is the same trouble
        alarms.ring(Alarm.Kind.CIRCUIT, reason or "upstream gave no reason")
    return opened


@transaction.atomic
def probe_due() -> bool:
    """Whether the circuit is open and its wait is over; whoever is told so probes."""
    upstream, now = locked()
    if upstream.circuit != Upstream.Circuit.OPEN or not upstream.open_until or upstream.open_until > now:
        return False
    # The next prober waits as long again, should this one die.
    Upstream.objects.filter(pk=1).update(open_until=now + timedelta(seconds=upstream.open_seconds))
    return True


@transaction.atomic
def note_probe(alive: bool) -> None:
    """After a probe: one POST may try, or the circuit stays open for longer."""
    upstream, now = locked()
    if upstream.circuit != Upstream.Circuit.OPEN:
        return
    if alive:
        Upstream.objects.filter(pk=1).update(circuit=Upstream.Circuit.TRYING)
        return
    seconds = min(upstream.open_most, upstream.open_seconds * 2)
    Upstream.objects.filter(pk=1).update(open_seconds=seconds, open_until=now + timedelta(seconds=seconds))


def newest_known_id() -> str:
    """An id that upstream should know and nobody polls, for a probe; a made-up one where there is none."""
    over = Generation.objects.filter(upstream_id__isnull=False, status__in=TERMINAL)
    newest = over.aggregate(at=Max("submitted_at"))["at"]
    found = over.filter(submitted_at=newest).values_list("upstream_id", flat=True).first()
    return found or uuid.uuid4().hex
