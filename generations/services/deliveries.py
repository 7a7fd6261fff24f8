"""Deliveries of webhooks: who is called next, and what each try came to. One call at a time for each endpoint."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from accounts.models import Notice
from accounts.services import notify
from generations.models import WebhookDelivery, WebhookEndpoint, WebhookTry

# Waits between ten tries, in seconds: 75 hours in all, as Standard Webhooks proposes.
WAITS = (5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
TRIES = len(WAITS) + 1
JITTER = 0.1
# Longer than a call can take, so that only a killed worker's lease ever ends.
CLAIM_LEASE = timedelta(seconds=60)
KEPT = timedelta(days=30)
BATCH = 500
GONE_STATUS = 410

Stopped, Outcome = WebhookEndpoint.Stopped, WebhookTry.Outcome
# What its owner is told (see ``Notice.sentence``).
SENTENCES: dict[str, str] = {Stopped.FAILING: "webhook", Stopped.GONE: "webhook_gone"}


@dataclass(frozen=True)
class DeliveryDue:
    """A delivery to be tried now. Its endpoint is called by nobody else until the lease is over."""

    delivery: WebhookDelivery  # with its endpoint and its generation
    token: uuid.UUID

    @property
    def secrets(self) -> tuple[str, ...]:
        """The living secrets, the new one first."""
        endpoint = self.delivery.endpoint
        if endpoint.old_secret_until and endpoint.old_secret_until > timezone.now():
            return endpoint.secret, endpoint.old_secret
        return (endpoint.secret,)


def has_deliveries() -> bool:
    """Whether a call could be made now."""
    return _callable().exists()


def claim_deliveries(most: int) -> list[DeliveryDue]:
    """The oldest due delivery of each of up to ``most`` endpoints, the longest not served first."""
    rows = _callable().order_by(F("served_at").asc(nulls_first=True))
    found = (_claim(pk) for pk in rows.values_list("pk", flat=True)[:most])
    return [due for due in found if due is not None]


def _free() -> Q:
    return Q(claim_token__isnull=True) | Q(claimed_until__lte=Now())


def _callable() -> QuerySet[WebhookEndpoint]:
    """Endpoints that nobody calls now and that should be; a suspended owner's wait."""
    due = WebhookDelivery.objects.due().filter(endpoint=OuterRef("pk"))
    return WebhookEndpoint.objects.called().filter(_free(), Exists(due), user__is_active=True)


def _claim(endpoint_id: uuid.UUID) -> DeliveryDue | None:
    token = uuid.uuid4()
    free = WebhookEndpoint.objects.called().filter(_free(), pk=endpoint_id)
    if free.update(claim_token=token, claimed_until=Now() + CLAIM_LEASE, served_at=Now()) != 1:
        return None
    rows = WebhookDelivery.objects.due().select_related("endpoint", "generation")
    delivery = rows.filter(endpoint_id=endpoint_id).first()
    if delivery is None:  # somebody was faster, between the look and the claim
        _let_go(endpoint_id, token)
        return None
    return DeliveryDue(delivery, token)


def _let_go(endpoint_id: uuid.UUID, token: uuid.UUID, **changes: object) -> bool:
    mine = WebhookEndpoint.objects.filter(pk=endpoint_id, claim_token=token)
    return mine.update(claim_token=None, claimed_until=None, **changes) == 1


@transaction.atomic
def record_try(
    due: DeliveryDue, *, outcome: str, status: int | None = None, ms: int | None = None, excerpt: str = ""
) -> bool:
    """Note what a try came to and plan the next one; stop an endpoint that is gone, or silent for three days.

    False, and nothing is changed, once the lease is over: somebody else is calling the endpoint then.
    """
    taken = outcome == Outcome.DELIVERED
    endpoint_id = due.delivery.endpoint_id
    if not _let_go(endpoint_id, due.token, **({"succeeded_at": Now()} if taken else {})):
        return False
    row = WebhookDelivery.objects.filter(pk=due.delivery.pk)
    row.update(tries=F("tries") + 1, first_try_at=Coalesce("first_try_at", Now()))
    delivery = row.get()
    WebhookTry.objects.create(
        delivery=delivery, number=delivery.tries, outcome=outcome, status=status, ms=ms, excerpt=excerpt
    )
    waiting = row.filter(status=WebhookDelivery.Status.WAITING)  # it may have been stopped during the call
    if taken:
        row.update(status=WebhookDelivery.Status.DELIVERED, next_try_at=None)
    elif status == GONE_STATUS:
        _stop_by_itself(endpoint_id, Stopped.GONE)
    elif delivery.tries < TRIES:
        waiting.update(next_try_at=Now() + _wait(delivery.tries))
    else:
        waiting.update(status=WebhookDelivery.Status.FAILED, next_try_at=None)
        if _silent_since(endpoint_id, delivery.first_try_at):
            _stop_by_itself(endpoint_id, Stopped.FAILING)
    return True


def _silent_since(endpoint_id: uuid.UUID, since: datetime | None) -> bool:
    """Whether nothing at all was delivered to the endpoint after this moment."""
    never = Q(succeeded_at__isnull=True) | Q(succeeded_at__lt=since)
    return WebhookEndpoint.objects.filter(never, pk=endpoint_id).exists()


def _stop_by_itself(endpoint_id: uuid.UUID, why: str) -> None:
    if stop(endpoint_id, why):
        endpoint = WebhookEndpoint.objects.select_related("user").get(pk=endpoint_id)
        facts = {"name": str(endpoint)[:100], "as": SENTENCES[why]}
        notify([endpoint.user], Notice.Kind.WEBHOOK, link=f"/account/webhooks/{endpoint_id}", **facts)


def _wait(tries: int) -> timedelta:
    """Until the next try. Spread a little, so that a receiver that comes back is not met by all at once."""
    return timedelta(seconds=WAITS[tries - 1] * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - no secret


def stop(endpoint_id: uuid.UUID, why: str) -> bool:
    """Call it no more, and give up what waits for it; False if it was stopped already."""
    called = WebhookEndpoint.objects.called().filter(pk=endpoint_id)
    if called.update(stopped=why, stopped_at=Now()) != 1:
        return False
    give_up(endpoint_id)
    return True


def give_up(endpoint_id: uuid.UUID) -> None:
    """What waits for this endpoint is not sent any more by itself."""
    waiting = WebhookDelivery.objects.filter(endpoint_id=endpoint_id, next_try_at__isnull=False)
    waiting.update(status=WebhookDelivery.Status.FAILED, next_try_at=None)


def forget_deliveries() -> int:
    """Delete what is over: secrets after their day, logs after 30, endpoints a day after their removal.

    Returns how many rows went.
    """
    WebhookEndpoint.objects.filter(old_secret_until__lte=Now()).update(old_secret="", old_secret_until=None)
    over = WebhookDelivery.objects.filter(created_at__lt=Now() - KEPT, next_try_at__isnull=True)
    old = WebhookDelivery.objects.filter(pk__in=list(over.values_list("pk", flat=True)[:BATCH]))
    removed = WebhookEndpoint.objects.filter(deleted_at__lt=Now() - timedelta(days=1))
    return old.delete()[0] + removed.delete()[0]
