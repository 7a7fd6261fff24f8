"""Pages of storyboards: plan, price, start, watch, stop, mend, take the film. Its owner's only; else 404."""

from __future__ import annotations

import re
import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import services as people
from generations import labels, services
from generations.lookups import choices_of, find, show_film, to_uuid, user_of
from generations.models import Generation, Shot, Storyboard
from kling_platform.errors import InvalidValue, PlatformError

PAGE = 60
# Empty rows on a new page, so that it works without scripts, too.
ROWS = 3


def _find(request: HttpRequest, storyboard_id: uuid.UUID) -> Storyboard:
    return get_object_or_404(Storyboard.objects.owned_by(request.user), pk=storyboard_id)


@never_cache
@login_required
@require_GET
def storyboards(request: HttpRequest) -> HttpResponse:
    """All of mine, newest first, with the pictures that are there."""
    mine = Storyboard.objects.owned_by(request.user).newest_first()
    rows = mine.prefetch_related("shots__generation__video")[:PAGE]
    return render(request, "generations/storyboards.html", {"storyboards": rows})


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Plan the shots. Nothing is made or paid before the next page's button."""
    begins_with = _begins_with(request)
    if request.method == "POST":
        return _plan(request, begins_with)
    wanted: dict[str, Any] = {"make": _key(begins_with) if begins_with else "", "size": "16:9", "title": ""}
    rows = [{"prompt": "", "seconds": "5"} for _row in range(ROWS)]
    return _form(request, wanted, rows, begins_with)


def _begins_with(request: HttpRequest) -> Generation | None:
    wanted = to_uuid(request.POST.get("from", "") or request.GET.get("from", ""))
    return find(request, wanted) if wanted else None


def _key(generation: Generation) -> str:
    return f"{generation.model}/{generation.mode}"


def _plan(request: HttpRequest, begins_with: Generation | None) -> HttpResponse:
    data = request.POST
    pairs = zip(data.getlist("prompt"), data.getlist("seconds"), strict=False)
    rows = [
        {"prompt": prompt.replace("\r\n", "\n"), "seconds": seconds}
        for prompt, seconds in pairs
        if prompt.strip()
    ]
    model, _slash, mode = data.get("make", "").partition("/")
    try:
        storyboard = services.plan_storyboard(
            user=user_of(request),
            title=data.get("title", ""),
            shots=[services.Planned(row["prompt"], row["seconds"]) for row in rows],
            model=model,
            mode=mode,
            size=begins_with.size if begins_with else data.get("size", ""),
            sound=data.get("sound") == "on",
            begins_with=begins_with,
        )
    except PlatformError as refusal:
        rows += [{"prompt": "", "seconds": "5"} for _row in range(ROWS - len(rows))]
        return _form(request, data.dict(), rows, begins_with, refusal)
    return redirect("storyboard", storyboard.pk)


def _form(
    request: HttpRequest,
    wanted: dict[str, Any],
    rows: list[dict[str, Any]],
    begins_with: Generation | None,
    refusal: PlatformError | None = None,
) -> HttpResponse:
    param = (refusal.param or "") if refusal else ""
    if shot := re.fullmatch(r"shots\.(\d+)\.\w+", param):
        rows[int(shot[1])]["error"] = str(refusal)
    context = {
        **choices_of(user_of(request)),
        "wanted": wanted,
        "rows": rows,
        "begins_with": begins_with,
        "most": services.MOST_SHOTS - (begins_with is not None),
        "error": "" if shot or not refusal else str(refusal),
    }
    return render(
        request, "generations/storyboard_new.html", context, status=refusal.status if refusal else 200
    )


@never_cache
@login_required
@require_GET
def storyboard(request: HttpRequest, storyboard_id: uuid.UUID) -> HttpResponse:
    """The shots in their order, what is still to be paid, and the film at the end."""
    board = _find(request, storyboard_id)
    people.mark_read_about(user_of(request), request.path)
    shots = board.shots.select_related("generation__video").prefetch_related("generation__images")
    context = {"board": board, "rows": [_row(board, shot) for shot in shots], **_to_pay(board)}
    context["is_labelled"] = bool(board.film) and _is_labelled(board)
    return render(request, "generations/storyboard.html", context)


def _row(board: Storyboard, shot: Shot) -> dict[str, Any]:
    generation = shot.generation
    made = generation is not None and generation.status == Generation.Status.SUCCEEDED
    under_way = generation is not None and generation.is_open
    may_change = not board.is_going and board.status != Storyboard.Status.DONE and not (made or under_way)
    try:
        price: int | None = services.shot_price(board, shot)
    except InvalidValue:
        price = None
    return {
        "shot": shot,
        "number": shot.position + 1,
        "g": generation,
        "price": generation.price if generation is not None and (made or under_way) else price,
        "may_change": may_change,
        "seconds": dict.fromkeys([5, 10, shot.seconds]),
    }


def _to_pay(board: Storyboard) -> dict[str, Any]:
    try:
        return {"left": services.price_left(board), "impossible": ""}
    except InvalidValue as refusal:
        return {"left": None, "impossible": str(refusal)}


@login_required
@require_POST
def start(request: HttpRequest, storyboard_id: uuid.UUID) -> HttpResponse:
    """Make what is left, for the price on the button."""
    board = _find(request, storyboard_id)
    try:
        services.start_storyboard(board)
    except PlatformError as refusal:
        messages.error(request, str(refusal))
    return redirect("storyboard", board.pk)


@login_required
@require_POST
def stop(request: HttpRequest, storyboard_id: uuid.UUID) -> HttpResponse:
    """Begin no further shot."""
    board = _find(request, storyboard_id)
    try:
        services.stop_storyboard(board)
    except PlatformError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Stopped. A shot in the making is finished; no further one begins."))
    return redirect("storyboard", board.pk)


@login_required
@require_POST
def change(request: HttpRequest, storyboard_id: uuid.UUID, position: int) -> HttpResponse:
    """Other words or another length for one shot."""
    board = _find(request, storyboard_id)
    shot = get_object_or_404(board.shots.select_related("storyboard"), position=position)
    prompt = request.POST.get("prompt", "").replace("\r\n", "\n")
    try:
        services.change_shot(shot, prompt=prompt, seconds=request.POST.get("seconds", ""))
    except PlatformError as refusal:
        messages.error(request, str(refusal))
    return redirect("storyboard", board.pk)


@login_required
@require_POST
def delete(request: HttpRequest, storyboard_id: uuid.UUID) -> HttpResponse:
    """Forget the plan and its film; the shots stay in the library."""
    board = _find(request, storyboard_id)
    try:
        services.delete_storyboard(board)
    except PlatformError as refusal:
        messages.error(request, str(refusal))
        return redirect("storyboard", board.pk)
    messages.success(request, _("Deleted. Its shots are still in the library."))
    return redirect("storyboards")


@login_required
@require_http_methods(["GET", "HEAD"])
def film(request: HttpRequest, storyboard_id: uuid.UUID) -> HttpResponseBase:
    """The joined film, for the player and (``?download=1``) to keep."""
    board = _find(request, storyboard_id)
    if not board.film:
        raise Http404
    sent = labels.labelled(
        board.film, of=board.pk, sha256=board.film_sha256, size=board.film_bytes, wanted=_is_labelled(board)
    )
    words = re.sub(r"\W+", "-", board.title)[:48].strip("-")
    return show_film(
        request, sent, filename=f"{words}-{str(board.pk)[:8]}.mp4", keep="download" in request.GET
    )


def _is_labelled(board: Storyboard) -> bool:
    """A film is labelled as soon as one of its shots is."""
    shots = board.shots.select_related("generation__team")
    return any(labels.is_labelled(shot.generation) for shot in shots if shot.generation is not None)
