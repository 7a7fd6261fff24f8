"""The states of a generation and the only way from one to the next: compare-and-set, with an event."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User
from generations import brakes, followers, news, outbox
from generations.models import TERMINAL, Event, Generation, Status

S = Status

TRANSITIONS: dict[str, frozenset[str]] = {
    "": frozenset({S.QUEUED}),
    # Queued to unknown only by ``fence``: in a restored database it may have been sent since.
    S.QUEUED: frozenset({S.SUBMITTING, S.CANCELED, S.FAILED, S.UNKNOWN}),
    S.SUBMITTING: frozenset({S.QUEUED, S.RUNNING, S.FAILED, S.UNKNOWN}),
    S.RUNNING: frozenset({S.STORING, S.FAILED, S.UNKNOWN}),
    S.UNKNOWN: frozenset({S.RUNNING, S.STORING, S.FAILED}),
    S.STORING: frozenset({S.SUCCEEDED, S.FAILED}),
    S.SUCCEEDED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELED: frozenset(),
}


@transaction.atomic
def transition(
    generation_id: uuid.UUID,
    source: str,
    target: str,
    *,
    guard: Q | None = None,
    note: str = "",
    actor: User | None = None,
    detail: dict[str, Any] | None = None,
    **changes: Any,
) -> bool:
    """Move a generation from ``source`` to ``target`` and say so in an event; False for the loser of a race.

    ``guard`` must hold in the same UPDATE (a claim token, say); ``changes`` are columns that move with the
    status. An open target needs ``next_check_at``; a terminal one gets its end here.
    """
    if target not in TRANSITIONS[source]:
        raise ValueError(f"{source} → {target} is no transition")
    if target in TERMINAL:
        changes = {"next_check_at": None, "claim_token": None, "finished_at": Now(), **changes}
    rows = Generation.objects.filter(guard or Q(), pk=generation_id, status=source)
    if rows.update(status=target, **changes) != 1:
        return False
    Event.objects.create(
        generation_id=generation_id,
        from_status=source,
        to_status=target,
        note=note,
        actor=actor,
        detail=detail or {},
    )
    if target == Status.FAILED:
        brakes.pull(generation_id)
    if target in TERMINAL:
        outbox.announce(generation_id, target)
        followers.wake(generation_id)
        news.tell(generation_id, target)
    return True
