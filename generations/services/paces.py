"""How long generations of a kind take, from our own past: for the poll plan, and for what people are told."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from typing import NamedTuple

from django.conf import settings
from django.utils import timezone

from generations import pacing
from generations.models import Generation, Status

REMEMBERED = 400
KEPT_SECONDS = 60.0
SOON_SECONDS = 2.0
# A poll may leave this much later than planned, and still not come too close to the next one.
SPARE_SECONDS = 0.5


class Kind(NamedTuple):
    """What decides how long a generation takes."""

    model: str
    seconds: int
    mode: str


class Past(NamedTuple):
    """Seconds of the last generations of a kind, sorted, and the pace learned from them."""

    times: list[float]
    pace: pacing.Pace

    def quantile(self, share: float) -> float | None:
        """Seconds within which this share of them were made; None before there are enough."""
        if len(self.times) < pacing.ENOUGH:
            return None
        return self.times[min(len(self.times) - 1, int(share * len(self.times)))]


_kept: dict[Kind, tuple[float, Past]] = {}


def past(kind: Kind) -> Past:
    """The kind's past; read from the database at most once a minute in each process."""
    now = time.monotonic()
    known = _kept.get(kind)
    if known is None or now - known[0] > KEPT_SECONDS:
        known = _kept[kind] = (now, _read(kind))
    return known[1]


def gap(kind: Kind, age: float) -> timedelta:
    """From one planned poll of a generation of this age (in seconds) to its next."""
    return timedelta(seconds=past(kind).pace.gap(age, **_bounds()))


def first_gap(generation_id: uuid.UUID) -> timedelta:
    """From the submit to the first poll."""
    kind = Generation.objects.values_list("model", "seconds", "mode").get(pk=generation_id)
    return gap(Kind(*kind), 0.0)


def look_again(generation: Generation) -> float:
    """Seconds after which somebody who waits for an open generation may see more of it, from 1 to 30.

    What runs is not known better before our own next poll; what waits for its turn or is being saved moves soon.
    """
    if generation.status not in (Status.RUNNING, Status.UNKNOWN) or generation.next_check_at is None:
        return SOON_SECONDS
    until = (generation.next_check_at - timezone.now()).total_seconds()
    return min(30.0, max(1.0, until + SPARE_SECONDS))


def _bounds() -> dict[str, float]:
    """Shortest and longest gap between two planned polls, in seconds."""
    shortest = settings.POLL_MIN_SECONDS + SPARE_SECONDS
    return {"shortest": shortest, "longest": max(shortest, settings.POLL_MAX_SECONDS)}


def forget() -> None:
    """Read anew next time."""
    _kept.clear()


def _read(kind: Kind) -> Past:
    rows = Generation.objects.filter(**kind._asdict(), made_seconds__isnull=False).order_by("-created_at")
    times = sorted(value or 0.0 for value in rows.values_list("made_seconds", flat=True)[:REMEMBERED])
    patience = pacing.patience_for(
        times, budget=settings.POLL_BUDGET, in_flight=settings.OMNIMAAS_MAX_IN_FLIGHT
    )
    return Past(times, pacing.learn(times, patience=patience, **_bounds()))
