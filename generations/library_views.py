"""The library's pages: what is shown, and the verbs over one or many of its videos. All through ``for_user``."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.models import User
from generations import catalogue, services, zips
from generations.library import KINDS, SHOWN, SORTS, Wish, look, shelves
from generations.lookups import to_uuid as _uuid
from generations.lookups import user_of as _user
from generations.models import Collection, Generation
from generations.presets import IDEAS
from kling_platform.errors import InvalidValue, PlatformError
from kling_platform.text import whole_number

# What one verb of the page takes at once.
MOST_AT_ONCE = 200
VIEWS = ("grid", "list")
VIEW_COOKIE, VIEW_AGE = "library_view", 365 * 24 * 3600


@never_cache
@login_required
@require_GET
def library(request: HttpRequest) -> HttpResponse:
    """A page at a time by key, searched and narrowed by its address; an empty library teaches instead."""
    user, wish = _user(request), Wish.read(request.GET)
    after = None
    if sent := _uuid(request.GET.get("after", "")):
        after = get_object_or_404(Generation.objects.for_user(user).only("created_at"), pk=sent)
    seen = look(user, wish, after=after, until=_uuid(request.GET.get("until", "")))
    context: dict[str, Any] = {"look": seen, "wish": wish}
    if request.headers.get("HX-Request"):
        return render(request, "generations/_page.html", context)
    collections, teams, tags = shelves(user)
    view = _view(request)
    context |= {
        "view": view,
        "views": VIEWS,
        "tabs": [
            {"name": name, "to": wish.address(show=key), "on": key == wish.show}
            for key, (name, _s) in SHOWN.items()
        ],
        "models": [(model.name, model.label) for model in services.current_rules().offered],
        "kinds": KINDS.items(),
        "sorts": SORTS.items(),
        "collections": collections,
        "collection": next((each for each in collections if str(each[0]) == wish.collection), None),
        "teams": teams,
        "tags": tags,
        "has_any": bool(seen.page)
        or wish.narrows
        or after is not None
        or Generation.objects.for_user(user).exists(),
        "ending": services.ending_soon(user),
        "deleted": _uuid(request.GET.get("deleted", "")),
        "undo": request.session.pop("undo", []) if "undo" in request.session else [],
        "here": request.get_full_path(),
    }
    if not context["has_any"]:
        context |= _first_minutes(user)
    if wish.collection and not context["collection"]:
        raise Http404
    response = render(request, "generations/library.html", context)
    if request.GET.get("view") in VIEWS:
        response.set_cookie(VIEW_COOKIE, view, max_age=VIEW_AGE, samesite="Lax", secure=request.is_secure())
    return response


def _first_minutes(user: User) -> dict[str, Any]:
    """Three prompts that run as they are, on the first model at its cheapest, and what each costs."""
    rules = services.rules_to_show(user)
    model = rules.offered[0]
    seconds, mode = model.seconds[0], model.modes[0].name
    price = catalogue.credits_for(model.name, mode, seconds=seconds, sound=False, rules=rules)
    return {"ideas": IDEAS, "model": model.name, "seconds": seconds, "price": price}


def _view(request: HttpRequest) -> str:
    """Grid or list: as chosen now, else as last time."""
    for wanted in (request.GET.get("view"), request.COOKIES.get(VIEW_COOKIE)):
        if wanted in VIEWS:
            return str(wanted)
    return VIEWS[0]


@login_required
@require_POST
def favourite(request: HttpRequest, generation_id: uuid.UUID) -> HttpResponse:
    """Like it, or (``on=0``) no longer. A script gets 204, a plain form the library."""
    generation = get_object_or_404(Generation.objects.for_user(request.user), pk=generation_id)
    verb = services.unlike if request.POST.get("on") == "0" else services.like
    verb([generation], user=_user(request))
    return HttpResponse(status=204) if request.headers.get("Accept") == "application/json" else _back(request)


def _like(request: HttpRequest, chosen: list[Generation]) -> str:
    services.like(chosen, user=_user(request))
    said = ngettext("%(count)d favourite more.", "%(count)d favourites more.", len(chosen))
    return said % {"count": len(chosen)}


def _collect(request: HttpRequest, chosen: list[Generation]) -> str:
    name = request.POST.get("name", "").strip()
    if name:
        into = services.make_collection(user=_user(request), name=name)
    else:
        into = _collection(request, request.POST.get("into", ""))
    came_from = request.POST.get("from", "")
    services.collect(chosen, into=into, out_of=_collection(request, came_from) if came_from else None)
    said = ngettext("%(count)d video is in “%(name)s”.", "%(count)d videos are in “%(name)s”.", len(chosen))
    return said % {"count": len(chosen), "name": into.name}


def _uncollect(request: HttpRequest, chosen: list[Generation]) -> str:
    services.uncollect(chosen, out_of=_collection(request, request.POST.get("from", "")))
    said = ngettext("%(count)d video taken out.", "%(count)d videos taken out.", len(chosen))
    return said % {"count": len(chosen)}


def _tag(request: HttpRequest, chosen: list[Generation]) -> str:
    own = [generation for generation in chosen if generation.user_id == _user(request).pk]
    names = services.read_tags([name for name in request.POST.get("tags", "").split(",") if name.strip()])
    if not own or not names:
        raise InvalidValue(_("Name a tag, and mark videos of your own."), param="tags")
    services.add_tags(own, user=_user(request), names=names)
    said = ngettext(
        "%(count)d video is tagged “%(name)s”.", "%(count)d videos are tagged “%(name)s”.", len(own)
    )
    return said % {"count": len(own), "name": ", ".join(names)}


def _untag(request: HttpRequest, chosen: list[Generation]) -> str:
    services.remove_tag(chosen, user=_user(request), name=request.POST.get("from_tag", ""))
    said = ngettext("%(count)d tag taken off.", "%(count)d tags taken off.", len(chosen))
    return said % {"count": len(chosen)}


def _delete(request: HttpRequest, chosen: list[Generation]) -> str:
    gone, refusal = services.delete_many(
        [generation for generation in chosen if generation.user_id == _user(request).pk], actor=_user(request)
    )
    if gone:
        request.session["undo"] = [str(each) for each in gone]
    if kept := len(chosen) - len(gone):
        said = ngettext("%(count)d video was kept.", "%(count)d videos were kept.", kept) % {"count": kept}
        why = refusal or _("Only your own videos can be deleted here.")
        messages.warning(request, f"{said} {why}")
    return ""


def _share(request: HttpRequest, chosen: list[Generation]) -> str:
    team = get_object_or_404(
        _user(request).teams, pk=whole_number(request.POST.get("team", ""), most=10**9) or 0
    )
    shared, refusal = services.share_many(_own(request, chosen), team=team)
    if refusal:
        messages.warning(request, refusal)
    said = ngettext(
        "%(count)d video is shared with %(team)s.", "%(count)d videos are shared with %(team)s.", shared
    )
    return said % {"count": shared, "team": team.name} if shared else ""


def _unshare(request: HttpRequest, chosen: list[Generation]) -> str:
    own = _own(request, chosen)
    for generation in own:
        services.unshare(generation)
    said = ngettext("%(count)d video is private now.", "%(count)d videos are private now.", len(own))
    return said % {"count": len(own)}


def _own(request: HttpRequest, chosen: list[Generation]) -> list[Generation]:
    own = [generation for generation in chosen if generation.user_id == _user(request).pk]
    if not own:
        raise InvalidValue(_("Only your own videos can be shared or made private. Mark some of them."))
    return own


VERBS: dict[str, Callable[[HttpRequest, list[Generation]], str]] = {
    "like": _like,
    "collect": _collect,
    "uncollect": _uncollect,
    "tag": _tag,
    "untag": _untag,
    "share": _share,
    "unshare": _unshare,
    "delete": _delete,
}


@login_required
@require_POST
def many(request: HttpRequest) -> HttpResponse:
    """One verb over the chosen videos; what is not there any more is passed over."""
    verb = VERBS.get(request.POST.get("verb", ""))
    if verb is None:
        raise Http404
    chosen = _chosen(request)
    if not chosen:
        messages.error(request, _("Nothing was chosen. Mark some videos first."))
        return _back(request)
    try:
        said = verb(request, chosen)
    except PlatformError as refusal:
        messages.error(request, str(refusal))
    else:
        if said:
            messages.success(request, said)
    return _back(request)


def _chosen(request: HttpRequest) -> list[Generation]:
    ids = [found for text in request.POST.getlist("ids")[:MOST_AT_ONCE] if (found := _uuid(text))]
    return list(Generation.objects.for_user(request.user).filter(pk__in=ids).select_related("video", "team"))


def _collection(request: HttpRequest, text: str) -> Collection:
    return get_object_or_404(Collection.objects.owned_by(request.user), pk=_uuid(text))


def _back(request: HttpRequest) -> HttpResponse:
    """To where the form was sent from, as long as that is here."""
    to = request.POST.get("next", "")
    known = url_has_allowed_host_and_scheme(to, allowed_hosts=None) and to.startswith("/")
    return redirect(to if known else reverse("library"))


@login_required
@require_POST
def undelete_many(request: HttpRequest) -> HttpResponse:
    """Bring back what was just deleted."""
    ids = [found for text in request.POST.getlist("ids")[:MOST_AT_ONCE] if (found := _uuid(text))]
    back = services.undelete_many(ids, user=_user(request))
    messages.success(
        request, ngettext("%(count)d video is back.", "%(count)d videos are back.", back) % {"count": back}
    )
    return _back(request)


@login_required
@require_POST
def download(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """The finished ones of the chosen as one ZIP, made while it is sent."""
    ready = [generation for generation in _chosen(request) if getattr(generation, "video", None)]
    if not ready:
        messages.error(request, _("None of the chosen videos is ready yet, so there is nothing to download."))
        return _back(request)
    archive = zips.stream(ready)
    response = StreamingHttpResponse(iter(archive), content_type="application/zip")
    response["Content-Length"] = len(archive)
    response["Content-Disposition"] = (
        f'attachment; filename="videos-{timezone.localtime():%Y-%m-%d-%H%M}.zip"'
    )
    return response


@login_required
@require_POST
def rename_collection(request: HttpRequest, collection_id: uuid.UUID) -> HttpResponse:
    """Call it something else."""
    collection = get_object_or_404(Collection.objects.owned_by(request.user), pk=collection_id)
    try:
        services.rename_collection(collection, name=request.POST.get("name", ""))
    except PlatformError as refusal:
        messages.error(request, str(refusal))
    return redirect(f"{reverse('library')}?collection={collection_id}")


@login_required
@require_POST
def remove_collection(request: HttpRequest, collection_id: uuid.UUID) -> HttpResponse:
    """The pile goes, its videos stay."""
    collection = get_object_or_404(Collection.objects.owned_by(request.user), pk=collection_id)
    services.remove_collection(collection)
    messages.success(request, _("The collection is gone; its videos are all still here."))
    return redirect("library")
