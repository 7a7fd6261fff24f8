"""Pages for doing it again: variations, other models, the compare wall, going on from the last picture."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.models import User
from generations import services
from generations.family import Kin, comparable, family
from generations.lookups import find, find_video, make_once, show_picture, to_uuid, user_of
from generations.models import Generation
from kling_platform.errors import PlatformError
from kling_platform.text import whole_number

# The original and eight variations; a browser plays that many at once.
MOST_COMPARED = 9
# The page that waits for a last picture asks once a second, and then says that something is wrong.
MOST_ASKED = 60


@login_required
@require_POST
def vary(request: HttpRequest, generation_id: uuid.UUID) -> HttpResponse:
    """The same recipe several times more, at the price that the button said."""
    generation = find(request, generation_id)
    count = whole_number(request.POST.get("count", ""), most=999) or 0
    return _side_by_side(
        request,
        generation,
        ["vary", str(generation.pk), count],
        lambda once: services.vary(generation, user=user_of(request), count=count, once=once),
    )


@login_required
@require_POST
def on_models(request: HttpRequest, generation_id: uuid.UUID) -> HttpResponse:
    """The same prompt on the chosen models, shown side by side."""
    generation = find(request, generation_id)
    keys = request.POST.getlist("models")
    return _side_by_side(
        request,
        generation,
        ["models", str(generation.pk), keys],
        lambda once: services.on_models(generation, user=user_of(request), keys=keys, once=once),
    )


def _side_by_side(
    request: HttpRequest,
    generation: Generation,
    asked: list[Any],
    make: Callable[[services.Once | None], list[Generation]],
) -> HttpResponse:
    """What was made beside what it was made from, on the wall."""
    try:
        answer = make_once(request, asked, make, lambda made: {"to": wall_url([generation, *made])})
    except PlatformError as refusal:
        messages.error(request, str(refusal))
        return redirect("detail", generation.pk)
    return redirect(answer["to"])


def wall_url(generations: list[Generation]) -> str:
    """The compare wall of these."""
    ids = ",".join(str(generation.pk) for generation in generations[:MOST_COMPARED])
    return f"{reverse('compare')}?{urlencode({'ids': ids}, safe=',')}"


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def compare(request: HttpRequest) -> HttpResponse:
    """Up to nine videos side by side that play, pause and seek as one; open ones appear when they are ready.

    A POST brings the ids of what was marked in the library.
    """
    if request.method == "POST":
        marked = Generation.objects.for_user(request.user).filter(
            pk__in=[found for text in request.POST.getlist("ids") if (found := to_uuid(text))]
        )
        if marked.count() > MOST_COMPARED:
            messages.info(request, _("A wall has room for %(most)d videos.") % {"most": MOST_COMPARED})
        return redirect(wall_url(list(marked.newest_first()[:MOST_COMPARED])))
    ids = [found for text in request.GET.get("ids", "").split(",") if (found := to_uuid(text))]
    rows = (
        Generation.objects.for_user(request.user).select_related("video", "user").prefetch_related("images")
    )
    known = rows.in_bulk(list(dict.fromkeys(ids))[:MOST_COMPARED])
    wall = [known[pk] for pk in dict.fromkeys(ids) if pk in known]
    if not wall:
        raise Http404
    context: dict[str, Any] = {
        "wall": [
            {"g": g, "without": wall_url([other for other in wall if other != g]) if len(wall) > 1 else ""}
            for g in wall
        ],
        "open": [g for g in wall if g.is_open],
        "same_prompt": len({g.prompt for g in wall}) == 1,
        "prompt": wall[0].prompt,
    }
    return render(request, "generations/compare.html", context)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def go_on(request: HttpRequest, generation_id: uuid.UUID) -> HttpResponse:
    """From the last picture into the composer; POST asks for it, GET waits until a task has taken it."""
    generation = find(request, generation_id)
    composer = f"{reverse('new')}?continue={generation.pk}"
    if request.method == "POST":
        try:
            there = services.want_last_frame(generation)
        except PlatformError as refusal:
            messages.error(request, str(refusal))
            return redirect("detail", generation.pk)
        return redirect(composer if there else reverse("go_on", args=[generation.pk]))
    if find_video(generation).last_frame:
        if not request.headers.get("HX-Request"):
            return redirect(composer)
        answer = HttpResponse(status=204)
        answer["HX-Redirect"] = composer
        return answer
    number = whole_number(request.GET.get("asked", ""), most=999) or 0
    context = {"g": generation, "asked": number + 1, "gave_up": number >= MOST_ASKED}
    template = "generations/_go_on.html" if request.headers.get("HX-Request") else "generations/go_on.html"
    return render(request, template, context)


@login_required
@require_http_methods(["GET", "HEAD"])
def last_frame(request: HttpRequest, generation_id: uuid.UUID) -> HttpResponseBase:
    """The last picture of the video, once it was taken."""
    video = find_video(find(request, generation_id))
    if not video.last_frame:
        raise Http404
    return show_picture(request, video.last_frame, etag=f"last-{video.sha256}")


class Again:
    """What the page of one video offers to do again, worked out when it is asked for. Prices are today's."""

    def __init__(self, generation: Generation, user: User, price: int | None) -> None:
        self.generation, self.user, self.price = generation, user, price

    @cached_property
    def kin(self) -> list[Kin]:
        return family(self.generation, self.user)

    @property
    def compare_url(self) -> str:
        beside = comparable(self.generation, self.kin, MOST_COMPARED)
        return wall_url(beside) if len(beside) > 1 else ""

    @property
    def variations(self) -> list[dict[str, int]]:
        """How many at once, and what so many cost, in credits."""
        price = self.price
        return [{"count": count, "price": count * price} for count in services.VARIATIONS] if price else []

    @cached_property
    def alternatives(self) -> list[services.Alternative]:
        return services.alternatives(self.generation, user=self.user)

    @property
    def alternatives_price(self) -> int:
        """What all of them cost together, in credits."""
        return sum(alternative.price for alternative in self.alternatives)
