"""Who hears of alarms: rooms of chats and programs. For admins; addresses are shown masked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts import rooms
from accounts.manage.forms import ServiceForm
from accounts.models import User
from generations import services
from generations.models import Alarm, AlarmDelivery, AlarmTarget
from kling_platform.errors import PlatformError

ROOM = "manage_operations"


class TargetForm(ServiceForm):
    """What is typed; the service judges it."""

    name = forms.CharField(required=False)
    service = forms.ChoiceField(required=False, choices=AlarmTarget.Service.choices)
    url = forms.CharField(required=False)
    secret = forms.CharField(required=False)
    unsigned = forms.BooleanField(required=False)
    kinds = forms.MultipleChoiceField(required=False, choices=Alarm.Kind.choices)
    language = forms.ChoiceField(required=False, choices=settings.LANGUAGES)


def _me(request: HttpRequest) -> User:
    return cast(User, request.user)


def _find(target_id: int) -> AlarmTarget:
    return get_object_or_404(AlarmTarget, pk=target_id)


@require_http_methods(["GET", "HEAD", "POST"])
@rooms.act(ROOM)
def targets(request: HttpRequest) -> HttpResponseBase:
    """All of them, what was told, and a form for one more."""
    if request.headers.get("HX-Request"):
        return render(request, "manage/_alarm_targets.html", _listed())
    form, status = TargetForm(initial={"kinds": Alarm.Kind.values, "language": request.LANGUAGE_CODE}), 200
    if request.method == "POST":
        form, status = TargetForm(request.POST), 400
        if form.is_valid():
            given = {name: value for name, value in form.cleaned_data.items() if name != "unsigned"}
            try:
                made = services.add_alarm_target(actor=_me(request), **given)
                services.test_alarm_target(made, actor=_me(request))
            except PlatformError as refusal:
                form.show(refusal)
                status = refusal.status
            else:
                messages.success(
                    request, _("Added. A test is on its way; what came of it stands beside the name.")
                )
                return redirect("manage_alarms")
    context = {"form": form, "told": services.told_messages(), "addresses": services.admin_addresses()}
    return render(request, "manage/alarms.html", _listed() | context, status=status)


def _listed() -> dict[str, Any]:
    found = services.alarm_targets()
    waits = AlarmDelivery.Status.WAITING
    return {
        "targets": found,
        "moving": any(last and last.tries < 2 and last.status == waits for _target, last in found),
    }


@require_http_methods(["GET", "HEAD", "POST"])
@rooms.act(ROOM)
def target(request: HttpRequest, target_id: int) -> HttpResponseBase:
    """Change one: an address or a secret that is left empty stays."""
    found = _find(target_id)
    kept = {name: getattr(found, name) for name in ("name", "kinds", "language")}
    form, status = TargetForm(initial=kept), 200
    if request.method == "POST":
        form, status = TargetForm(request.POST), 400
        if form.is_valid():
            given = {name: value for name, value in form.cleaned_data.items() if name != "service"}
            try:
                services.change_alarm_target(found, actor=_me(request), **given)
            except PlatformError as refusal:
                form.show(refusal)
                status, found = refusal.status, _find(target_id)
            else:
                messages.success(request, _("Saved."))
                return redirect("manage_alarms")
    context = {"target": found, "form": form, "signs": found.service in services.SIGNING}
    return render(request, "manage/alarm.html", context, status=status)


def _done(request: HttpRequest, do: Callable[[], object], said: str) -> HttpResponse:
    try:
        do()
    except PlatformError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, said)
    return redirect("manage_alarms")


@require_POST
@rooms.act(ROOM)
def test(request: HttpRequest, target_id: int) -> HttpResponse:
    """Send something that means nothing."""
    found = _find(target_id)
    said = _("A test is on its way; what came of it stands beside the name.")
    return _done(request, lambda: services.test_alarm_target(found, actor=_me(request)), said)


@require_POST
@rooms.act(ROOM)
def switch(request: HttpRequest, target_id: int) -> HttpResponse:
    """Off, or on again."""
    found, on = _find(target_id), "on" in request.POST
    said = _("It hears of alarms again.") if on else _("It hears of no alarms until you switch it on.")
    return _done(request, lambda: services.switch_alarm_target(found, actor=_me(request), on=on), said)


@require_POST
@rooms.act(ROOM)
def remove(request: HttpRequest, target_id: int) -> HttpResponse:
    """Forget it."""
    found = _find(target_id)
    said = _("Removed, and its address and secret with it.")
    return _done(request, lambda: services.remove_alarm_target(found, actor=_me(request)), said)
