"""Operations: is it us or them, what is stuck, and what to do now. For admins."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from accounts import rooms
from accounts.models import User
from generations import services
from generations.models import Generation, WebhookEndpoint
from kling_platform.errors import PlatformError

ROOM = "manage_operations"
MOST_SHOWN = 20
# How far back the page looks: the words of ``services.SPANS``.
SPAN_LABELS = {
    "day": gettext_lazy("24 hours"),
    "week": gettext_lazy("7 days"),
    "month": gettext_lazy("30 days"),
}
# An operator's three ways out of a doubt, by the last word of the address.
WAYS: dict[str, Callable[..., object]] = {
    "attach": services.attach_id,
    "release": services.release,
    "write-off": services.write_off,
}


@require_GET
@rooms.look(ROOM)
def operations(request: HttpRequest) -> HttpResponse:
    """The whole page, or for htmx the part that moves."""
    span = services.SPANS[_chosen(request)]
    unheard = services.unheard_webhooks(MOST_SHOWN, span)
    context: dict[str, Any] = {
        "health": services.health(span),
        "unheard": unheard,
        "given_up": sum(each.many for each in unheard),
    }
    if request.headers.get("HX-Request"):
        return render(request, "manage/_operations.html", context)
    chosen = {"chosen": _chosen(request), "spans": SPAN_LABELS, "here": _here(request)}
    return render(request, "manage/operations.html", context | chosen | _stuck(span))


def _chosen(request: HttpRequest) -> str:
    """The time that the page is about; the first one where the address names none."""
    asked = request.GET.get("span", "")
    return asked if asked in services.SPANS else next(iter(services.SPANS))


def _here(request: HttpRequest) -> str:
    """What keeps the choice: the end of every address of the page."""
    return f"?span={_chosen(request)}"


def _stuck(span: timedelta) -> dict[str, Any]:
    return {
        "doubts": list(services.open_doubts()[:MOST_SHOWN]),
        "stuck": list(services.stuck_stores()[:MOST_SHOWN]),
        "lost": list(services.lost_videos(span)[:MOST_SHOWN]),
        "storage": services.storage(),
    }


@require_POST
@rooms.act(ROOM)
def pause(request: HttpRequest) -> HttpResponse:
    """Stop the sending, with a reason that everybody reads."""
    reason = request.POST.get("reason", "")
    return _done(request, services.pause_sending, _("Sending is paused."), reason=reason)


@require_POST
@rooms.act(ROOM)
def resume(request: HttpRequest) -> HttpResponse:
    """Go on."""
    return _done(request, services.resume_sending, _("Sending goes on."))


@require_POST
@rooms.act(ROOM)
def decide(request: HttpRequest, generation_id: uuid.UUID, way: str) -> HttpResponse:
    """End a doubt, or ask upstream about an id."""
    if way not in WAYS:
        raise Http404
    given = {"reason": request.POST.get("reason", "")}
    if way == "attach":
        given["upstream_id"] = request.POST.get("upstream_id", "")
    said = _("Upstream is being asked.") if way == "attach" else _("Decided. The credits are returned.")
    return _done(request, WAYS[way], said, _find(generation_id), **given)


@require_POST
@rooms.act(ROOM)
def store(request: HttpRequest, generation_id: uuid.UUID) -> HttpResponse:
    """Try to store it at once."""
    return _done(request, services.store_now, _("It is being tried now."), _find(generation_id))


@require_POST
@rooms.act(ROOM)
def replay(request: HttpRequest, webhook_id: uuid.UUID | None = None) -> HttpResponse:
    """Send again what one endpoint, or all of them, never took."""
    endpoint = get_object_or_404(WebhookEndpoint, pk=webhook_id) if webhook_id else None
    said = _("It is being sent again; what still fails comes back here after its ten tries.")
    span = services.SPANS[_chosen(request)]
    return _done(request, services.replay_webhooks, said, endpoint=endpoint, span=span)


def _find(generation_id: uuid.UUID) -> Generation:
    return get_object_or_404(Generation, pk=generation_id)


def _done(
    request: HttpRequest, verb: Callable[..., object], said: str, *what: Any, **given: Any
) -> HttpResponse:
    try:
        verb(*what, actor=cast(User, request.user), **given)
    except PlatformError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, said)
    return redirect(reverse("manage_operations") + _here(request))
