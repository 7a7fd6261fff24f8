"""Operations: is it us or them, what is stuck, and what to do now. For admins."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, cast

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts import rooms
from accounts.models import User
from generations import services
from generations.models import Generation, WebhookEndpoint
from kling_platform.errors import PlatformError

ROOM = "manage_operations"
MOST_SHOWN = 20
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
    unheard = services.unheard_webhooks(MOST_SHOWN)
    context: dict[str, Any] = {
        "health": services.health(),
        "unheard": unheard,
        "given_up": sum(each.many for each in unheard),
    }
    if request.headers.get("HX-Request"):
        return render(request, "manage/_operations.html", context)
    return render(request, "manage/operations.html", context | _stuck())


def _stuck() -> dict[str, Any]:
    return {
        "doubts": list(services.open_doubts()[:MOST_SHOWN]),
        "stuck": list(services.stuck_stores()[:MOST_SHOWN]),
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
    return _done(request, services.replay_webhooks, said, endpoint=endpoint)


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
    return redirect("manage_operations")
