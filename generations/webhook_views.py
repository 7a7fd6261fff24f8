"""The portal's pages about webhooks: guards, work, render. Own endpoints only, else 404."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.models import User
from generations import services
from generations.models import WebhookDelivery, WebhookEndpoint, WebhookEvent
from kling_platform.errors import PlatformError

LOG_PAGE = 20


class WebhookForm(forms.Form):
    """What is typed; the service judges it."""

    url = forms.CharField(required=False, strip=True)
    name = forms.CharField(required=False, strip=True)
    events = forms.MultipleChoiceField(required=False, choices=WebhookEvent.choices)

    def show(self, refusal: PlatformError) -> None:
        """Put a refusal where it belongs."""
        self.add_error(refusal.param if refusal.param in self.fields else None, str(refusal))


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)


def _find(request: HttpRequest, webhook_id: uuid.UUID) -> WebhookEndpoint:
    return get_object_or_404(WebhookEndpoint.objects.owned_by(request.user), pk=webhook_id)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def webhooks(request: HttpRequest) -> HttpResponse:
    """All of them, and a form for one more. A new secret is in this one answer and nowhere else: no redirect."""
    form, made, status = WebhookForm(initial={"events": WebhookEvent.values}), None, 200
    if request.method == "POST":
        form = WebhookForm(request.POST)
        if form.is_valid():
            try:
                made = services.register_webhook(_user(request), **form.cleaned_data)
            except PlatformError as refusal:
                form.show(refusal)
                status = refusal.status
            else:
                form = WebhookForm(initial={"events": WebhookEvent.values})
        else:
            status = 400
    context = {
        "endpoints": WebhookEndpoint.objects.owned_by(request.user).newest_first(),
        "form": form,
        "made": made,
    }
    return render(request, "generations/webhooks.html", context, status=status)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def webhook(request: HttpRequest, webhook_id: uuid.UUID) -> HttpResponse:
    """One of them: where it goes, what became of each event, and the means to put it right."""
    endpoint = _find(request, webhook_id)
    if request.headers.get("HX-Request"):
        return render(request, "generations/_webhook_log.html", _log(request, endpoint))
    if request.method != "POST":
        return _page(request, endpoint)
    form = WebhookForm(request.POST)
    if form.is_valid():
        try:
            services.change_webhook(endpoint, **form.cleaned_data)
        except PlatformError as refusal:
            form.show(refusal)
        else:
            messages.success(request, _("Saved."))
            return redirect("webhook", endpoint.pk)
    return _page(request, _find(request, webhook_id), form=form, status=400)


def _page(
    request: HttpRequest,
    endpoint: WebhookEndpoint,
    *,
    form: WebhookForm | None = None,
    new_secret: str = "",
    status: int = 200,
) -> HttpResponse:
    kept = {"url": endpoint.url, "name": endpoint.name, "events": endpoint.events}
    context = {"form": form or WebhookForm(initial=kept), "new_secret": new_secret, **_log(request, endpoint)}
    return render(request, "generations/webhook.html", context, status=status)


def _log(request: HttpRequest, endpoint: WebhookEndpoint) -> dict[str, Any]:
    """A page of the log, found by key. ``moving`` while something has not been tried yet."""
    rows = endpoint.deliveries.newest_first()
    after = _uuid(request.GET.get("after", ""))
    if after:
        rows = rows.before(get_object_or_404(endpoint.deliveries, pk=after))
    found = list(rows.prefetch_related("log")[: LOG_PAGE + 1])
    waiting = WebhookDelivery.Status.WAITING
    return {
        "endpoint": endpoint,
        "deliveries": found[:LOG_PAGE],
        "after": after,
        "older": found[LOG_PAGE - 1].pk if len(found) > LOG_PAGE else None,
        "moving": not endpoint.stopped
        and any(one.status == waiting and one.tries == 0 for one in found[:LOG_PAGE]),
        "any_failed": endpoint.deliveries.filter(status=WebhookDelivery.Status.FAILED).exists(),
    }


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


@never_cache
@login_required
@require_POST
def rotate(request: HttpRequest, webhook_id: uuid.UUID) -> HttpResponse:
    """A new secret, shown in this one answer."""
    endpoint = _find(request, webhook_id)
    try:
        endpoint = services.rotate_webhook(endpoint, keep_old="end_old" not in request.POST)
    except PlatformError as refusal:
        messages.error(request, str(refusal))
        return redirect("webhook", webhook_id)
    return _page(request, endpoint, new_secret=endpoint.secret)


def _done(request: HttpRequest, webhook_id: uuid.UUID, do: Callable[[], str]) -> HttpResponse:
    """Do it, say what was done or why not, and go back to the endpoint."""
    try:
        messages.success(request, do())
    except PlatformError as refusal:
        messages.error(request, str(refusal))
    return redirect("webhook", webhook_id)


@login_required
@require_POST
def test(request: HttpRequest, webhook_id: uuid.UUID) -> HttpResponse:
    """Send something that means nothing."""
    endpoint = _find(request, webhook_id)

    def do() -> str:
        services.send_test(endpoint)
        return _("A test is on its way. The log below says what came of it.")

    return _done(request, webhook_id, do)


@login_required
@require_POST
def pause(request: HttpRequest, webhook_id: uuid.UUID) -> HttpResponse:
    """Call it no more, for now."""
    endpoint = _find(request, webhook_id)

    def do() -> str:
        services.pause_webhook(endpoint)
        return _("Paused. Nothing is sent until you resume it.")

    return _done(request, webhook_id, do)


@login_required
@require_POST
def resume(request: HttpRequest, webhook_id: uuid.UUID) -> HttpResponse:
    """Call it again."""
    endpoint = _find(request, webhook_id)

    def do() -> str:
        services.resume_webhook(endpoint)
        return _("Resumed. It hears of everything that ends from now on.")

    return _done(request, webhook_id, do)


@login_required
@require_POST
def remove(request: HttpRequest, webhook_id: uuid.UUID) -> HttpResponse:
    """Forget it."""
    services.remove_webhook(_find(request, webhook_id))
    messages.success(request, _("The webhook is removed, and its secret with it."))
    return redirect("webhooks")


@login_required
@require_POST
def replay_failed(request: HttpRequest, webhook_id: uuid.UUID) -> HttpResponse:
    """Send again what was given up."""
    endpoint = _find(request, webhook_id)

    def do() -> str:
        many = services.replay_failed(endpoint)
        return ngettext("%(many)d event is sent again.", "%(many)d events are sent again.", many) % {
            "many": many
        }

    return _done(request, webhook_id, do)


@login_required
@require_POST
def replay(request: HttpRequest, webhook_id: uuid.UUID, delivery_id: uuid.UUID) -> HttpResponse:
    """Send one event again."""
    rows = _find(request, webhook_id).deliveries.select_related("endpoint")
    delivery = get_object_or_404(rows, pk=delivery_id)

    def do() -> str:
        services.replay_delivery(delivery)
        return _("It is on its way again, with the same id.")

    return _done(request, webhook_id, do)
