"""The inbox, and what every page of the portal asks now and then: is there news, is anything in the making?"""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.decorators import login_required
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import services as people
from accounts.models import Notice
from generations.lookups import posters, user_of
from generations.models import Generation
from kling_platform.text import whole_number

# News that are older were there when nobody looked: the bell counts them, and nothing rings.
FRESH = timedelta(minutes=5)
MOST = 10
PAGE = 50
MOST_SEEN = 100


@never_cache
@login_required
@require_http_methods(["GET", "HEAD"])
def inbox(request: HttpRequest) -> HttpResponse:
    """What this person was told, newest first, a page at a time by key. To look at the list reads nothing."""
    user = user_of(request)
    rows = Notice.objects.filter(user=user).newest_first()
    if before := whole_number(request.GET.get("before", "")):
        rows = rows.filter(pk__lt=before)
    found = list(rows[: PAGE + 1])
    page = found[:PAGE]
    context = {
        "notices": page,
        "posters": posters(user, [notice.link for notice in page]),
        "unread": people.unread(user),
        "older": page[-1].pk if len(found) > PAGE else None,
    }
    return render(request, "generations/inbox.html", context)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD"])
def follow(request: HttpRequest, notice_id: int) -> HttpResponse:
    """To what a notice is about; with that it is read."""
    notice = get_object_or_404(Notice, user=user_of(request), pk=notice_id)
    people.mark_seen(user_of(request), [notice.pk])
    return redirect(notice.link or "inbox")


@login_required
@require_POST
def read_all(request: HttpRequest) -> HttpResponse:
    """Everything up to what the page showed (``upto``) is read; what has come since is not."""
    people.mark_read(user_of(request), upto=whole_number(request.POST.get("upto", "")) or 0)
    return redirect("inbox")


@never_cache
@require_GET
def news(request: HttpRequest) -> JsonResponse:
    """``{"unread": ids, "open": bool, "news": [{"id", "kind", "text", "link"}]}``, the news newest first."""
    if not request.user.is_authenticated:  # the page outlived its session: nothing to ring about
        return JsonResponse({"unread": [], "open": False, "news": []})
    user = user_of(request)
    unread = people.unread(user)
    fresh = []
    if unread and unread[0] > (whole_number(request.GET.get("after", ""), most=2**63 - 1) or 0):
        rows = Notice.objects.filter(pk__in=unread[:MOST], created_at__gte=Now() - FRESH).newest_first()
        fresh = [{"id": n.pk, "kind": n.kind, "text": n.sentence, "link": n.link} for n in rows]
    making = Generation.objects.owned_by(user).in_flight().exists()
    return JsonResponse({"unread": unread, "open": making, "news": fresh})


@login_required
@require_POST
def seen(request: HttpRequest) -> JsonResponse:
    """The pages that these notices lead to are before this person's eyes."""
    sent = [whole_number(text, most=2**63 - 1) for text in request.POST.getlist("ids")[:MOST_SEEN]]
    ids = [number for number in sent if number]
    people.mark_seen(user_of(request), ids)
    return JsonResponse({"unread": people.unread(user_of(request))})
