"""The django-q2 functions of webhooks: claim, call, note what came of it. Nobody imports this module.

At most one runs at a time, so that slow receivers take one task process and never all. Threads do HTTP only.
"""

from __future__ import annotations

import json
import logging
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC
from typing import Any

from generations import lanes, public, services, webhooks
from generations.models import WebhookDelivery, WebhookTry
from kling_platform.supervisor import draining

log = logging.getLogger(__name__)

CALLERS = 16
# Claims end after this, and the last call soon after: well before the task's timeout.
DELIVER_SECONDS = 20
IDLE_SECONDS = 0.5


def deliver() -> int:
    """Call every endpoint that should hear something, until nothing is due. Returns how many calls were made."""
    token = lanes.enter("deliver")
    if token is None:
        return 0  # its holder was told to look once more
    lane, called = lanes.Held("deliver", token), 0
    ends = time.monotonic() + DELIVER_SECONDS
    while True:
        called += _call_all(lane, ends)
        if draining() or time.monotonic() > ends:
            lanes.abandon(lane.name, lane.token)
            if services.has_deliveries():
                services.wake_deliver()
            return called
        if lanes.leave(lane.name, lane.token):
            return called


def _call_all(lane: lanes.Held, ends: float) -> int:
    called = 0
    pending: dict[Future[webhooks.Answer], services.DeliveryDue] = {}
    with ThreadPoolExecutor(CALLERS) as pool:
        while True:
            room = CALLERS - len(pending)
            if room and not draining() and lane.still() and time.monotonic() < ends:
                for due in services.claim_deliveries(room):
                    pending[pool.submit(_send, due)] = due
                    called += 1
            if not pending:
                return called
            for future in wait(pending, timeout=IDLE_SECONDS, return_when=FIRST_COMPLETED).done:
                _record(pending.pop(future), future)
            lane.still()


def _send(due: services.DeliveryDue) -> webhooks.Answer:
    """In a thread: everything that it needs of the database is in ``due``."""
    delivery = due.delivery
    body = json.dumps(payload(delivery), ensure_ascii=False, separators=(",", ":")).encode()
    return webhooks.send(webhooks.Call(str(delivery.pk), delivery.endpoint.url, due.secrets, body))


def payload(delivery: WebhookDelivery) -> dict[str, Any]:
    """What is said: the event, when it happened, and the generation in the same words as in the API."""
    happened = delivery.created_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if delivery.generation is None:
        data: dict[str, Any] = {"id": str(delivery.endpoint_id), "object": "webhook"}
    else:
        data = public.as_video(delivery.generation)
    return {"type": delivery.event, "timestamp": happened, "data": data}


def _record(due: services.DeliveryDue, future: Future[webhooks.Answer]) -> None:
    fault = future.exception()
    if fault is not None:
        log.error("delivery %s could not be tried", due.delivery.pk, exc_info=fault)
        answer = webhooks.Answer(WebhookTry.Outcome.OUR_FAULT)
    else:
        answer = future.result()
    services.record_try(
        due, outcome=answer.outcome, status=answer.status, ms=answer.ms, excerpt=answer.excerpt
    )


def forget() -> int:
    """Every hour: delete what is over for long. Returns how many rows went."""
    return services.forget_deliveries()
