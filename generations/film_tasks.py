"""django-q2 functions that decode our own films: last pictures, and storyboards. Nobody imports this module."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import uuid
from contextlib import ExitStack
from pathlib import Path

from django.conf import settings
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from generations import films, services
from generations.models import Storyboard, Video

log = logging.getLogger(__name__)

# What reading, decoding or writing a stored file may raise.
LOST = (OSError, films.BadFilm)


def take_last_frame(generation_id: str) -> bool:
    """Take the last picture of a stored video, once. True when it is there now."""
    video = Video.objects.filter(pk=uuid.UUID(generation_id)).first()
    if video is None:
        return False
    try:
        _last_frame(video)
    except LOST as error:
        log.warning("generation %s: no last picture: %s", generation_id, error)
        return False
    return True


def _last_frame(video: Video) -> bytes:
    """The last picture's bytes, from storage if it was taken before."""
    if video.last_frame:
        with video.last_frame.open() as file:
            return file.read()
    with video.file.open() as file:
        data = films.last_frame(file)
    name = default_storage.save(f"frames/{video.stored_at:%Y/%m}/{video.pk}.jpg", ContentFile(data))
    if not services.record_last_frame(video.pk, name):
        default_storage.delete(name)  # somebody else was first, and it is the same picture
    return data


def advance_storyboard(storyboard_id: str) -> bool:
    """Make the next shot, if it is its time. True when one was made."""
    step = services.next_step(uuid.UUID(storyboard_id))
    if step is None:
        return False
    try:
        frame = _last_frame(step.after.video) if step.after else b""
    except LOST as error:
        log.warning("storyboard %s stands still: %s", storyboard_id, error)
        services.halt_storyboard(step.storyboard.pk, Storyboard.Problem.LOST)
        return False
    return services.make_shot(step, frame) is not None


def join_storyboard(storyboard_id: str) -> bool:
    """Join the shots into one film. True when it is in storage now."""
    storyboard = services.claim_join(uuid.UUID(storyboard_id))
    if storyboard is None:
        return False
    try:
        return _join(storyboard)
    except LOST as error:
        log.warning("storyboard %s can't be joined: %s", storyboard_id, error)
        services.halt_storyboard(storyboard.pk, Storyboard.Problem.UNJOINED)
        return False


def _join(storyboard: Storyboard) -> bool:
    shots = storyboard.shots.select_related("generation__video")
    made = [shot.generation.video for shot in shots if shot.generation is not None]
    folder = Path(settings.VAR_DIR) / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place, ExitStack() as opened:
        target = Path(place) / "film.mp4"
        films.join([opened.enter_context(video.file.open()) for video in made], target)
        seconds = films.length(target)
        with target.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            name = f"storyboards/{storyboard.created_at:%Y/%m}/{storyboard.pk}.mp4"
            name = default_storage.save(name, File(file))
        size = target.stat().st_size
    if services.record_joined(storyboard.pk, film=name, seconds=seconds, size=size, sha256=sha256):
        return True
    default_storage.delete(name)
    return False
