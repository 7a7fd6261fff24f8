"""What the composer asks for while one writes: how long it takes, pictures to begin with, words worth keeping."""

from __future__ import annotations

import uuid

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from generations import services
from generations.lookups import user_of as _user
from generations.models import Generation, InputImage, Preset
from kling_platform.errors import PlatformError
from kling_platform.text import whole_number

# What the dialog shows of each: some screens full, in one look each.
MOST_VIDEOS = 40
MOST_INPUTS = 20


@never_cache
@login_required
@require_GET
def eta(request: HttpRequest) -> HttpResponse:
    """“ready in 1 to 2 minutes”, or nothing as long as nobody knows; a line of the composer."""
    asked = request.GET
    seconds = whole_number(asked.get("seconds", ""), most=999)
    if seconds is None:
        return HttpResponse("")
    kind = services.Kind(asked.get("model", "")[:60], seconds, asked.get("mode", "")[:8])
    found = services.forecast_new(kind, _user(request).pk)
    return render(request, "generations/_eta.html", {"found": found})


@never_cache
@login_required
@require_GET
def pictures(request: HttpRequest) -> HttpResponse:
    """Stills of finished videos and pictures that were uploaded before, newest first: frames to start from."""
    user = _user(request)
    seen = Generation.objects.for_user(user).filter(video__isnull=False)
    inputs = InputImage.objects.filter(
        generation__in=Generation.objects.owned_by(user), url=""
    ).select_related("generation")
    context = {
        "videos": seen.select_related("video").newest_first()[:MOST_VIDEOS],
        # One picture that went into many videos is one picture.
        "inputs": _each_once(inputs.order_by("-generation__created_at", "position")[: 4 * MOST_INPUTS]),
    }
    return render(request, "generations/_pictures.html", context)


def _each_once(images: object) -> list[InputImage]:
    by_content: dict[str, InputImage] = {}
    for image in images:  # type: ignore[attr-defined]
        by_content.setdefault(image.sha256, image)
    return list(by_content.values())[:MOST_INPUTS]


@login_required
@require_POST
def save_preset(request: HttpRequest) -> HttpResponse:
    """Keep words under a name. Answers with all presets, and with the refusal if there is one."""
    sent, refused = request.POST, ""
    try:
        services.save_preset(
            user=_user(request),
            name=sent.get("preset_name", ""),
            text=sent.get("preset_text", "").replace("\r\n", "\n"),
            shared="preset_shared" in sent,
        )
    except PlatformError as refusal:
        refused = str(refusal)
    return _presets(request, refused=refused)


@login_required
@require_POST
def remove_preset(request: HttpRequest, preset_id: uuid.UUID) -> HttpResponse:
    """An own one goes; the answer is what is left."""
    refused = ""
    try:
        services.remove_preset(preset_id, user=_user(request))
    except PlatformError as refusal:
        refused = str(refusal)
    return _presets(request, refused=refused)


def _presets(request: HttpRequest, *, refused: str) -> HttpResponse:
    presets = Preset.objects.for_user(_user(request)).select_related("user")
    return render(request, "generations/_presets.html", {"presets": presets, "refused": refused})
