"""How long it will take: the place in the queue, and our own past. For pages and quotes; never a promise."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db.models import Count
from django.utils import timezone

from generations import dispatch
from generations.models import Generation, Status
from generations.services.paces import Kind, past


@dataclass(frozen=True)
class Forecast:
    """``position`` is 1 for the next to be sent, None once sent. Seconds from now until it is made, for
    half of all and for nine of ten; None before enough of the kind were made."""

    position: int | None
    likely: int | None
    at_most: int | None


def forecast(generation: Generation) -> Forecast:
    """For a generation that is open; at most three queries while it waits, and none after that."""
    kind = Kind(generation.model, generation.seconds, generation.mode)
    if generation.status == Status.QUEUED:
        earlier = Generation.objects.filter(
            status=Status.QUEUED, user_id=generation.user_id, created_at__lt=generation.created_at
        ).count()
        return _waiting(kind, generation.user_id, earlier)
    begun = generation.submitted_at or generation.created_at
    return _made_in(kind, None, -(timezone.now() - begun).total_seconds())


def forecast_new(kind: Kind, user_id: int) -> Forecast:
    """For one that this user would create now."""
    mine = Generation.objects.filter(status=Status.QUEUED, user_id=user_id).count()
    return _waiting(kind, user_id, mine)


def _waiting(kind: Kind, user_id: int, earlier: int) -> Forecast:
    """Place and time of a user's row that has ``earlier`` rows of the same user before it.

    Fair share sends every user's first before anybody's second, counting what each has in flight.
    """
    busy = dict(dispatch.in_flight().order_by().values_list("user_id").annotate(n=Count("pk")))
    queued = Generation.objects.filter(status=Status.QUEUED).exclude(user_id=user_id).order_by()
    turn = earlier + busy.get(user_id, 0)
    before = earlier + sum(
        min(count, max(0, turn + 1 - busy.get(other, 0)))
        for other, count in queued.values_list("user_id").annotate(n=Count("pk"))
    )
    slots = settings.OMNIMAAS_MAX_IN_FLIGHT
    ahead = max(0, before + sum(busy.values()) - slots + 1)
    median = past(kind).quantile(0.5)
    # Each slot comes free once in about one median, so ``ahead`` of them take that share of it.
    return _made_in(kind, before + 1, ahead / slots * median if median else 0.0)


def _made_in(kind: Kind, position: int | None, shift: float) -> Forecast:
    likely, at_most = (past(kind).quantile(share) for share in (0.5, 0.9))
    return Forecast(
        position,
        None if likely is None else max(0, round(likely + shift)),
        None if at_most is None else max(0, round(at_most + shift)),
    )
