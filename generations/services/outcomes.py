"""What the world said, written down: each outcome is one transaction of status, credits, event and wake-up.

The loser of a race returns False and changes nothing: somebody else has written a truer word already.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts import ledger
from accounts.models import User
from generations import dispatch, lifecycle
from generations.dispatch import DOUBT_WITHOUT_ID
from generations.models import Alarm, Generation, Status, Video
from generations.services.paces import first_gap
from generations.services.wakeups import wake_dispatch
from kling_platform import alarms
from kling_platform.failpoints import reach

# Waits before a POST that was never sent, or was throttled, is tried again.
BACKOFF_SECONDS = (2, 5, 15, 30, 60)
STORE_LEASE = timedelta(minutes=5)
STORE_BACKOFF_SECONDS = (5, 15, 60, 300, 900, 3600)
GONE_ATTEMPTS = 3
VIDEO_GONE = "video_gone"  # the code of an error: made, and never fetched


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
        "next_check_at": Now() + first_gap(claim.generation_id),
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
    reach("submitted.moved")
    dispatch.note_success()
    reach("submitted.noted")
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
    reach("doubt.noted")
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
    reach("requeue.noted")
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
    reach("failed.moved")
    if failed:
        ledger.release(generation_id)
        reach("failed.released")
        wake_dispatch()
    return failed


# --- what storing said ------------------------------------------------------


@transaction.atomic
def claim_store(generation_id: uuid.UUID) -> Generation | None:
    """The generation, if it is due to be stored and nobody else is at it; leased for ``STORE_LEASE``.

    In one transaction: a database that goes away in between leaves no lease that nobody holds.
    """
    due = Generation.objects.filter(pk=generation_id, status=Status.STORING, next_check_at__lte=Now())
    if due.update(next_check_at=Now() + STORE_LEASE, store_attempts=F("store_attempts") + 1) != 1:
        return None
    return Generation.objects.get(pk=generation_id)


@transaction.atomic
def record_stored(generation_id: uuid.UUID, video: Video) -> bool:
    """The bytes are checked and in storage: done. ``video`` is unsaved."""
    if not lifecycle.transition(generation_id, Status.STORING, Status.SUCCEEDED, result_url=""):
        return False
    reach("stored.moved")
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
            note=VIDEO_GONE,
            detail={"message": message},
            error_code=VIDEO_GONE,
            error_message=message[:1000],
        )
        if failed:
            ledger.refund(generation_id)
            alarms.ring(Alarm.Kind.LOST_VIDEO, f"generation {generation_id}: {message}")
            reach("refunded")
        return failed
    wait = STORE_BACKOFF_SECONDS[min(attempts - 1, len(STORE_BACKOFF_SECONDS) - 1)]
    changes: dict[str, Any] = {"next_check_at": Now() + timedelta(seconds=wait)}
    if fresh_url:
        changes["result_url"] = fresh_url
    reach("store.put_off")
    rows.update(**changes)
    return False
