"""The portal's pages about videos: guards, work, render. Every lookup goes through ``for_user``, else 404."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import quotas
from accounts import services as people
from accounts.models import Transfer, User
from generations import catalogue, labels, recipes, services, zips
from generations.again_views import Again
from generations.forms import FRAMES, ComposerForm, options, texts
from generations.library import cards
from generations.link_views import link_context
from generations.lookups import MOST_WATCHED, make_once, show_film
from generations.lookups import find as _find
from generations.lookups import find_video as _video
from generations.lookups import show_picture as _picture
from generations.lookups import to_uuid as _uuid
from generations.lookups import user_of as _user
from generations.models import Generation, Preset
from generations.presets import LOOKS, MOVES
from kling_platform.errors import PlatformError

STOP_POLLING = 286


@never_cache
@login_required
@require_GET
def progress(request: HttpRequest) -> HttpResponse:
    """What has changed on everything that one page watches; 286 tells htmx that nothing is left to watch."""
    ids = [found for text in request.GET.get("ids", "").split(",")[:MOST_WATCHED] if (found := _uuid(text))]
    rows = Generation.objects.for_user(request.user, few=True).filter(pk__in=ids)
    on = request.GET.get("on", "")
    whole = rows.select_related("video", "user", "team").prefetch_related("images")
    watched = list(whole if on else cards(rows, _user(request)))
    context: dict[str, Any] = {"watched": watched}
    if on == "detail" and watched:
        context |= _detail(watched[0], _user(request))
    status = 200 if any(generation.is_open for generation in watched) else STOP_POLLING
    template = {
        "detail": "generations/_detail_live.html",
        "wall": "generations/_wall_live.html",
        "cells": "generations/_cells_live.html",
    }.get(on, "generations/_progress.html")
    return render(request, template, context, status=status)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """The composer. A script gets ``{"to": url}`` or ``{"errors": {field: [texts]}}``, a plain form a page."""
    if request.method == "POST":
        return _create(request)
    form = ComposerForm(initial=_prefilled(request))
    return _composer(request, form)


def _create(request: HttpRequest) -> HttpResponse:
    if int(request.META.get("CONTENT_LENGTH") or 0) > settings.MAX_BODY_BYTES:
        raise RequestDataTooBig
    form = ComposerForm(request.POST, request.FILES)
    status = 400
    if form.is_valid():
        try:
            kept = {name: _kept(request, form, name) for name in FRAMES}
            to = _create_once(request, form, form.to_request(kept))
        except PlatformError as refusal:
            form.show(refusal)
            status = refusal.status
        else:
            return JsonResponse({"to": to}, status=201) if _wants_json(request) else redirect(to)
    if _wants_json(request):
        # 200: the form was answered. Browsers report every other status on their console as a broken page.
        return JsonResponse({"errors": form.errors})
    return _composer(request, form, status=status, files_lost=bool(request.FILES))


def _create_once(request: HttpRequest, form: ComposerForm, asked: dict[str, Any]) -> str:
    """The page of the generation that this form makes."""
    user, origin = _user(request), _origin(request, form)
    made = make_once(
        request, asked, lambda once: services.create(user=user, request=asked, once=once, **origin), _page_of
    )
    return made["to"]


def _page_of(generation: Generation) -> dict[str, str]:
    return {"to": reverse("detail", args=[generation.pk])}


def _kept(request: HttpRequest, form: ComposerForm, name: str) -> bytes | None:
    """The picture of an earlier generation that the form kept; our own file, read again."""
    source = form.cleaned_data[f"{name}_kept"]
    if not source:
        return None
    if name == "first" and source == form.cleaned_data["continues"]:
        picture = _video(_find(request, source)).last_frame
    else:
        rows = _find(request, source).images
        picture = get_object_or_404(rows, position=FRAMES.index(name), url="").file
    if not picture:
        raise Http404
    with picture.open() as file:
        return file.read()


def _origin(request: HttpRequest, form: ComposerForm) -> dict[str, Any]:
    """What the new one is made from; nothing where that is gone by now."""
    source, derivation = form.origin()
    seen = Generation.objects.for_user(request.user).filter(pk=source).first() if source else None
    return {"derived_from": seen, "derivation": derivation} if seen else {}


def _wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "") == "application/json"


def _prefilled(request: HttpRequest) -> dict[str, Any]:
    """From an idea (``?prompt=…``) or from an earlier one (``?from=ID``, or ``?continue=ID`` to
    begin with its last picture); else the first model."""
    first = services.rules_to_show(_user(request)).offered[0]
    plain: dict[str, Any] = {
        "model": first.name,
        "seconds": first.seconds[0],
        "size": first.sizes[0],
        "nonce": uuid.uuid4(),
        "team": (team := services.usual_team(_user(request))),
        "shared": services.usually_shared(_user(request), team),
    }
    edits, continues = (_uuid(request.GET.get(name, "")) for name in ("from", "continue"))
    if source := continues or edits:
        old = _find(request, source)
        plain |= {
            name: getattr(old, name) for name in ("prompt", "model", "seconds", "size", "mode", "sound")
        }
        plain |= {"negative_prompt": old.metadata.get("negative_prompt", "")}
        if continues and _video(old).last_frame:
            return plain | {"continues": old.pk, "first_kept": old.pk}
        plain["edits"] = old.pk
        for image in old.images.all():
            name = FRAMES[image.position]
            plain |= {f"{name}_url": image.url} if image.url else {f"{name}_kept": old.pk}
    known = {
        name: request.GET[name] for name in ("prompt", "model", "seconds", "size") if name in request.GET
    }
    return plain | known


def _composer(
    request: HttpRequest, form: ComposerForm, *, status: int = 200, files_lost: bool = False
) -> HttpResponse:
    rules = services.rules_to_show(_user(request))
    tightest = quotas.tightest(_user(request))
    left = tightest.wallet.available if tightest else None
    context = {
        "form": form,
        "options": options(rules),
        "moves": MOVES,
        "looks": LOOKS,
        "presets": list(Preset.objects.for_user(_user(request)).select_related("user")),
        "has_team": _user(request).teams.exists(),
        "frames": [_frame_context(form, position) for position in range(len(FRAMES))],
        "files_lost": files_lost,
        "left": left,
        "ask_url": quotas.way_to_more(tightest, 100),
        "teams": _user(request).teams.order_by("name"),
        "composer": {"rules": catalogue.offer(rules), "left": left, "texts": texts()},
    }
    return render(request, "generations/composer.html", context, status=status)


def _frame_context(form: ComposerForm, position: int) -> dict[str, Any]:
    name = FRAMES[position]
    kept = form[f"{name}_kept"].value()
    return {
        "name": name,
        "label": (_("First frame"), _("Last frame"))[position],
        "remove": (_("Remove the first frame"), _("Remove the last frame"))[position],
        "url_label": (_("Address of the first frame"), _("Address of the last frame"))[position],
        "file": form[f"{name}_file"],
        "url": form[f"{name}_url"],
        "kept": kept or "",
        "kept_src": _kept_address(form, position) if _uuid(str(kept or "")) else "",
    }


def _kept_address(form: ComposerForm, position: int) -> str:
    kept = str(form[f"{FRAMES[position]}_kept"].value())
    if position == 0 and kept == str(form["continues"].value()):
        return reverse("last_frame", args=[kept])
    return reverse("frame", args=[kept, position])


@never_cache
@login_required
@require_GET
def detail(request: HttpRequest, generation_id: uuid.UUID) -> HttpResponse:
    """One video: player, recipe, what happened, what it cost."""
    generation = _find(request, generation_id)
    people.mark_read_about(_user(request), request.path)
    return render(request, "generations/detail.html", _detail(generation, _user(request)))


def _detail(generation: Generation, user: User) -> dict[str, Any]:
    return {
        "g": generation,
        "events": generation.events.all(),
        "lines": Transfer.objects.filter(
            generation_id=generation.pk, wallet__quota__user_id=generation.user_id
        ).order_by("pk"),
        "may_change": services.may_change(user, generation),
        "may_share": generation.user_id == user.pk and services.teams_to_share(generation),
        "again_price": (price := _price_today(generation)),
        "again": Again(generation, user, price),
        "codes": recipes.codes(generation),
        **link_context(generation, user),
    }


def _price_today(generation: Generation) -> int | None:
    """What the same recipe costs now; None where the catalogue no longer has it."""
    try:
        return catalogue.credits_for(
            generation.model,
            generation.mode,
            seconds=generation.seconds,
            sound=generation.sound,
            rules=services.current_rules(),
        )
    except KeyError:
        return None


@login_required
@require_http_methods(["GET", "HEAD"])
def content(request: HttpRequest, generation_id: uuid.UUID) -> HttpResponseBase:
    """The bytes of the video, for the player and (``?download=1``) to keep."""
    generation = _find(request, generation_id)
    video = _video(generation)
    sent = labels.outgoing(generation, video)
    return show_film(request, sent, filename=zips.file_name(generation), keep="download" in request.GET)


@login_required
@require_http_methods(["GET", "HEAD"])
def poster(request: HttpRequest, generation_id: uuid.UUID) -> HttpResponseBase:
    """A still of the video."""
    video = _video(_find(request, generation_id))
    return _picture(request, video.poster, etag=f"poster-{video.sha256}")


@login_required
@require_http_methods(["GET", "HEAD"])
def frame(request: HttpRequest, generation_id: uuid.UUID, position: int) -> HttpResponseBase:
    """A first or last frame that was uploaded; those given by address are never fetched by us."""
    image = get_object_or_404(_find(request, generation_id).images, position=position, url="")
    return _picture(request, image.file, etag=image.sha256)


@login_required
@require_POST
def cancel(request: HttpRequest, generation_id: uuid.UUID) -> HttpResponse:
    """Take back what was not sent yet."""
    generation = _find_to_change(request, generation_id)
    try:
        services.cancel(generation, actor=_user(request))
    except PlatformError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Canceled. Its credits are back."))
    return redirect("detail", generation.pk)


@login_required
@require_POST
def retry(request: HttpRequest, generation_id: uuid.UUID) -> HttpResponse:
    """The same recipe once more, as a new generation at today's price."""
    generation = _find(request, generation_id)
    try:
        made = make_once(
            request,
            ["retry", str(generation.pk)],
            lambda once: services.retry(generation, user=_user(request), once=once),
            _page_of,
        )
    except PlatformError as refusal:
        messages.error(request, str(refusal))
        return redirect("detail", generation.pk)
    return redirect(made["to"])


@login_required
@require_POST
def delete(request: HttpRequest, generation_id: uuid.UUID) -> HttpResponse:
    """Hide it from every door; the library offers to take that back."""
    generation = _find_to_change(request, generation_id)
    try:
        services.delete(generation, actor=_user(request))
    except PlatformError as refusal:
        messages.error(request, str(refusal))
        return redirect("detail", generation.pk)
    return redirect(f"{reverse('library')}?deleted={generation.pk}")


@login_required
@require_POST
def undelete(request: HttpRequest, generation_id: uuid.UUID) -> HttpResponse:
    """Bring it back, within seven days."""
    try:
        generation = services.undelete(generation_id, user=_user(request))
    except PlatformError as refusal:
        raise Http404 from refusal
    return redirect("detail", generation.pk)


def _find_to_change(request: HttpRequest, generation_id: uuid.UUID) -> Generation:
    generation = _find(request, generation_id)
    if not services.may_change(_user(request), generation):
        raise PermissionDenied
    return generation
