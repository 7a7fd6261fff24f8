"""Models and prices: what is in force, what is planned, what was; and the form that publishes the next version."""

from __future__ import annotations

import hashlib
import json
from typing import Any, cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import rooms
from accounts.models import Team, User
from generations import rulebook, services
from generations.manage.catalogue_forms import CatalogueForm
from kling_platform.errors import InvalidValue, PlatformError

ROOM = "manage_catalogue"


@require_GET
@rooms.look(ROOM)
def catalogue(request: HttpRequest) -> HttpResponse:
    """The rules in force with their prices, and every version with what it changed."""
    history = services.catalogue_history()
    rules = services.rules_in_force()
    now = timezone.now()
    for entry in history:
        entry["in_force"] = entry["row"].version == rules.version
        entry["is_planned"] = entry["row"].effective_from > now
    names = dict(Team.objects.values_list("pk", "name"))
    context = {
        "rules": rules,
        "models": [(model, [names[pk] for pk in model.teams if pk in names]) for model in rules.models],
        "history": history,
        "may_act": cast(User, request.user).role in rooms.room(ROOM).act,
    }
    return render(request, "manage/catalogue.html", context)


@require_http_methods(["GET", "POST"])
@rooms.act(ROOM)
def edit(request: HttpRequest) -> HttpResponse:
    """Change, look at the difference, publish. Only what was looked at is published."""
    base = request.POST.get("base", "")
    newest = services.newest_rules()
    if request.method != "POST":
        return _form(request, CatalogueForm(newest))
    form = CatalogueForm(newest, request.POST)
    if base != newest.version:
        form.error = _(
            "Somebody else changed the catalogue meanwhile. Here is the newest one with what you typed."
        )
        return _form(request, form, status=409)
    if not form.is_valid():
        return _form(request, form, status=400)
    try:
        rules = rulebook.check(form.to_rules())
        found = services.rule_changes(newest, rules)
        digest = _digest(found)
        if "publish" not in request.POST or request.POST.get("seen") != digest:
            return _form(request, form, changes=found, digest=digest)
        services.publish_rules(
            rules,
            base=base,
            actor=cast(User, request.user),
            effective_from=form.rules.cleaned_data["effective_from"],
            note=form.rules.cleaned_data["note"],
        )
    except InvalidValue as refusal:
        form.show(refusal)
        return _form(request, form, status=refusal.status)
    except PlatformError as refusal:
        form.error = str(refusal)
        return _form(request, form, status=refusal.status)
    messages.success(
        request, _("Published. Form, API and documents follow; running videos keep their price.")
    )
    return redirect("manage_catalogue")


def _form(request: HttpRequest, form: CatalogueForm, *, status: int = 200, **more: Any) -> HttpResponse:
    return render(request, "manage/catalogue_edit.html", {"form": form, **more}, status=status)


def _digest(changes: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(changes, sort_keys=True).encode()).hexdigest()[:16] if changes else ""


@require_POST
@rooms.act(ROOM)
def withdraw(request: HttpRequest, version: str) -> HttpResponse:
    """Take back a version that is still to come."""
    try:
        services.withdraw_rules(version, actor=cast(User, request.user))
    except PlatformError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Withdrawn. Nothing changes at that time."))
    return redirect("manage_catalogue")
