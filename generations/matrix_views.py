"""The matrix: many videos from a grid or a table, priced line by line before anything starts."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import services as people
from generations import matrix, services
from generations.again_views import wall_url
from generations.lookups import MOST_WATCHED, choices_of, make_once, to_uuid, user_of
from generations.models import Batch, Generation
from kling_platform.errors import PlatformError
from kling_platform.text import check_text

GRID, TABLE = "grid", "table"


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Fill in, see every line with its price and the whole, then start for exactly that price."""
    if request.method != "POST":
        return _page(request, {"as": GRID, "size": "16:9", "seconds": ["5"], "nonce": uuid.uuid4()})
    data = request.POST
    wanted: dict[str, Any] = data.dict() | {
        "makes": data.getlist("makes"),
        "seconds": data.getlist("seconds"),
        "nonce": to_uuid(data.get("nonce", "")) or uuid.uuid4(),
    }
    try:
        lines = _lines(wanted)
        quote = services.quote_batch(user=user_of(request), api_key=None, lines=lines)
        if "start" not in data:
            return _page(request, wanted, quote=quote)
        if data.get("price") != str(quote.checked.price):
            changed = _("The price has changed meanwhile. Nothing was started; here is the new one.")
            return _page(request, wanted, quote=quote, error=changed)
        batch_id = _create_once(request, wanted, lines)
    except PlatformError as refusal:
        return _page(request, wanted, error=str(refusal), status=refusal.status)
    return redirect("matrix", batch_id)


def _lines(wanted: dict[str, Any]) -> list[services.Line]:
    for name in ("prompts", "table", "size"):
        check_text(wanted.get(name, ""), param=name)
    if wanted.get("as") == TABLE:
        numbered = matrix.table(wanted.get("table", ""))
    else:
        prompts = wanted.get("prompts", "").splitlines()
        requests = matrix.grid(prompts, wanted["makes"], wanted["seconds"], wanted.get("size", ""))
        numbered = list(enumerate(requests, start=1))
    return [
        services.Line(number, _("line %(number)d") % {"number": number}, request)
        for number, request in numbered
    ]


def _create_once(request: HttpRequest, wanted: dict[str, Any], lines: list[services.Line]) -> str:
    """The id of the batch of this form."""
    user, name = user_of(request), wanted.get("name", "")
    made = make_once(
        request,
        {"lines": [line.request for line in lines]},
        lambda once: services.create_batch(user=user, lines=lines, name=name, once=once),
        lambda batch: {"id": str(batch.pk)},
    )
    return made["id"]


def _page(
    request: HttpRequest,
    wanted: dict[str, Any],
    *,
    quote: services.BatchQuote | None = None,
    error: str = "",
    status: int = 200,
) -> HttpResponse:
    context = {
        **choices_of(user_of(request)),
        "columns": ", ".join(matrix.COLUMNS),
        "wanted": wanted,
        "quote": quote,
        "error": error,
    }
    return render(request, "generations/matrix_new.html", context, status=status)


def _find(request: HttpRequest, batch_id: uuid.UUID) -> Batch:
    return get_object_or_404(services.batches_with_counts(Batch.objects.owned_by(request.user)), pk=batch_id)


@never_cache
@login_required
@require_GET
def result(request: HttpRequest, batch_id: uuid.UUID) -> HttpResponse:
    """All of one matrix, in the order of its lines, each appearing when it is ready."""
    batch = _find(request, batch_id)
    people.mark_read_about(user_of(request), request.path)
    rows = Generation.objects.for_user(request.user).filter(batch=batch).order_by("batch_line", "created_at")
    page = list(rows.select_related("video", "user").prefetch_related("images"))
    ids = [str(generation.pk) for generation in page if generation.is_open]
    context = {
        "batch": batch,
        "page": page,
        "wall": wall_url(page),
        "watched": [
            ",".join(ids[begin : begin + MOST_WATCHED]) for begin in range(0, len(ids), MOST_WATCHED)
        ],
    }
    return render(request, "generations/matrix.html", context)


@login_required
@require_POST
def cancel(request: HttpRequest, batch_id: uuid.UUID) -> HttpResponse:
    """Take back what was not sent yet."""
    batch = _find(request, batch_id)
    try:
        count = services.cancel_batch(batch, actor=user_of(request))
    except PlatformError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("%(count)d canceled. Their credits are back.") % {"count": count})
    return redirect("matrix", batch.pk)
