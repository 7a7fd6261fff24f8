"""The poll loop: claim what is due, ask in threads, write down what is new, a turn at a time.

Threads do HTTP only; every query runs on the loop's own thread, for many polls at once.
"""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from django.conf import settings

from generations import dispatch, lanes, services
from generations.omnimaas import client, transport
from generations.omnimaas.errors import AccountFault, Late, Missing, Unavailable
from generations.omnimaas.reader import Reading
from kling_platform.failpoints import reach
from kling_platform.supervisor import draining

log = logging.getLogger(__name__)

# Threads: about one for each poll a second that may be asked, for an answer takes less than that.
FEWEST, MOST = 8, services.IN_HAND // 2
TURN_SECONDS = 0.2
# Between two claims that take all there is: they reach further ahead than that.
REST_SECONDS = 1.5
NUDGE_SECONDS = 4

# How far ahead of its first slot a claim is made: more when slots were missed, at most so much.
LEAD, MOST_LEAD = 0.05, 1.0
# A loop whose last polls missed their slots may take this much longer.
GRACE_SECONDS = 20


def run(upstream: client.Gateway, seconds: float) -> int:
    """Poll for ``seconds``, one turn in any case, or until another loop takes over. Returns how many were claimed."""
    lane = lanes.Held("poll", lanes.take_over("poll"))
    threads = max(FEWEST, min(MOST, settings.POLL_BUDGET))
    begun = time.monotonic()
    nudge_at, ends = begun + NUDGE_SECONDS, begun + seconds
    with transport.Lines(upstream.base_url) as lines, ThreadPoolExecutor(threads) as pool:
        turns = _Turns(upstream, lines, pool, threads)
        while (going := _goes_on(lane, turns.end(ends))) or turns.pending:
            now = time.monotonic()
            if now >= nudge_at:
                nudge_at = now + NUDGE_SECONDS
                _nudge()
            turns.take(now, going=going)
        services.record_progress(turns.moved)
    return turns.claimed


class _Turns:
    """The turns of one loop: in each it claims what there is room for, and writes down what was answered."""

    def __init__(
        self, upstream: client.Gateway, lines: transport.Lines, pool: ThreadPoolExecutor, threads: int
    ) -> None:
        self.upstream, self.lines, self.pool, self.threads = upstream, lines, pool, threads
        self.pending: dict[Future[Reading], services.PollDue] = {}
        self.moved: dict[uuid.UUID, int] = {}  # progress that is not written down yet
        self.claimed = 0  # and asked about, or about to be
        self._claim_at = time.monotonic()
        self._lead, self._idle, self._missed, self._any = LEAD, True, False, False

    def end(self, ends: float) -> float:
        """When the loop may end: after one turn in any case, and a little later where slots were missed."""
        if not self._any:
            return math.inf
        return ends + GRACE_SECONDS if self._missed else ends

    def take(self, now: float, *, going: bool) -> None:
        self._any = True
        # Twice as many as there are threads: none of them waits for the next turn.
        room = 2 * self.threads - len(self.pending)
        if going and room and now >= self._claim_at:
            self._claim(now, room)
        if self.pending:
            wait(self.pending, timeout=TURN_SECONDS)
        elif going:
            time.sleep(TURN_SECONDS)
        done = [one for one in self.pending if one.done()]
        if done:
            self._collect([(self.pending.pop(one), one) for one in done])

    def _claim(self, now: float, room: int) -> None:
        # An idle loop takes no lock.
        look = self.moved or not self._idle or services.due_polls().exists()
        dues = services.claim_polls(room, self._lead, moved=self.moved) if look else []
        self.moved = {}
        self.pending |= {self.pool.submit(_ask, due, self.upstream, self.lines): due for due in dues}
        self.claimed, self._idle = self.claimed + len(dues), not dues
        self._claim_at = now if len(dues) == room else now + REST_SECONDS

    def _collect(self, answers: list[tuple[services.PollDue, Future[Reading]]]) -> None:
        late = {due.generation_id for due, future in answers if isinstance(future.exception(), Late)}
        missed = [due for due, _future in answers if due.generation_id in late]
        self.moved |= _record([(due, future) for due, future in answers if due.generation_id not in late])
        self._missed = bool(missed)
        self._lead = min(MOST_LEAD, 2 * self._lead) if missed else max(LEAD, 0.8 * self._lead)
        if missed:
            services.give_back(missed)
            self.claimed -= len(missed)
            self._claim_at = time.monotonic()


def _goes_on(lane: lanes.Held, ends: float) -> bool:
    return time.monotonic() < ends and not draining() and lane.still()


def _ask(due: services.PollDue, upstream: client.Gateway, lines: transport.Lines) -> Reading:
    """One question in its slot.

    The database's moment of the claim lies somewhere between two of ours; each bound counts from the safe one.
    """
    reach("poll.claimed")
    time.sleep(max(0.0, due.told + due.starts - time.monotonic()))
    return client.fetch(due.upstream_id, upstream, lines, send_by=due.asked + due.ends)


def _nudge() -> None:
    """A row whose backoff is over, or a circuit whose wait is, or a webhook's, need not wait for the minute."""
    if dispatch.has_work() and not lanes.held("dispatch"):
        services.wake_dispatch()
    if services.has_deliveries() and not lanes.held("deliver"):
        services.wake_deliver()


def _record(answers: Iterable[tuple[services.PollDue, Future[Reading]]]) -> dict[uuid.UUID, int]:
    """What the polls of a turn said; progress is returned, to be written with that of other turns.

    Trouble in passing is no verdict: the next poll is planned already.
    """
    readings: list[tuple[services.PollDue, Reading]] = []
    fault = ""
    for due, future in answers:
        try:
            readings.append((due, future.result()))
        except Missing:
            services.record_missing(due)
        except AccountFault as error:
            fault = error.message
        except Unavailable as error:
            log.info("poll of %s: %s", due.generation_id, error.message)
        except Exception:
            log.exception("poll of %s", due.generation_id)
    for _due, reading in readings:
        if reading.word:
            log.warning("upstream's status %r is not known: taken as running", reading.word)
        reach("poll.answered")
    if fault:
        dispatch.note_account_fault(fault)
    return services.record_readings(readings)
