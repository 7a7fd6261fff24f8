"""Links for people outside: the page that a link opens, and the pages where its owner and managers look after it.

Whoever comes by a link is nobody to us: no account is looked up, no session begun, nothing told of anybody.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import rates
from accounts.models import User
from generations import labels, services
from generations.lookups import show_film, show_picture, user_of
from generations.models import Generation, ShareLink
from kling_platform import origin
from kling_platform.errors import NotFound, PlatformError
from kling_platform.text import whole_number

ROBOTS = "noindex, nofollow, noarchive"


def robots(request: HttpRequest) -> HttpResponse:
    """Nothing here is for search engines. Those that obey ``noindex`` may open a link's page, or they never see
    it, and list an address that they found elsewhere."""
    return render(request, "robots.txt", content_type="text/plain; charset=utf-8")


# --- whoever has the link -----------------------------------------------------


def _by_link(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Finds the link of the address. All that opens nothing looks the same, and trying many of them is slow."""

    @wraps(view)
    def found(request: HttpRequest, token: str) -> HttpResponseBase:
        try:
            response = view(request, _follow(token))
        except PlatformError as refusal:
            context = {"message": str(refusal), "status": refusal.status}
            response = render(request, "generations/shown_not.html", context, status=refusal.status)
            if refusal.retry_after:
                response["Retry-After"] = str(refusal.retry_after)
        response["X-Robots-Tag"] = ROBOTS
        return response

    return require_http_methods(["GET", "HEAD"])(found)


def _follow(token: str) -> ShareLink:
    network = origin.network(origin.address() or "")
    rates.check_misses(network)
    try:
        return services.follow_link(token)
    except NotFound:
        rates.count_miss(network)
        raise


@_by_link
def shown(request: HttpRequest, link: ShareLink) -> HttpResponseBase:
    """The page of a link: the video, and not a word about anybody."""
    if request.method == "GET":
        services.note_opened(link)
    token = request.resolver_match.kwargs["token"] if request.resolver_match else ""
    context = {"link": link, "token": token, "g": link.generation, "video": link.generation.video}
    return render(request, "generations/shown.html", context)


@_by_link
def shown_video(request: HttpRequest, link: ShareLink) -> HttpResponseBase:
    """Its bytes, whole or a range of them; ``?download=1`` to keep, where the link allows that."""
    keep = "download" in request.GET
    if keep and not link.downloads:
        raise NotFound(_("This link is for watching only."))
    sent = labels.outgoing(link.generation, link.generation.video)
    response = show_film(request, sent, filename=f"{link.title or 'video'}.mp4", keep=keep)
    response["Cache-Control"] = "private, no-cache"  # asked for again each time: a link may end
    return response


@_by_link
def shown_poster(request: HttpRequest, link: ShareLink) -> HttpResponseBase:
    """Its still."""
    video = link.generation.video
    response = show_picture(request, video.poster, etag=f"poster-{video.sha256}")
    response["Cache-Control"] = "private, no-cache"
    return response


# --- whose video it is --------------------------------------------------------


@login_required
@require_POST
def make(request: HttpRequest, generation_id: uuid.UUID) -> HttpResponse:
    """A new link to an own video; its page shows it, ready to be copied."""
    generation = get_object_or_404(Generation.objects.owned_by(request.user), pk=generation_id)
    try:
        services.make_link(
            generation,
            actor=user_of(request),
            days=whole_number(request.POST.get("days", ""), most=9_999) or 0,
            downloads="downloads" in request.POST,
            title=request.POST.get("title", ""),
        )
    except PlatformError as refusal:
        messages.error(request, str(refusal))
        return redirect("detail", generation.pk)
    return redirect(f"{reverse('detail', args=[generation.pk])}#links")


@login_required
@require_GET
def links(request: HttpRequest) -> HttpResponse:
    """All links to own videos that have neither ended nor been revoked."""
    rows = ShareLink.objects.owned_by(request.user).standing().newest_first()
    return render(request, "generations/links.html", {"links": rows.select_related("generation__video")})


@login_required
@require_POST
def revoke(request: HttpRequest, link_id: uuid.UUID) -> HttpResponse:
    """An own link opens nothing any more; back to where the button stood."""
    link = get_object_or_404(ShareLink.objects.owned_by(request.user), pk=link_id)
    services.revoke_link(link, actor=user_of(request))
    messages.success(request, _("Revoked: the link opens nothing any more."))
    if request.POST.get("back") == "links":
        return redirect("links")
    return redirect("detail", link.generation_id)


def link_context(generation: Generation, user: User) -> dict[str, Any]:
    """What the page of a video shows its owner of its links."""
    if generation.user_id != user.pk:
        return {}
    return {
        "may_link": services.may_link(user, generation),
        "links": list(services.links_to(generation)),
        "link_days": services.LINK_DAYS,
    }
