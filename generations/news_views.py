"""What every page of the portal asks now and then: is there news, and is anything in the making?"""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.decorators import login_required
from django.db.models.functions import Now
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts import services as people
from accounts.models import Notice
from generations.lookups import user_of
from generations.models import Generation
from kling_platform.text import whole_number

# News that are older were there when nobody looked: the bell counts them, and nothing rings.
FRESH = timedelta(minutes=5)
MOST = 10
MOST_SEEN = 100


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
