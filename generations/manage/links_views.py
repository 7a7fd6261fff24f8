"""Links that people outside can open: those to the videos of one's teams, seen and revoked."""

from __future__ import annotations

import uuid
from typing import cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from accounts import rooms
from accounts.models import User
from generations import services
from kling_platform.tables import Column, searched, table

ROOM = "manage_links"
COLUMNS = (
    Column("made", gettext_lazy("Made"), ("created_at", "pk")),
    Column("team", gettext_lazy("Team"), ("generation__team__name",), wide=True),
    Column("ends", gettext_lazy("Ends"), ("expires_at",)),
    Column("opened", gettext_lazy("Opened"), ("opened",), numeric=True),
    Column("revoke", gettext_lazy("Revoke")),
)


def _me(request: HttpRequest) -> User:
    return cast(User, request.user)


@require_GET
@rooms.look(ROOM)
def links(request: HttpRequest) -> HttpResponse:
    """Those that have neither ended nor been revoked."""
    rows = services.links_managed_by(_me(request)).standing().select_related("maker", "generation__team")
    found = searched(rows, request.GET, ("title", "maker__username"))
    page = table(request.GET, found, COLUMNS, first="-made")
    fragment = "manage/_links.html" if request.headers.get("HX-Request") else "manage/links.html"
    return render(request, fragment, {"table": page})


@require_POST
@rooms.act(ROOM)
def revoke(request: HttpRequest, link_id: uuid.UUID) -> HttpResponse:
    """It opens nothing any more."""
    link = get_object_or_404(services.links_managed_by(_me(request)), pk=link_id)
    services.revoke_link(link, actor=_me(request))
    messages.success(request, _("Revoked: the link opens nothing any more."))
    return redirect(ROOM)
