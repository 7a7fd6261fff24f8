"""What the world said, written down: each outcome is one transaction of status, credits, event and wake-up.

The loser of a race returns False and changes nothing: somebody else has written a truer word already.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts import ledger
from accounts.models import User
from generations import dispatch, lifecycle
from generations.dispatch import DOUBT_WITHOUT_ID
from generations.models import Generation, Status, Upstream, Video
from generations.services.paces import Kind, past
from generations.services.wakeups import wake_dispatch, wake_store

# Waits before a POST that was never sent, or was throttled, is tried again.
BACKOFF_SECONDS = (2, 5, 15, 30, 60)
ASKED_HOURLY = timedelta(hours=1)
URL_PATIENCE = timedelta(minutes=15)
MISSING_PATIENCE, MISSING_TIMES = timedelta(minutes=10), 3
STORE_LEASE = timedelta(minutes=5)
STORE_BACKOFF_SECONDS = (5, 15, 60, 300, 900, 3600)
GONE_ATTEMPTS = 3


def _held_by(claim: dispatch.Claim) -> Q:
    return Q(claim_token=claim.token)


# --- what a POST said -------------------------------------------------------


@transaction.atomic
def record_submitted(
    claim: dispatch.Claim, *, upstream_id: str, request_id: str = "", reply: str = ""
) -> bool:
    """Upstream gave an id: it runs. Also true for an answer that came after its lease was over."""
    changes: dict[str, Any] = {
        "upstream_id": upstream_id,
        "upstream_request_id": request_id,
        "upstream_reply": reply,
        "next_check_at": Now() + timedelta(seconds=_first_gap(claim.generation_id)),
        "claim_token": None,
    }
    late = _held_by(claim) & Q(upstream_id__isnull=True)
    try:
        with transaction.atomic():
            moved = lifecycle.transition(
                claim.generation_id, Status.SUBMITTING, Status.RUNNING, guard=_held_by(claim), **changes
            ) or lifecycle.transition(
                claim.generation_id,
                Status.UNKNOWN,
                Status.RUNNING,
                guard=late,
                note="late_answer",
                **changes,
            )
    except IntegrityError:
        # The id is another row's: which of the two upstream is making, nobody can tell.
        return record_doubt(claim, code="id_used_twice", message=upstream_id, reply=reply)
    dispatch.note_success()
    return moved


@transaction.atomic
def record_refused(claim: dispatch.Claim, *, code: str, message: str, reply: str = "") -> bool:
    """Upstream refused the request itself: over, and nothing is charged."""
    dispatch.note_success()
    return fail_and_release(
        claim.generation_id,
        Status.SUBMITTING,
        guard=_held_by(claim),
        code=code or "refused",
        message=message,
        upstream_reply=reply,
    )


@transaction.atomic
def record_not_sent(claim: dispatch.Claim, *, message: str) -> bool:
    """Nothing left this machine: back into the queue."""
    dispatch.note_not_sent(message)
    return _requeue(claim, note="not_sent", message=message)


@transaction.atomic
def record_throttled(claim: dispatch.Claim, *, message: str, retry_after: float | None = None) -> bool:
    """Too many in flight at upstream: back into the queue, and fewer at a time from now on."""
    dispatch.note_throttled()
    return _requeue(claim, note="throttled", message=message, seconds=retry_after)


@transaction.atomic
def record_account_fault(claim: dispatch.Claim, *, message: str) -> bool:
    """Upstream refuses our account: back into the queue, and nobody is sent until that is mended."""
    dispatch.note_account_fault(message)
    return _requeue(claim, note="account_fault", message=message)


@transaction.atomic
def record_doubt(claim: dispatch.Claim, *, code: str, message: str, reply: str = "") -> bool:
    """It may exist and be billed: parked with its credits held, never sent again by itself."""
    dispatch.note_doubt(message)
    return lifecycle.transition(
        claim.generation_id,
        Status.SUBMITTING,
        Status.UNKNOWN,
        guard=_held_by(claim),
        note=code[:60],
        detail={"message": message},
        next_check_at=Now() + DOUBT_WITHOUT_ID,
        upstream_reply=reply,
    )


def _requeue(claim: dispatch.Claim, *, note: str, message: str, seconds: float | None = None) -> bool:
    attempts = Generation.objects.values_list("attempts", flat=True).get(pk=claim.generation_id)
    wait = seconds or BACKOFF_SECONDS[min(attempts, len(BACKOFF_SECONDS) - 1)]
    return lifecycle.transition(
        claim.generation_id,
        Status.SUBMITTING,
        Status.QUEUED,
        guard=_held_by(claim),
        note=note,
        detail={"message": message},
        claim_token=None,
        attempts=F("attempts") + 1,
        submitted_at=None,
        next_check_at=Now() + timedelta(seconds=wait),
    )


def fail_and_release(
    generation_id: uuid.UUID,
    source: str,
    *,
    code: str,
    message: str,
    guard: Q | None = None,
    note: str = "",
    actor: User | None = None,
    **changes: Any,
) -> bool:
    """Any open state → failed, with every held credit returned."""
    failed = lifecycle.transition(
        generation_id,
        source,
        Status.FAILED,
        guard=guard,
        note=note or code[:60],
        actor=actor,
        detail={"message": message},
        error_code=code[:60],
        error_message=message[:1000],
        **changes,
    )
    if failed:
        ledger.release(generation_id)
        wake_dispatch()
    return failed


# --- what a poll said -------------------------------------------------------


@dataclass(frozen=True)
class PollDue:
    """A generation to ask for now; its next poll is planned already."""

    generation_id: uuid.UUID
    upstream_id: str
    status: str
    submitted_at: datetime


@transaction.atomic
def claim_polls(most: int) -> list[PollDue]:
    """Up to ``most`` due generations with an id, oldest due first, within ``POLL_BUDGET`` of all workers.

    Claiming plans the next poll, so "still running" needs no write and a crash no recovery.
    """
    upstream, now = dispatch.locked()
    budget = float(settings.POLL_BUDGET)
    elapsed = max(0.0, (now - upstream.poll_tokens_at).total_seconds())
    tokens = min(budget, upstream.poll_tokens + elapsed * budget)
    due = Generation.objects.due(Status.RUNNING, Status.UNKNOWN).filter(upstream_id__isnull=False)
    rows = list(
        due.only("upstream_id", "status", "submitted_at", "model", "seconds", "mode")[
            : min(most, int(tokens))
        ]
    )
    for row in rows:
        row.next_check_at = now + _next_gap(row, now)
        row.polled_at = now
        row.polls = F("polls") + 1
    Generation.objects.bulk_update(rows, ["next_check_at", "polled_at", "polls"])
    Upstream.objects.filter(pk=1).update(poll_tokens=tokens - len(rows), poll_tokens_at=now)
    return [PollDue(row.pk, row.upstream_id or "", row.status, row.submitted_at or now) for row in rows]


def _next_gap(row: Generation, now: datetime) -> timedelta:
    if row.status == Status.UNKNOWN:
        return ASKED_HOURLY
    age = (now - row.submitted_at).total_seconds() if row.submitted_at else 0
    return timedelta(seconds=_gap(Kind(row.model, row.seconds, row.mode), max(age, 0)))


def _first_gap(generation_id: uuid.UUID) -> float:
    kind = Generation.objects.values_list("model", "seconds", "mode").get(pk=generation_id)
    return _gap(Kind(*kind), 0)


def _gap(kind: Kind, age: float) -> float:
    return past(kind).pace.gap(age, shortest=settings.POLL_MIN_SECONDS, longest=settings.POLL_MAX_SECONDS)


@transaction.atomic
def record_reading(due: PollDue, reading: Any) -> bool:
    """What a poll answered: progress, a verdict, or nothing new. ``reading`` is ``omnimaas.reader.Reading``."""
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
        # Never backwards, and only a change is written.
        rows.filter(progress__lt=reading.progress).update(progress=min(reading.progress, 99))
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
            made_seconds=max((dispatch.database_now() - due.submitted_at).total_seconds(), 0.0),
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


# --- what storing said ------------------------------------------------------


def claim_store(generation_id: uuid.UUID) -> Generation | None:
    """The generation, if it is due to be stored and nobody else is at it; leased for ``STORE_LEASE``."""
    due = Generation.objects.filter(pk=generation_id, status=Status.STORING, next_check_at__lte=Now())
    if due.update(next_check_at=Now() + STORE_LEASE, store_attempts=F("store_attempts") + 1) != 1:
        return None
    return Generation.objects.get(pk=generation_id)


@transaction.atomic
def record_stored(generation_id: uuid.UUID, video: Video) -> bool:
    """The bytes are checked and in storage: done. ``video`` is unsaved."""
    if not lifecycle.transition(generation_id, Status.STORING, Status.SUCCEEDED, result_url=""):
        return False
    video.generation_id = generation_id
    video.save(force_insert=True)
    return True


@transaction.atomic
def record_store_failed(generation_id: uuid.UUID, *, message: str, gone: bool, fresh_url: str = "") -> bool:
    """Storing did not work: again later, or, where old and fresh link are gone for good, refund.

    True when this was the end.
    """
    rows = Generation.objects.filter(pk=generation_id, status=Status.STORING)
    attempts = rows.values_list("store_attempts", flat=True).first()
    if attempts is None:
        return False
    if gone and attempts >= GONE_ATTEMPTS:
        failed = lifecycle.transition(
            generation_id,
            Status.STORING,
            Status.FAILED,
            note="video_gone",
            detail={"message": message},
            error_code="video_gone",
            error_message=message[:1000],
        )
        if failed:
            ledger.refund(generation_id, reason=message)
        return failed
    wait = STORE_BACKOFF_SECONDS[min(attempts - 1, len(STORE_BACKOFF_SECONDS) - 1)]
    changes: dict[str, Any] = {"next_check_at": Now() + timedelta(seconds=wait)}
    if fresh_url:
        changes["result_url"] = fresh_url
    rows.update(**changes)
    return False
