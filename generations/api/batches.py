"""``/v1/batches``: many generations in one call, as JSON or as a table; own rows only."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any, cast

from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import ApiKey, User
from accounts.quotas import Balance
from generations import services
from generations.api import batch_documents as documents
from generations.api.batch_bodies import asked_for
from generations.api.creating import once_from, respond
from generations.api.pages import as_list, limit_from
from generations.models import OPEN, Batch, Status
from kling_platform.api import BoundedCSVParser, BoundedJSONParser, error_body
from kling_platform.api_views import ApiView
from kling_platform.errors import InvalidValue, NotFound


def as_batch(batch: Any) -> dict[str, Any]:
    """A batch that came through ``batches_with_counts``, or was just made, in the words of the wire."""
    counts = {status.value: getattr(batch, f"n_{status.value}") for status in Status}
    return {
        "id": str(batch.pk),
        "object": "batch",
        "name": batch.name,
        "mode": str(batch.mode),
        "created_at": int(batch.created_at.timestamp()),
        "status": _status(batch, counts),
        "asked": batch.asked,
        "counts": counts,
        "cost": {"held": batch.held, "charged": batch.charged},
        "stop_at_failure_rate": batch.stop_at_failure_rate,
        "paused_at": int(batch.paused_at.timestamp()) if batch.paused_at else None,
        "errors": batch.refused,
    }


def _status(batch: Batch, counts: dict[str, int]) -> str:
    if not any(counts[status] for status in OPEN):
        return "finished"
    return "paused" if batch.paused_at and counts[Status.QUEUED] else "processing"


def as_quote(quote: services.BatchQuote) -> dict[str, Any]:
    """What the call would do, by the same check and the same wallets."""
    checked, refusal = quote.checked, quote.refusal
    return {
        "object": "batch.quote",
        "asked": len(checked.drafts) + len(checked.refusals),
        "passed": len(checked.drafts),
        "price": checked.price,
        "can_pay": refusal is None,
        "wallets": [_wallet(balance) for balance in quote.balances],
        "refusal": refusal and error_body(refusal.status, refusal.code, str(refusal), refusal.param)["error"],
        "errors": checked.errors,
    }


def _wallet(balance: Balance) -> dict[str, Any]:
    resets = balance.resets_at
    return {
        "scope": balance.scope,
        "available": balance.wallet.available,
        "resets_at": int(resets.timestamp()) if resets else None,
    }


class BatchView(ApiView):
    def rows(self, request: Request) -> Any:
        return Batch.objects.owned_by(request.user)

    def own(self, request: Request, batch_id: uuid.UUID, param: str | None = None) -> Any:
        """The caller's batch with its counts, else 404."""
        found = services.batches_with_counts(self.rows(request).filter(pk=batch_id)).first()
        if found is None:
            raise NotFound(_("There is no batch with this id, or it is not yours."), param=param)
        return found


@documents.batches
class Batches(BatchView):
    parser_classes = [BoundedJSONParser, BoundedCSVParser]

    def post(self, request: Request) -> Response:
        user, key = cast(User, request.user), cast(ApiKey, request.auth)
        lines, options = asked_for(request.data, request.query_params)
        dry_run = request.query_params.get("dry_run", "0")
        if dry_run not in ("0", "1"):
            raise InvalidValue(_("dry_run is 0 or 1."), param="dry_run")
        if dry_run == "1":
            quote = services.quote_batch(user=user, api_key=key, lines=lines, for_whom=options["for_whom"])
            return Response(as_quote(quote))
        asked = [request.data, dict(request.query_params)]
        # A client that says that it tries again is known by one generation of the same words; a batch has its key.
        once = replace(once_from(request, asked, as_batch), retried=False)
        return respond(
            services.make_once(
                once,
                lambda: services.create_batch(user=user, api_key=key, lines=lines, once=once, **options),
            )
        )

    def get(self, request: Request) -> Response:
        query = request.query_params
        limit, rows = limit_from(query), self.rows(request)
        if "after" in query:
            rows = rows.before(self._cursor(request, query["after"]))
        found = list(services.batches_with_counts(rows).newest_first()[: limit + 1])
        return Response(as_list([as_batch(batch) for batch in found[:limit]], has_more=len(found) > limit))

    def _cursor(self, request: Request, text: str) -> Batch:
        try:
            wanted = uuid.UUID(text)
        except ValueError:
            raise InvalidValue(
                _("after is the id of a batch: the last_id of a page."), param="after"
            ) from None
        return cast(Batch, self.own(request, wanted, param="after"))


@documents.batch
class OneBatch(BatchView):
    def get(self, request: Request, batch_id: uuid.UUID) -> Response:
        return Response(as_batch(self.own(request, batch_id)))


@documents.cancel
class CancelBatch(BatchView):
    makes = False

    def post(self, request: Request, batch_id: uuid.UUID) -> Response:
        services.cancel_batch(self.own(request, batch_id), actor=cast(User, request.user))
        return Response(as_batch(self.own(request, batch_id)))


@documents.resume
class ResumeBatch(BatchView):
    makes = False

    def post(self, request: Request, batch_id: uuid.UUID) -> Response:
        services.resume_batch(self.own(request, batch_id))
        return Response(as_batch(self.own(request, batch_id)))
