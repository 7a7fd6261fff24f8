"""Who is asked about next, and what the answers said: few statements, however many are in the making.

Claiming plans the next poll, so "still running" needs no write, and a crash no recovery.
"""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from accounts import ledger
from generations import dispatch, lifecycle
from generations.models import Generation, Status, Upstream
from generations.services.outcomes import fail_and_release
from generations.services.paces import Kind, gap
from generations.services.wakeups import wake_dispatch, wake_store
from kling_platform.failpoints import reach

log = logging.getLogger(__name__)

POLLED = (Status.RUNNING, Status.UNKNOWN)
ASKED_HOURLY = timedelta(hours=1)
URL_PATIENCE = timedelta(minutes=15)
MISSING_PATIENCE, MISSING_TIMES = timedelta(minutes=10), 3
# Claims reach this far ahead, so that few are enough, and none is late for it. At a full budget this is less than a
# loop may have in hand.
AHEAD = timedelta(seconds=2)
# Slots lie so far apart that no second sees more than the budget when each is used up to this much too late. What
# would come later (the machine was busy, or stood still) is not asked at all: it would come in a bunch.
LATE_SECONDS = 0.2
# A loop's polls in hand at once. Of a budget of six times as many even all of them in a bunch leave enough.
IN_HAND = 256
# How well the database's clock should be known on ours; else it is asked once more.
CLOCK_SECONDS = 0.05


@dataclass(frozen=True)
class PollDue:
    """A generation to ask for in its slot; its next poll is planned already.

    ``starts`` and ``ends`` are seconds after the claim: before the one and after the other it would break the
    budget, or come too close to the next poll. On our monotonic clock the claim lies between ``asked`` and ``told``.
    """

    generation_id: uuid.UUID
    upstream_id: str
    status: str
    submitted_at: datetime
    # What is known, so that nothing new costs no query.
    polled_at: datetime | None = None  # the poll before this one
    progress: int = 0
    missing: bool = False
    cost: int | None = None
    starts: float = 0.0
    ends: float = math.inf
    asked: float = 0.0
    told: float = 0.0
    claimed_at: datetime | None = None  # by the database's clock


def due_polls() -> QuerySet[Generation]:
    """Those that it is time to ask about, or almost, oldest due first."""
    soon = Generation.objects.filter(status__in=POLLED, next_check_at__lte=Now() + AHEAD)
    return soon.filter(upstream_id__isnull=False).order_by("next_check_at")


@transaction.atomic
def claim_polls(most: int, lead: float = 0.0, *, moved: dict[uuid.UUID, int] | None = None) -> list[PollDue]:
    """Up to ``most`` due generations, each with a slot of the ``POLL_BUDGET`` that all workers share.

    No slot is earlier than ``lead`` seconds from now: what the caller needs until it can ask. ``moved`` is progress
    as for ``record_progress``, written under the same lock.
    """
    asked = time.monotonic()
    upstream, now = dispatch.locked()
    told = time.monotonic()
    _write_progress(moved or {})
    every = timedelta(seconds=(1 + LATE_SECONDS) / settings.POLL_BUDGET)
    late = LATE_SECONDS if settings.POLL_BUDGET < 6 * IN_HAND else math.inf
    if (
        told - asked > CLOCK_SECONDS and late == LATE_SECONDS
    ):  # somebody else held the lock, or the line is slow
        asked, now, told = time.monotonic(), dispatch.database_now(), time.monotonic()
    slot = upstream.poll_slot_at
    if not now <= slot <= now + AHEAD + every:  # long ago; or the clock was set back
        slot = now
    slot = max(slot, now + timedelta(seconds=lead))
    room = min(most, math.ceil((now + AHEAD - slot) / every))
    claimed, plan = [], {}
    columns = (
        *("pk", "next_check_at", "upstream_id", "status", "submitted_at", "polled_at"),
        *("progress", "missing_count", "upstream_cost"),
        *Kind._fields,
    )
    rows = due_polls().values_list(*columns)[: max(room, 0)]
    for pk, at, upstream_id, status, submitted_at, before, progress, missing, cost, *kind in rows:
        slot = max(slot, at)
        following = ASKED_HOURLY if status == Status.UNKNOWN else gap(Kind(*kind), _age(submitted_at, slot))
        starts = (slot - now).total_seconds()
        ends = starts + min(late, following.total_seconds() - settings.POLL_MIN_SECONDS)
        known = (progress, missing > 0, cost)
        due = PollDue(pk, upstream_id, status, submitted_at or now, before, *known)
        claimed.append(replace(due, starts=starts, ends=ends, asked=asked, told=told, claimed_at=now))
        plan[pk] = slot + following
        slot += every
    if claimed:
        update_each("next_check_at = new.value, polled_at = %s, polls = polls + 1", plan, now)
        Upstream.objects.filter(pk=1).update(poll_slot_at=slot)
        reach("poll.planned")
    return claimed


@transaction.atomic
def give_back(dues: list[PollDue]) -> None:
    """Their slots went by unused: as if they had not been claimed, unless somebody has claimed them since."""
    dispatch.locked()
    for claimed_at in {due.claimed_at for due in dues}:
        before = {
            due.generation_id: due.polled_at or due.submitted_at
            for due in dues
            if due.claimed_at == claimed_at
        }
        undo = "polled_at = new.value, next_check_at = %s, polls = polls - 1"
        update_each(undo, before, claimed_at, polled_at=claimed_at)


def _age(submitted_at: datetime | None, at: datetime) -> float:
    return max((at - submitted_at).total_seconds(), 0.0) if submitted_at else 0.0


def record_readings(answers: Iterable[tuple[PollDue, Any]]) -> dict[uuid.UUID, int]:
    """What polls answered (``omnimaas.reader.Reading``). Progress alone is returned, for ``record_progress``.

    Whatever else is new is written by itself; one that can't be written keeps nobody else from it.
    """
    moved: dict[uuid.UUID, int] = {}
    for due, reading in answers:
        progress = min(reading.progress or 0, 99)
        if reading.state in ("failed", "succeeded") or due.missing or reading.cost not in (None, due.cost):
            try:
                record_reading(due, reading)
            except Exception:
                log.exception("what upstream said of %s was not written down", due.generation_id)
        elif progress > due.progress:
            moved[due.generation_id] = progress
    return moved


@transaction.atomic
def record_progress(percents: dict[uuid.UUID, int]) -> None:
    """How far they are, in one statement for all; never backwards."""
    if percents:
        dispatch.locked()  # who writes to many rows at once does so alone, or two could wait for each other
    _write_progress(percents)


def _write_progress(percents: dict[uuid.UUID, int]) -> None:
    if not percents:
        return
    higher = "progress = CASE WHEN new.value > progress THEN new.value ELSE progress END"
    update_each(higher, percents)
    reach("progress.written")


def update_each(
    assignments: str, values: dict[uuid.UUID, Any], *more: Any, polled_at: datetime | None = None
) -> None:
    """One statement that gives each of these rows its own ``new.value``, where it is still being polled.

    And, if that is said, where it was claimed at ``polled_at`` and not again since.

    A verdict may have come between: then there is nothing to plan any more, and no progress. Written by hand,
    because the ORM needs 0.35 ms of processor time a row to build the same (measured): as much as the poll.
    """
    table, key = Generation._meta.db_table, Generation._meta.pk.get_db_prep_value
    pairs = [part for pk, value in values.items() for part in (key(pk, connection), _prepared(value))]
    statement = (
        f"WITH new (id, value) AS (VALUES {', '.join(['(%s, %s)'] * len(values))}) "  # noqa: S608 - no values
        f"UPDATE {table} SET {assignments} FROM new WHERE {table}.id = new.id AND status IN (%s, %s)"
    )
    parameters = [*pairs, *map(_prepared, more), *POLLED]
    if polled_at is not None:
        statement += " AND polled_at = %s"
        parameters.append(_prepared(polled_at))
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def _prepared(value: Any) -> Any:
    """As this database takes it."""
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value


@transaction.atomic
def record_reading(due: PollDue, reading: Any) -> bool:
    """What one poll answered: progress, a verdict, or nothing new."""
    rows = Generation.objects.filter(pk=due.generation_id, status=due.status)
    rows.filter(missing_count__gt=0).update(missing_count=0, missing_since=None)
    if reading.cost is not None:
        rows.exclude(upstream_cost=reading.cost).update(upstream_cost=reading.cost)
    if reading.state == "failed":
        return fail_and_release(
            due.generation_id,
            due.status,
            code=reading.error_code or "upstream_failed",
            message=reading.error_message,
            note="upstream_failed",
        )
    if reading.state == "succeeded":
        return _record_success(due, reading.url)
    if reading.progress:
        record_progress({due.generation_id: min(reading.progress, 99)})
    return True


def _record_success(due: PollDue, url: str) -> bool:
    rows = Generation.objects.filter(pk=due.generation_id, status=due.status)
    if url:
        moved = lifecycle.transition(
            due.generation_id,
            due.status,
            Status.STORING,
            result_url=url,
            progress=100,
            made_seconds=_made_seconds(due),
            next_check_at=Now(),
            claim_token=None,
        )
        reach("success.moved")
        if moved:
            ledger.settle(due.generation_id)
            reach("success.settled")
            wake_store(due.generation_id)
            wake_dispatch()
            reach("success.woken")
        return moved
    rows.filter(succeeded_upstream_at__isnull=True).update(succeeded_upstream_at=Now())
    if due.status == Status.RUNNING:
        return lifecycle.transition(
            due.generation_id,
            Status.RUNNING,
            Status.UNKNOWN,
            guard=Q(succeeded_upstream_at__lte=Now() - URL_PATIENCE),
            note="success_without_url",
            next_check_at=Now() + ASKED_HOURLY,
        )
    return True


def _made_seconds(due: PollDue) -> float:
    """How long it took: it ended at some time since the poll before, on average in the middle.

    Taken as the moment of the poll, every time would be half a gap too long, and longer gaps be learned from it.
    """
    before = due.polled_at or due.submitted_at
    return _age(due.submitted_at, before + (dispatch.database_now() - before) / 2)


@transaction.atomic
def record_missing(due: PollDue) -> bool:
    """Upstream does not know the id: it can come just after a good submit, so three times over ten minutes."""
    rows = Generation.objects.filter(pk=due.generation_id, status=due.status)
    rows.filter(missing_since__isnull=True).update(missing_since=Now())
    rows.update(missing_count=F("missing_count") + 1)
    reach("missing.counted")
    if due.status != Status.RUNNING:
        return False
    return lifecycle.transition(
        due.generation_id,
        Status.RUNNING,
        Status.UNKNOWN,
        guard=Q(missing_count__gte=MISSING_TIMES, missing_since__lte=Now() - MISSING_PATIENCE),
        note="missing_at_upstream",
        next_check_at=Now() + ASKED_HOURLY,
    )
