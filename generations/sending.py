"""The sending of what was claimed: a row's order, its one POST in a thread, and what came of it, written down.

Threads do HTTP only; every query runs on the dispatcher's own thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from django.conf import settings

from generations import dispatch, lanes, services
from generations.models import Generation
from generations.omnimaas import client
from generations.omnimaas.errors import AccountFault, Doubt, NotSent, Refused, Throttled
from kling_platform.away import AWAY, pause
from kling_platform.failpoints import reach
from kling_platform.supervisor import draining

log = logging.getLogger(__name__)

# When upstream breaks off in the middle, so many POSTs and one more are in doubt: the first doubt leaves the circuit
# closed, and its place is taken. Far more are sent in a minute than finish.
SENDERS = 3

Pending = dict[Future[client.Submitted], dispatch.Claim]


def run(upstream: client.Gateway, lane: lanes.Held, ends: float) -> int:
    """Claim, send and record until nothing may be sent, or ``ends`` (monotonic) has come. Returns how many.

    Should the database go away meanwhile, what the POSTs were answered is paid for, and written down when it is
    back. Where a commit was in doubt the same is said twice, and changes nothing: the claim is spent. When the
    leases are over it is too late, and the database's error is raised.
    """
    sent = 0
    claimed: list[dispatch.Claim] = []  # and not sent yet
    pending: Pending = {}
    with ThreadPoolExecutor(SENDERS) as pool:
        while True:
            try:
                room = SENDERS - len(pending)
                if room > 0 and not draining() and time.monotonic() < ends and lane.still():
                    claimed += dispatch.claim(room)
                while claimed:
                    reach("send.claimed")
                    order = _order(claimed[0])
                    claim = claimed.pop(0)
                    if order is not None:
                        pending[pool.submit(client.send, order, upstream)] = claim
                        sent += 1
                if not pending:
                    return sent
                _record_all(wait(pending, lanes.RENEW_SECONDS, FIRST_COMPLETED).done, pending)
                lane.still()
            except AWAY as error:
                if time.monotonic() > ends + settings.SUBMIT_LEASE:
                    raise
                pause(error, f"{len(pending)} answers wait")
                pending |= {_never_sent(): claim for claim in claimed}
                claimed.clear()


def _record_all(done: Iterable[Future[client.Submitted]], pending: Pending) -> None:
    """Each leaves ``pending`` when it is written down, not before."""
    for future in list(done):
        _record(pending[future], future)
        del pending[future]


def _never_sent() -> Future[client.Submitted]:
    """What came of a claim whose order was never made."""
    nothing: Future[client.Submitted] = Future()
    nothing.set_exception(NotSent("our database went away"))
    return nothing


def _order(claim: dispatch.Claim) -> client.Order | None:
    """The order of a claimed row, pictures read from storage; None where one can't be read any more."""
    row = Generation.objects.prefetch_related("images").get(pk=claim.generation_id)
    try:
        pictures = tuple(
            client.Picture(url=image.url)
            if image.url
            else client.Picture(data=image.file.read(), content_type=image.content_type)
            for image in row.images.all()
        )
    except FileNotFoundError:
        services.record_refused(claim, code="picture_lost", message="our storage lost the picture")
        return None
    except OSError as error:  # a storage elsewhere that fails for a while: nothing left this machine
        services.record_not_sent(claim, message=f"our storage: {error}"[:200])
        return None
    return client.Order(
        external_id=str(row.pk),
        model=row.model,
        prompt=row.prompt,
        seconds=row.seconds,
        size=row.size,
        mode=row.mode,
        sound=row.sound,
        names_mode=services.names_mode(row),
        metadata=row.metadata,
        pictures=pictures,
    )


def _record(claim: dispatch.Claim, future: Future[client.Submitted]) -> None:
    """One outcome of a POST, by its kind: see the table in ``omnimaas.errors``."""
    reach("send.answered")
    try:
        answer = future.result()
    except NotSent as error:
        services.record_not_sent(claim, message=error.message)
    except Throttled as error:
        services.record_throttled(claim, message=error.message, retry_after=error.retry_after)
    except AccountFault as error:
        log.error("upstream refuses our account: %s", error.message)
        services.record_account_fault(claim, message=error.message)
    except Refused as error:
        services.record_refused(claim, code=error.code, message=error.message, reply=error.reply)
    except Doubt as error:
        log.warning("generation %s is in doubt: %s", claim.generation_id, error.message)
        services.record_doubt(claim, code=error.code, message=error.message, reply=error.reply)
    except Exception as error:
        services.record_doubt(claim, code="our_fault", message=type(error).__name__)
        raise
    else:
        services.record_submitted(
            claim, upstream_id=answer.upstream_id, request_id=answer.request_id, reply=answer.reply
        )
