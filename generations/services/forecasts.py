"""How long it will take: the place in the queue, and our own past. For pages and programs; never a promise."""

from __future__ import annotations

import time
import uuid
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Exists, Q
from django.utils import timezone

from generations import dispatch
from generations.models import Generation, Status, Upstream
from generations.services.paces import Kind, past

# The queue is read at most this often in each process, however many ask; a place may be so much out of date.
KEPT_SECONDS = 2.0
# Longer queues are not placed beyond this: who is behind so many others is told no place.
MOST = 5_000


@dataclass(frozen=True)
class Forecast:
    """``position`` is 1 for the next to be sent, None once sent. Seconds from now until it is made, for
    half of all and for nine of ten; None before enough of the kind were made, and while nothing is sent.
    ``paused``: it waits, and an operator has stopped sending; nobody knows for how long."""

    position: int | None
    likely: int | None
    at_most: int | None
    paused: bool = False


# How soon a row has its turn, when it was made, its id: sorted, this is the order in which ``dispatch`` sends.
Place = tuple[int, datetime, uuid.UUID]


@dataclass(frozen=True)
class Board:
    """The queue as it stood a moment ago: every user's first before anybody's second, counting what each
    has in flight."""

    read_at: float  # monotonic seconds
    order: list[Place]
    places: dict[uuid.UUID, Place]
    turns: Counter[int]  # of each user: what is in flight, and what waits
    in_flight: int
    halted: bool  # by the circuit, or by an operator:
    paused: bool


_kept: Board | None = None


def forecast(generation: Generation) -> Forecast:
    """For one that is open. No query, but for one every two seconds and one a minute for each kind."""
    kind = Kind(generation.model, generation.seconds, generation.mode)
    if generation.status == Status.UNKNOWN:
        return Forecast(None, None, None)
    if generation.status != Status.QUEUED:
        begun = generation.submitted_at or generation.created_at
        return _made_in(kind, None, -(timezone.now() - begun).total_seconds())
    board = _board()
    if generation.pk not in board.places and len(board.order) < MOST:
        board = _board(anew=True)  # it was made after the last look
    place = board.places.get(generation.pk)
    return _waiting(kind, board, place) if place else Forecast(None, None, None)


def forecast_new(kind: Kind, user_id: int) -> Forecast:
    """For one that this user would create now."""
    board = _board()
    return _waiting(kind, board, (board.turns[user_id], timezone.now(), uuid.UUID(int=0)))


def forget() -> None:
    """Read anew next time."""
    global _kept
    _kept = None


def _board(*, anew: bool = False) -> Board:
    global _kept
    if _kept is None or anew or time.monotonic() - _kept.read_at > KEPT_SECONDS:
        _kept = _read()
    return _kept


def _read() -> Board:
    """One query for all: what waits, what is in flight, and whether anything is sent at all.

    Where nothing waits, that has to be asked by itself.
    """
    paused, halted = Q(paused_at__isnull=False), Q(circuit=Upstream.Circuit.OPEN)
    both = dispatch.in_flight() | Generation.objects.filter(status=Status.QUEUED)
    rows = both.order_by("created_at", "pk").annotate(
        paused=Exists(Upstream.objects.filter(paused)),
        halted=Exists(Upstream.objects.filter(paused | halted)),
    )
    found = list(rows.values_list("status", "user_id", "created_at", "pk", "halted", "paused")[:MOST])
    turns = Counter(row[1] for row in found if row[0] != Status.QUEUED)
    in_flight = turns.total()
    places = {}
    for status, user_id, created_at, pk, *_stopped in found:
        if status == Status.QUEUED:
            places[pk] = (turns[user_id], created_at, pk)
            turns[user_id] += 1
    if found:
        is_halted, is_paused = found[0][-2:]
    else:
        is_paused = Upstream.objects.filter(paused).exists()
        is_halted = is_paused or Upstream.objects.filter(halted).exists()
    return Board(time.monotonic(), sorted(places.values()), places, turns, in_flight, is_halted, is_paused)


def _waiting(kind: Kind, board: Board, place: Place) -> Forecast:
    before = bisect_left(board.order, place)
    if board.halted:
        return Forecast(before + 1, None, None, board.paused)
    slots = settings.OMNIMAAS_MAX_IN_FLIGHT
    ahead = max(0, before + board.in_flight - slots + 1)
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
