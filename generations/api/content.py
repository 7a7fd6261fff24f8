"""The bytes of a finished video, and its still."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from generations import labels
from generations.lookups import show_film
from generations.models import OPEN, Generation, Status, Video
from kling_platform import ranges
from kling_platform.errors import WrongState


def serve_video(request: HttpRequest, generation: Generation) -> HttpResponseBase:
    """The MP4, whole or a range of it; ``WrongState`` where there is none."""
    video = _video(generation)
    sent = labels.outgoing(generation, video)
    response = show_film(request, sent, filename=f"{generation.pk}.mp4", last_modified=video.stored_at)
    response["Cache-Control"] = "private, no-cache"  # may be kept, and is asked for again each time
    return response


def serve_poster(request: HttpRequest, generation: Generation) -> HttpResponseBase:
    """A still of it, as JPEG; ``WrongState`` where there is none."""
    video = _video(generation)
    response = ranges.serve(
        request,
        video.poster,
        content_type="image/jpeg",
        etag=f"poster-{video.sha256}",
        filename=f"{generation.pk}.jpg",
        last_modified=video.stored_at,
    )
    response["Cache-Control"] = "private, no-cache"
    return response


def _video(generation: Generation) -> Video:
    if generation.status == Status.SUCCEEDED:
        return generation.video
    raise WrongState(
        _("The video is still in the making. Read the generation until its status is succeeded.")
        if generation.status in OPEN
        else _("There is no video: this generation failed or was canceled.")
    )
