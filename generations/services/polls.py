"""Who is asked about next, and what the answers said: few statements, however many are in the making.

Claiming plans the next poll, so "still running" needs no write, and a crash no recovery.
"""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Case, F, PositiveSmallIntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Greatest, Now

from accounts import ledger
from generations import dispatch, lifecycle
from generations.models import Generation, Status, Upstream
from generations.services.outcomes import fail_and_release
from generations.services.paces import Kind, gap
from generations.services.wakeups import wake_dispatch, wake_store

log = logging.getLogger(__name__)

POLLED = (Status.RUNNING, Status.UNKNOWN)
ASKED_HOURLY = timedelta(hours=1)
URL_PATIENCE = timedelta(minutes=15)
MISSING_PATIENCE, MISSING_TIMES = timedelta(minutes=10), 3
# Slots of the poll budget are given away this far ahead: one claim a second is enough when polls are few.
AHEAD = timedelta(seconds=1)
# Slots lie so far apart that no second sees more than the budget, should each be used this much too late.
LATE_SECONDS = 0.2


@dataclass(frozen=True)
class PollDue:
    """A generation to ask for in its slot; its next poll is planned already.

    ``starts`` and ``ends`` are seconds after the claim: before the one it would break the budget, after the
    other it could come too close to the next poll.
    """

    generation_id: uuid.UUID
    upstream_id: str
    status: str
    submitted_at: datetime
    # What is known, so that nothing new costs no query.
    progress: int = 0
    missing: bool = False
    cost: int | None = None
    starts: float = 0.0
    ends: float = math.inf


def due_polls() -> QuerySet[Generation]:
    """Those that it is time to ask about, oldest due first."""
    return Generation.objects.due(*POLLED).filter(upstream_id__isnull=False)


@transaction.atomic
def claim_polls(most: int) -> list[PollDue]:
    """Up to ``most`` due generations, each with a slot of the ``POLL_BUDGET`` that all workers share."""
    upstream, now = dispatch.locked()
    every = timedelta(seconds=(1 + LATE_SECONDS) / settings.POLL_BUDGET)
    slot = upstream.poll_slot_at
    if not now <= slot <= now + AHEAD + every:  # long ago; or the clock was set back
        slot = now
    room = min(most, math.ceil((now + AHEAD - slot) / every))
    claimed, plan = [], []
    rows = due_polls().values_list(
        *("pk", "upstream_id", "status", "submitted_at", "progress", "missing_count", "upstream_cost"),
        *Kind._fields,
    )
    for pk, upstream_id, status, submitted_at, progress, missing, cost, *kind in rows[: max(room, 0)]:
        following = ASKED_HOURLY if status == Status.UNKNOWN else gap(Kind(*kind), _age(submitted_at, slot))
        starts = (slot - now).total_seconds()
        ends = starts + following.total_seconds() - settings.POLL_MIN_SECONDS
        claimed.append(
            PollDue(pk, upstream_id, status, submitted_at or now, progress, missing > 0, cost, starts, ends)
        )
        plan.append(When(pk=pk, then=Value(slot + following)))
        slot += every
    if claimed:
        # A verdict may come between: then there is nothing to plan any more.
        due = Generation.objects.filter(pk__in=[one.generation_id for one in claimed], status__in=POLLED)
        due.update(next_check_at=Case(*plan), polled_at=now, polls=F("polls") + 1)
        Upstream.objects.filter(pk=1).update(poll_slot_at=slot)
    return claimed


def _age(submitted_at: datetime | None, at: datetime) -> float:
    return max((at - submitted_at).total_seconds(), 0.0) if submitted_at else 0.0


def record_readings(answers: Iterable[tuple[PollDue, Any]]) -> None:
    """What the polls of one turn answered (``omnimaas.reader.Reading``): progress in one statement for all.

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
    if moved:
        record_progress(moved)


@transaction.atomic
def record_progress(percents: dict[uuid.UUID, int]) -> None:
    """How far they are; never backwards. A row that somebody else is writing to learns it from its next poll."""
    steps = (When(pk=pk, then=Value(percent)) for pk, percent in percents.items())
    percent = Case(*steps, output_field=PositiveSmallIntegerField())
    rows = Generation.objects.filter(pk__in=percents, status__in=POLLED).select_for_update(skip_locked=True)
    Generation.objects.filter(pk__in=rows.values("pk")).update(progress=Greatest("progress", percent))


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
            made_seconds=_age(due.submitted_at, dispatch.database_now()),
            next_check_at=Now(),
            claim_token=None,
        )
        if moved:
            ledger.settle(due.generation_id)
            wake_store(due.generation_id)
            wake_dispatch()
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


@transaction.atomic
def record_missing(due: PollDue) -> bool:
    """Upstream does not know the id: it can come just after a good submit, so three times over ten minutes."""
    rows = Generation.objects.filter(pk=due.generation_id, status=due.status)
    rows.filter(missing_since__isnull=True).update(missing_since=Now())
    rows.update(missing_count=F("missing_count") + 1)
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
