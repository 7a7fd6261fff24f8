"""The way into ``/manage/``: the first room that is open."""

from __future__ import annotations

from typing import cast

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET

from accounts import rooms
from accounts.models import User


@require_GET
@login_required
def index(request: HttpRequest) -> HttpResponse:
    """To the first room of the navigation; there is none for members."""
    found = rooms.open_to(cast(User, request.user))
    if not found:
        raise Http404
    return redirect(found[0].name)
