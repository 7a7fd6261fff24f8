"""What the pages about videos share: who asks, which video, and how its pictures go out."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar, cast

from django.db.models.fields.files import FieldFile
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404

from accounts.models import User
from generations import labels, services
from generations.models import Generation, Video
from kling_platform import ranges

T = TypeVar("T")

# What one question about progress may be about; more cards than that a page asks about in parts.
MOST_WATCHED = 100
_PAGE_OF_ONE = re.compile(r"/g/([0-9a-f-]{36})")


def user_of(request: HttpRequest) -> User:
    """Whoever is signed in."""
    return cast(User, request.user)


def find(request: HttpRequest, generation_id: uuid.UUID) -> Generation:
    """A generation that this person may see, else 404."""
    return get_object_or_404(
        Generation.objects.for_user(request.user)
        .select_related("video", "user", "team")
        .prefetch_related("images"),
        pk=generation_id,
    )


def posters(user: User, links: Iterable[str]) -> set[str]:
    """Those of some paths (``/g/ID``) that are of finished videos which this person may see."""
    ids = [found for link in links if (page := _PAGE_OF_ONE.fullmatch(link)) and (found := to_uuid(page[1]))]
    rows = Generation.objects.for_user(user).filter(video__isnull=False, pk__in=ids)
    return {f"/g/{found}" for found in rows.values_list("pk", flat=True)}


def find_video(generation: Generation) -> Video:
    """Its video, else 404."""
    video = getattr(generation, "video", None)
    if video is None:
        raise Http404
    return video


def choices_of(user: User) -> dict[str, Any]:
    """What a form for many videos lets this person choose among: makes (model and mode), sizes, lengths in seconds."""
    offered = services.rules_to_show(user).offered
    return {
        "makes": [
            {"key": f"{model.name}/{mode.name}", "label": model.label, "mode": mode}
            for model in offered
            for mode in model.modes
        ],
        "sizes": dict.fromkeys(size for model in offered for size in model.sizes),
        "lengths": dict.fromkeys(str(seconds) for model in offered for seconds in model.seconds),
    }


def to_uuid(text: str) -> uuid.UUID | None:
    """The id that a text is, if it is one."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def make_once(
    request: HttpRequest,
    asked: Any,
    make: Callable[[services.Once | None], T],
    answer: Callable[[T], dict[str, str]],
) -> dict[str, str]:
    """What ``answer`` says of what ``make`` makes of ``asked``; a form that is sent twice makes one.

    It is known by its ``nonce`` (``{% nonce %}``), which is another on each page that is shown.
    """
    nonce = to_uuid(request.POST.get("nonce", ""))
    if nonce is None:
        return answer(make(None))
    user, digest = user_of(request), services.digest_of(asked)
    once = services.Once(user, digest, answer, key=f"form {nonce} {digest}")
    return services.make_once(once, lambda: make(once)).answer


def show_film(
    request: HttpRequest,
    sent: labels.Outgoing,
    *,
    filename: str,
    keep: bool = False,
    last_modified: datetime | None = None,
) -> HttpResponseBase:
    """An MP4, whole or a range of it, to be played or (``keep``) saved."""
    return ranges.serve(
        request,
        sent.file,
        content_type="video/mp4",
        etag=sent.etag,
        filename=filename,
        as_attachment=keep,
        last_modified=last_modified,
    )


def show_picture(request: HttpRequest, file: FieldFile, *, etag: str) -> HttpResponseBase:
    """A stored picture. The bytes of one id never change, so a card that comes back asks nothing for an hour."""
    kind = "image/png" if (file.name or "").endswith(".png") else "image/jpeg"
    response = ranges.serve(request, file, content_type=kind, etag=etag)
    response["Cache-Control"] = "private, max-age=3600"
    return response
