"""What listeners are to hear: rows written in the transaction of what happened, and the wake-up beside them."""

from __future__ import annotations

import uuid

from django.db.models.functions import Now
from django_q.tasks import async_task

from generations.models import TEST_EVENT, Status, WebhookDelivery, WebhookEndpoint, WebhookEvent

EVENTS: dict[str, WebhookEvent] = {
    Status.SUCCEEDED: WebhookEvent.SUCCEEDED,
    Status.FAILED: WebhookEvent.FAILED,
    Status.CANCELED: WebhookEvent.CANCELED,
}


def announce(generation_id: uuid.UUID, status: str) -> None:
    """Note for each of the owner's endpoints that asked for it that this generation has ended.

    To be called inside the transaction of its end: either both are true or neither. What is said is
    written only when it is sent, so that the link in it is fresh after three days of tries too.
    """
    event = EVENTS[status]
    endpoints = WebhookEndpoint.objects.called().filter(user__generations=generation_id)
    rows = [
        WebhookDelivery(endpoint_id=pk, generation_id=generation_id, event=event, next_try_at=Now())
        for pk, events in endpoints.values_list("pk", "events")
        if event in events
    ]
    if rows:
        WebhookDelivery.objects.bulk_create(rows)
        wake()


def add_test(endpoint: WebhookEndpoint) -> WebhookDelivery:
    """A delivery that is about the endpoint itself."""
    delivery = WebhookDelivery.objects.create(endpoint=endpoint, event=TEST_EVENT, next_try_at=Now())
    wake()
    delivery.refresh_from_db()  # the database's clock has said when
    return delivery


def wake() -> None:
    """Something may be delivered. Waking twice is harmless."""
    async_task("generations.deliveries.deliver")
