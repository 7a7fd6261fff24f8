"""A video and its team: shown to it, or to its owner alone."""

from __future__ import annotations

import uuid
from typing import cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.models import User
from generations import services
from generations.models import Generation
from kling_platform.errors import PlatformError
from kling_platform.text import whole_number


def _own(request: HttpRequest, generation_id: uuid.UUID) -> Generation:
    return get_object_or_404(Generation.objects.owned_by(request.user), pk=generation_id)


@login_required
@require_POST
def share(request: HttpRequest, generation_id: uuid.UUID) -> HttpResponse:
    """Show an own video to the team that it was made for, or to one of its owner's."""
    generation = _own(request, generation_id)
    number = whole_number(request.POST.get("team", ""), most=10**9) or 0
    team = get_object_or_404(cast(User, request.user).teams, pk=number)
    try:
        services.share(generation, team=team)
    except PlatformError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("%(team)s sees it in the library now.") % {"team": team})
    return redirect("detail", generation.pk)


@login_required
@require_POST
def unshare(request: HttpRequest, generation_id: uuid.UUID) -> HttpResponse:
    """Show an own video to nobody else any more."""
    services.unshare(_own(request, generation_id))
    messages.success(request, _("You alone see it now."))
    return redirect("detail", generation_id)
