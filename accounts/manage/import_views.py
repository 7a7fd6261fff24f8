"""A table of people: sent, looked at line by line, then done as a whole."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from accounts import quotas, rooms, rosters, services
from accounts.models import User
from kling_platform.errors import PlatformError
from kling_platform.tables import download

ROOM = "manage_people"


@require_http_methods(["GET", "HEAD", "POST"])
@rooms.act(ROOM)
def import_people(request: HttpRequest) -> HttpResponse:
    """The first POST shows what the table would do, the second one, with what was seen, does it."""
    if request.method != "POST":
        return _page(request, "")
    actor, text = cast(User, request.user), request.POST.get("table", "")
    try:
        if file := request.FILES.get("file"):
            text = rosters.decode(file.read(rosters.MOST_BYTES + 1))
        if "seen" in request.POST and not file:
            done = services.apply_import(text, digest=request.POST["seen"], actor=actor)
            messages.success(
                request,
                _("Done: %(new)d invited, %(changed)d changed. The letters are on their way.") % done.counts,
            )
            return redirect("manage_people")
        return _page(request, text, plan=services.plan_import(text, actor=actor))
    except PlatformError as refusal:
        return _refused(request, text, refusal, actor)


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
