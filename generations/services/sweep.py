"""What time does: rows whose hour has come and that no answer will move. Run every minute; twice is harmless."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from generations import lifecycle
from generations.dispatch import DOUBT_WITHOUT_ID
from generations.models import Generation, Status, Upstream
from generations.services.outcomes import fail_and_release
from generations.services.polls import ASKED_HOURLY
from generations.services.storyboards import wake_storyboards
from generations.services.wakeups import wake_dispatch, wake_store
from kling_platform.failpoints import reach

# Upstream's family gives up after 24 h, so our own deadline is later.
RUNNING_LIMIT = timedelta(hours=25)
DOUBT_WITH_ID = timedelta(days=30)
# A poll is noted when it is claimed, and taken back when it misses its slot; its answer may bring the verdict. Only
# after so many seconds has it been one.
ANSWER_SECONDS = 10
BATCH = 500


def sweep_due() -> dict[str, int]:
    """Give every overdue row its next state or its wake-up. Returns how many of each."""
    return {
        "lease_over": _leases_over(),
        "unsent": _unsent(),
        "overdue": _overdue(),
        "doubt_over": _doubts_over(),
        "stores": _wake_stores(),
        "dispatch": _wake_queue(),
        "storyboards": wake_storyboards(),
    }


def _leases_over() -> int:
    """A claim whose answer nobody recorded: it may have been sent, so it is doubt, never a second POST."""
    moved = 0
    for pk, token in Generation.objects.due(Status.SUBMITTING).values_list("pk", "claim_token")[:BATCH]:
        moved += lifecycle.transition(
            pk,
            Status.SUBMITTING,
            Status.UNKNOWN,
            guard=Q(claim_token=token, next_check_at__lte=Now()),
            note="lease_over",
            next_check_at=Now() + DOUBT_WITHOUT_ID,
        )
        reach("sweep.lease_over")
    return moved


def _unsent() -> int:
    """A day in the queue. The clock stands while nothing may be sent (``give_up_at`` moves on with it)."""
    closed = Q(circuit=Upstream.Circuit.CLOSED, paused_at__isnull=True)
    if Upstream.objects.exclude(closed).exists():
        return 0
    moved = 0
    overdue = Generation.objects.filter(status=Status.QUEUED, give_up_at__lte=Now())
    for pk in overdue.values_list("pk", flat=True)[:BATCH]:
        with transaction.atomic():
            moved += fail_and_release(
                pk,
                Status.QUEUED,
                guard=Q(give_up_at__lte=Now()),
                code="unsent",
                message="",
            )
    return moved


def _overdue() -> int:
    """Running for 25 h, and asked once more after that: doubt, asked hourly from now on."""
    moved = 0
    answered = timedelta(
        seconds=min(ANSWER_SECONDS, settings.POLL_MAX_SECONDS / 2)
    )  # before the next is claimed
    late = Q(polled_at__gte=F("submitted_at") + RUNNING_LIMIT, polled_at__lte=Now() - answered)
    for pk in Generation.objects.filter(late, status=Status.RUNNING).values_list("pk", flat=True)[:BATCH]:
        moved += lifecycle.transition(
            pk,
            Status.RUNNING,
            Status.UNKNOWN,
            guard=late,
            note="overdue",
            next_check_at=Now() + ASKED_HOURLY,
        )
    return moved


def _doubts_over() -> int:
    """The end of doubt by policy: the user never pays for it."""
    moved = 0
    over = Q(upstream_id__isnull=True, submitted_at__lte=Now() - DOUBT_WITHOUT_ID) | Q(
        upstream_id__isnull=False, submitted_at__lte=Now() - DOUBT_WITH_ID
    )
    for pk in Generation.objects.filter(over, status=Status.UNKNOWN).values_list("pk", flat=True)[:BATCH]:
        with transaction.atomic():
            moved += fail_and_release(pk, Status.UNKNOWN, guard=over, code="never_confirmed", message="")
    return moved


def _wake_stores() -> int:
    due = list(Generation.objects.due(Status.STORING).values_list("pk", flat=True)[:BATCH])
    for pk in due:
        wake_store(pk)
        reach("sweep.woke_store")
    return len(due)


def _wake_queue() -> int:
    waiting = Generation.objects.sendable().exists()
    if waiting:
        wake_dispatch()
    return int(waiting)
