"""A table of people: sent, looked at line by line, then done as a whole by a task."""

from __future__ import annotations

import uuid
from typing import cast

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts import quotas, rooms, rosters, services
from accounts.models import User
from kling_platform.errors import PlatformError
from kling_platform.tables import download

ROOM = "manage_people"


@require_http_methods(["GET", "HEAD", "POST"])
@rooms.act(ROOM)
def import_people(request: HttpRequest) -> HttpResponse:
    """The first POST shows what the table would do, the second one, with what was seen, has a task do it.

    ``?again=`` shows what a table that was refused would do now.
    """
    if request.method != "POST":
        return _again(request) if "again" in request.GET else _page(request, "")
    actor, text = cast(User, request.user), request.POST.get("table", "")
    try:
        if file := request.FILES.get("file"):
            text = rosters.decode(file.read(rosters.MOST_BYTES + 1))
        if "seen" in request.POST and not file:
            begun = services.begin_import(text, digest=request.POST["seen"], actor=actor)
            return redirect("manage_import_result", begun.pk)
        return _page(request, text, plan=services.plan_import(text, actor=actor))
    except PlatformError as refusal:
        return _refused(request, text, refusal, actor)


def _again(request: HttpRequest) -> HttpResponse:
    actor = cast(User, request.user)
    try:
        text = services.import_of(actor, uuid.UUID(request.GET["again"])).table
        return _page(request, text, plan=services.plan_import(text, actor=actor))
    except (PlatformError, ValueError):
        return _page(request, "")


@never_cache
@require_GET
@rooms.act(ROOM)
def result(request: HttpRequest, import_id: uuid.UUID) -> HttpResponse:
    """How far a table is, and what became of it; for htmx the part that moves."""
    try:
        found = services.import_of(cast(User, request.user), import_id)
    except PlatformError as refusal:
        return render(request, "404.html", {"message": refusal.message}, status=refusal.status)
    moving = request.headers.get("HX-Request")
    template = "manage/_import_result.html" if moving else "manage/import_result.html"
    return render(request, template, {"import": found})


def _refused(request: HttpRequest, text: str, refusal: PlatformError, actor: User) -> HttpResponse:
    """Why nothing was done; where the table can be read, with what it would do now."""
    try:
        plan = services.plan_import(text, actor=actor)
    except PlatformError:
        plan = None
    return _page(request, text, plan=plan, error=str(refusal), status=refusal.status)


def _page(
    request: HttpRequest, text: str, *, plan: services.Plan | None = None, error: str = "", status: int = 200
) -> HttpResponse:
    actor = cast(User, request.user)
    context = {
        "text": text,
        "plan": plan,
        "error": error,
        "columns": ", ".join(rosters.COLUMNS),
        "most": rosters.MOST_LINES,
        "decides_all": actor.role == User.Role.ADMIN,
        "default": quotas.default_in_words(),
    }
    return render(request, "manage/import.html", context, status=status)


@require_GET
@rooms.act(ROOM)
def example(request: HttpRequest) -> HttpResponseBase:
    """A table to begin with."""
    return download("people-example", rosters.EXAMPLE_HEADER, rosters.EXAMPLE_ROWS)
