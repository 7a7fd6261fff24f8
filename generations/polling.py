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
from generations.omnimaas.errors import AccountFault, Missing, Unavailable
from generations.omnimaas.reader import Reading
from kling_platform.failpoints import reach
from kling_platform.supervisor import draining

log = logging.getLogger(__name__)

# Threads: about one for each poll a second that may be asked, for an answer takes less than that.
FEWEST, MOST = 8, 128
TURN_SECONDS = 0.2
# Between two claims that take all there is: they reach further ahead than that.
REST_SECONDS = 1.0
NUDGE_SECONDS = 3

Pending = dict[Future[Reading], services.PollDue]


def run(upstream: client.Gateway, seconds: float) -> int:
    """Poll for ``seconds``, one turn in any case, or until another loop takes over. Returns how many were claimed."""
    lane = lanes.Held("poll", lanes.take_over("poll"))
    threads = max(FEWEST, min(MOST, settings.POLL_BUDGET))
    pending: Pending = {}
    moved: dict[uuid.UUID, int] = {}
    claimed, idle, turns = 0, True, 0
    begun = time.monotonic()
    claim_at, nudge_at, ends = begun, begun + NUDGE_SECONDS, begun + seconds
    with transport.Lines(upstream.base_url) as lines, ThreadPoolExecutor(threads) as pool:
        while (going := _goes_on(lane, ends if turns else math.inf)) or pending:
            now, turns = time.monotonic(), turns + 1
            if now >= nudge_at:
                nudge_at = now + NUDGE_SECONDS
                _nudge()
            # Twice as many as there are threads: none of them waits for the next turn.
            room = 2 * threads - len(pending)
            if going and room and now >= claim_at:
                services.record_progress(moved)
                moved = {}
                # An idle loop takes no lock.
                before = time.monotonic()
                dues = services.claim_polls(room) if not idle or services.due_polls().exists() else []
                after = time.monotonic()
                pending |= {
                    pool.submit(_ask, due, upstream, lines, after + due.starts, before + due.ends): due
                    for due in dues
                }
                claimed, idle = claimed + len(dues), not dues
                claim_at = now if len(dues) == room else now + REST_SECONDS
            if pending:
                wait(pending, timeout=TURN_SECONDS)
            elif going:
                time.sleep(TURN_SECONDS)
            moved |= _record([(pending.pop(done), done) for done in [one for one in pending if one.done()]])
        services.record_progress(moved)
    return claimed


def _goes_on(lane: lanes.Held, ends: float) -> bool:
    return time.monotonic() < ends and not draining() and lane.still()


def _ask(
    due: services.PollDue, upstream: client.Gateway, lines: transport.Lines, starts: float, ends: float
) -> Reading:
    """One question in its slot: not before ``starts``, not after ``ends``, both monotonic.

    The database's moment of the claim lies somewhere between two of ours; each bound counts from the safe one.
    """
    reach("poll.claimed")
    time.sleep(max(0.0, starts - time.monotonic()))
    return client.fetch(due.upstream_id, upstream, lines, send_by=ends)


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
