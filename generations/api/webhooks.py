"""``/v1/webhooks``: where events go, and what became of each. A key with the scope ``webhooks``; own rows only."""

from __future__ import annotations

import uuid
from typing import Any, cast

from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from generations import services
from generations.api import fields
from generations.api import webhook_documents as documents
from generations.api.pages import as_list, limit_from
from generations.models import WebhookDelivery, WebhookEndpoint
from kling_platform.api_views import ApiView
from kling_platform.errors import InvalidValue, NotFound

FIELDS = ("url", "events", "name")


def as_webhook(endpoint: WebhookEndpoint, *, show_secret: bool = False) -> dict[str, Any]:
    """An endpoint in the words of the wire; its secret only where it was made just now."""
    webhook = {
        "id": str(endpoint.pk),
        "object": "webhook",
        "name": endpoint.name,
        "url": endpoint.url,
        "events": endpoint.events,
        "enabled": not endpoint.stopped,
        "stopped_reason": endpoint.stopped or None,
        "created_at": int(endpoint.created_at.timestamp()),
        "last_success_at": _seconds(endpoint.succeeded_at),
        "old_secret_until": _seconds(endpoint.old_secret_until),
    }
    return webhook | ({"secret": endpoint.secret} if show_secret else {})


def as_delivery(delivery: WebhookDelivery) -> dict[str, Any]:
    """A delivery with every try that is still in the log."""
    return {
        "id": str(delivery.pk),
        "object": "webhook.delivery",
        "webhook_id": str(delivery.endpoint_id),
        "generation_id": str(delivery.generation_id) if delivery.generation_id else None,
        "event": delivery.event,
        "created_at": int(delivery.created_at.timestamp()),
        "status": str(delivery.status),
        "next_try_at": _seconds(delivery.next_try_at),
        "tries": [
            {
                "number": one.number,
                "at": int(one.at.timestamp()),
                "outcome": str(one.outcome),
                "message": one.get_outcome_display(),
                "status": one.status,
                "ms": one.ms,
                "excerpt": one.excerpt,
            }
            for one in delivery.log.all()
        ],
    }


def _seconds(moment: Any) -> int | None:
    return int(moment.timestamp()) if moment else None


class WebhookView(ApiView):
    scope = "webhooks"
    http_method_names = [*ApiView.http_method_names, "patch", "delete"]

    def own(self, request: Request, webhook_id: uuid.UUID) -> WebhookEndpoint:
        """The caller's endpoint, else 404."""
        rows = WebhookEndpoint.objects.owned_by(request.user).select_related("user")
        found = rows.filter(pk=webhook_id).first()
        if found is None:
            raise NotFound(_("There is no webhook with this id, or it is not yours."))
        return found

    def own_delivery(
        self, request: Request, webhook_id: uuid.UUID, delivery_id: uuid.UUID
    ) -> WebhookDelivery:
        """A delivery of the caller's endpoint, else 404."""
        rows = self.own(request, webhook_id).deliveries.select_related("endpoint").prefetch_related("log")
        found = rows.filter(pk=delivery_id).first()
        if found is None:
            raise NotFound(_("There is no delivery with this id. They are kept for 30 days."))
        return found


@documents.webhooks
class Webhooks(WebhookView):
    def get(self, request: Request) -> Response:
        rows = WebhookEndpoint.objects.owned_by(request.user).newest_first()
        return Response(as_list([as_webhook(endpoint) for endpoint in rows]))

    def post(self, request: Request) -> Response:
        body = fields.only(request, *FIELDS)
        given = {name: body[name] for name in FIELDS if body.get(name) is not None}
        endpoint = services.register_webhook(cast(User, request.user), **{"url": None, **given})
        return Response(as_webhook(endpoint, show_secret=True))


@documents.webhook
class OneWebhook(WebhookView):
    def get(self, request: Request, webhook_id: uuid.UUID) -> Response:
        return Response(as_webhook(self.own(request, webhook_id)))

    def patch(self, request: Request, webhook_id: uuid.UUID) -> Response:
        body = fields.only(request, *FIELDS, "enabled")
        enabled = fields.flag(body, "enabled")
        endpoint = self.own(request, webhook_id)
        endpoint = services.change_webhook(endpoint, **{name: body.get(name) for name in FIELDS})
        if enabled is not None:
            endpoint = (services.resume_webhook if enabled else services.pause_webhook)(endpoint)
        return Response(as_webhook(endpoint))

    def delete(self, request: Request, webhook_id: uuid.UUID) -> Response:
        services.remove_webhook(self.own(request, webhook_id))
        return Response({"id": str(webhook_id), "object": "webhook", "deleted": True})


@documents.rotate
class Rotate(WebhookView):
    def post(self, request: Request, webhook_id: uuid.UUID) -> Response:
        keep_old = fields.flag(fields.only(request, "keep_old"), "keep_old")
        endpoint = services.rotate_webhook(self.own(request, webhook_id), keep_old=keep_old is not False)
        return Response(as_webhook(endpoint, show_secret=True))


@documents.test
class Test(WebhookView):
    def post(self, request: Request, webhook_id: uuid.UUID) -> Response:
        return Response(as_delivery(services.send_test(self.own(request, webhook_id))))


@documents.replay_failed
class ReplayFailed(WebhookView):
    def post(self, request: Request, webhook_id: uuid.UUID) -> Response:
        return Response({"replayed": services.replay_failed(self.own(request, webhook_id))})


@documents.deliveries
class Deliveries(WebhookView):
    def get(self, request: Request, webhook_id: uuid.UUID) -> Response:
        query = request.query_params
        limit = limit_from(query)
        rows = self.own(request, webhook_id).deliveries.newest_first()
        if "status" in query:
            if query["status"] not in WebhookDelivery.Status.values:
                raise InvalidValue(_("status is waiting, delivered or failed."), param="status")
            rows = rows.filter(status=query["status"])
        if "after" in query:
            rows = rows.before(self._cursor(request, webhook_id, query["after"]))
        found = list(rows.prefetch_related("log")[: limit + 1])
        data = [as_delivery(delivery) for delivery in found[:limit]]
        return Response(as_list(data, has_more=len(found) > limit))

    def _cursor(self, request: Request, webhook_id: uuid.UUID, text: str) -> WebhookDelivery:
        try:
            return self.own_delivery(request, webhook_id, uuid.UUID(text))
        except ValueError:
            raise InvalidValue(
                _("after is the id of a delivery: the last_id of a page."), param="after"
            ) from None


@documents.delivery
class OneDelivery(WebhookView):
    def get(self, request: Request, webhook_id: uuid.UUID, delivery_id: uuid.UUID) -> Response:
        return Response(as_delivery(self.own_delivery(request, webhook_id, delivery_id)))


@documents.replay
class Replay(WebhookView):
    def post(self, request: Request, webhook_id: uuid.UUID, delivery_id: uuid.UUID) -> Response:
        delivery = services.replay_delivery(self.own_delivery(request, webhook_id, delivery_id))
        return Response(as_delivery(delivery))
