"""Requests for credits: what waits for whoever is answerable, decided in one click."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts import quotas, rooms, services
from accounts.models import CreditRequest, Quota, User
from kling_platform.errors import PlatformError
from kling_platform.text import whole_number

ROOM = "manage_requests"
SHOWN = 50


@require_GET
@rooms.look(ROOM)
def requests(request: HttpRequest) -> HttpResponse:
    """The open ones with what their quota still allows, and what was decided lately."""
    actor = cast(User, request.user)
    waiting = [
        {"row": row, "balance": row.quota and quotas.balance(row.quota)}
        for row in services.requests_for(actor)[:SHOWN]
    ]
    decided = CreditRequest.objects.filter(user__in=User.objects.visible_to(actor), decided_at__isnull=False)
    context = {
        "waiting": waiting,
        "periods": Quota.Period,
        "decided": decided.select_related("user", "decided_by").order_by("-decided_at")[:20],
    }
    return render(request, "manage/requests.html", context)


@require_POST
@rooms.act(ROOM)
def decide(request: HttpRequest, request_id: int) -> HttpResponse:
    """Give what was asked for, give another number, or decline: by the button that was pressed."""
    actor = cast(User, request.user)
    asked = get_object_or_404(services.requests_for(actor), pk=request_id)
    answer = request.POST.get("answer", "")
    try:
        if "decline" in request.POST:
            services.decline_request(asked, actor=actor, answer=answer)
            said = _("Declined. %(who)s is told.")
        else:
            credits = whole_number(request.POST.get("credits", "")) or 0
            period = request.POST.get("period", Quota.Period.MONTH)
            services.grant_request(asked, actor=actor, credits=credits, period=period, answer=answer)
            said = _("Given. %(who)s is told, and can go on at once.")
    except PlatformError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, said % {"who": asked.user.username})
    return redirect("manage_requests")
