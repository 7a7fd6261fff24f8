"""What people do with their webhooks: register, change, rotate, pause, resume, remove, test, replay.

``url``, ``events`` and ``name`` come as they were sent, of whatever type, and are judged here.
"""

from __future__ import annotations

import base64
import secrets
from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from generations import outbox
from generations.models import WebhookDelivery, WebhookEndpoint, WebhookEvent
from generations.services.deliveries import give_up, stop
from kling_platform import egress
from kling_platform.errors import InvalidValue, Suspended, WrongState
from kling_platform.text import check_text

MOST_ENDPOINTS = 10
MOST_NAME = 100
SECRET_BYTES = 32  # the standard wants 24 to 64
# How long the old secret signs beside the new one.
OVERLAP = timedelta(hours=24)


@transaction.atomic
def register_webhook(user: User, *, url: object, events: object = None, name: object = "") -> WebhookEndpoint:
    """A new endpoint. Its ``secret`` is to be shown now and never again. Without ``events`` it hears all."""
    if not user.is_active:
        raise Suspended(_("This account is suspended. Ask an admin."))
    User.objects.select_for_update(no_key=True).get(pk=user.pk)  # so that two at once are counted
    if WebhookEndpoint.objects.owned_by(user).count() >= MOST_ENDPOINTS:
        raise WrongState(
            _("You have %(most)d webhooks, and more are not possible. Remove one first.")
            % {"most": MOST_ENDPOINTS}
        )
    endpoint = WebhookEndpoint.objects.create(
        user=user,
        url=_checked_url(url),
        events=_checked_events(WebhookEvent.values if events is None else events),
        name=_checked_name(name),
        secret=_new_secret(),
    )
    audit("webhook.make", endpoint.pk, actor=user, url=endpoint.url, events=endpoint.events)
    return endpoint


@transaction.atomic
def change_webhook(
    endpoint: WebhookEndpoint,
    *,
    url: object = None,
    events: object = None,
    name: object = None,
) -> WebhookEndpoint:
    """Set what is given; what waits goes to the new address."""
    before = _told(endpoint)
    if url is not None:
        endpoint.url = _checked_url(url)
    if events is not None:
        endpoint.events = _checked_events(events)
    if name is not None:
        endpoint.name = _checked_name(name)
    endpoint.save(update_fields=["url", "events", "name"])
    if before != _told(endpoint):
        audit("webhook.change", endpoint.pk, actor=endpoint.user, before=before, after=_told(endpoint))
    return endpoint


def _told(endpoint: WebhookEndpoint) -> dict[str, object]:
    """What the audit says of it."""
    return {"url": endpoint.url, "events": endpoint.events, "name": endpoint.name}


@transaction.atomic
def rotate_webhook(endpoint: WebhookEndpoint, *, keep_old: bool = True) -> WebhookEndpoint:
    """A new secret, to be shown now. The old one signs too for a day, or ends at once where it has leaked."""
    old = endpoint.secret if keep_old else ""
    until = Now() + OVERLAP if keep_old else None
    rows = WebhookEndpoint.objects.filter(pk=endpoint.pk, secret=endpoint.secret, deleted_at__isnull=True)
    if rows.update(secret=_new_secret(), old_secret=old, old_secret_until=until) != 1:
        raise WrongState(_("Somebody else made a new secret at this moment. Look again."))
    audit("webhook.rotate", endpoint.pk, actor=endpoint.user, keep_old=keep_old)
    endpoint.refresh_from_db()
    return endpoint


@transaction.atomic
def pause_webhook(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    """Call it no more until it is resumed. What happens meanwhile is not kept for it."""
    if stop(endpoint.pk, WebhookEndpoint.Stopped.PAUSED):
        audit("webhook.pause", endpoint.pk, actor=endpoint.user)
    endpoint.refresh_from_db()
    return endpoint


@transaction.atomic
def resume_webhook(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    """Call it again, whatever it was stopped for; from now on, and not for what was given up."""
    rows = WebhookEndpoint.objects.filter(pk=endpoint.pk, deleted_at__isnull=True).exclude(stopped="")
    if rows.update(stopped="", stopped_at=None):
        audit("webhook.resume", endpoint.pk, actor=endpoint.user)
    endpoint.refresh_from_db()
    return endpoint


@transaction.atomic
def remove_webhook(endpoint: WebhookEndpoint) -> None:
    """Forget the endpoint and its secrets at once; nothing is sent there any more."""
    rows = WebhookEndpoint.objects.filter(pk=endpoint.pk, deleted_at__isnull=True)
    if rows.update(deleted_at=Now(), secret="", old_secret="", old_secret_until=None):
        give_up(endpoint.pk)
        audit("webhook.remove", endpoint.pk, actor=endpoint.user, url=endpoint.url)


@transaction.atomic
def send_test(endpoint: WebhookEndpoint) -> WebhookDelivery:
    """Queue a delivery that says nothing but that the endpoint works."""
    _check_called(endpoint)
    return outbox.add_test(endpoint)


@transaction.atomic
def replay_delivery(delivery: WebhookDelivery) -> WebhookDelivery:
    """Send it again, with its old id: a receiver that has it already knows it. A new plan of ten tries."""
    _check_called(delivery.endpoint)
    begin_anew(WebhookDelivery.objects.filter(pk=delivery.pk))
    delivery.refresh_from_db()
    return delivery


@transaction.atomic
def replay_failed(endpoint: WebhookEndpoint) -> int:
    """Send everything again that was given up and is still in the log; returns how many."""
    _check_called(endpoint)
    return begin_anew(endpoint.deliveries.filter(status=WebhookDelivery.Status.FAILED))


def begin_anew(rows: QuerySet[WebhookDelivery]) -> int:
    """A new plan of ten tries for each of these; how many."""
    many = rows.update(status=WebhookDelivery.Status.WAITING, tries=0, first_try_at=None, next_try_at=Now())
    if many:
        outbox.wake()
    return many


def _check_called(endpoint: WebhookEndpoint) -> None:
    if endpoint.stopped:
        raise WrongState(_("This webhook is stopped, so nothing was sent. Resume it first."))


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _checked_url(url: object) -> str:
    if not isinstance(url, str) or not url.strip():
        raise InvalidValue(_("Give the address that is to be called, beginning with https://."), param="url")
    egress.check_target(url.strip())
    return url.strip()


def _checked_events(events: object) -> list[str]:
    """In the order in which they are declared, each once."""
    asked = list(events) if isinstance(events, list | tuple | set) else []
    if not asked or any(event not in WebhookEvent.values for event in asked):
        raise InvalidValue(
            _("Choose one or more events of %(events)s.") % {"events": ", ".join(WebhookEvent.values)},
            param="events",
        )
    return [event for event in WebhookEvent.values if event in asked]


def _checked_name(name: object) -> str:
    text = check_text(name, param="name").strip() if isinstance(name, str) else None
    if text is None or len(text) > MOST_NAME or not text.isprintable():
        raise InvalidValue(_("A name is one line of up to 100 characters."), param="name")
    return text
