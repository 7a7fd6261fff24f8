"""A finished video's way into our own storage: fetched, checked, measured, and only then given its name.

Everything is written to `.part` files first; a name without that ending is always a whole, playable file.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

import av
from av.error import FFmpegError
from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage, default_storage
from django.utils import timezone

from kling_platform import egress
from kling_platform.failpoints import reach

# Ten seconds in 1080p are some 30 MB.
MAX_BYTES = 512 * 1024 * 1024
CONTENT_TYPES = ("video/", "application/mp4", "application/octet-stream", "binary/octet-stream")
# What the probe may need of the task's time, after the download.
PROBE_SECONDS = 20
MAX_SIDE = 8192
POSTER_SIDE, POSTER_QUALITY = 960, 85
# Below this nothing new is submitted; what was paid for is stored as long as it fits.
LOW_DISK_BYTES = 1024**3
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# No download lasts this long: what is older was left by a process that was killed.
ABANDONED_SECONDS = 3600


class ArchiveError(Exception):
    """The video is not in our storage, and nothing of it was left behind. The kinds say what may help."""


class LinkGone(ArchiveError):
    """This address will not work again; a fresh one may."""


class Retryable(ArchiveError):
    """The network, the server, or half a file: the same address may work later."""


class BadFile(ArchiveError):
    """What the address holds is no video that we could play."""


class DiskFull(ArchiveError):
    """There is no room left for it."""


@dataclass(frozen=True)
class Archived:
    """A stored video; names are relative to the storage, sides in pixels, ``sha256`` in hex."""

    file_name: str
    poster_name: str
    width: int
    height: int
    seconds: float
    fps: float
    has_audio: bool
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Probe:
    """What a decoder says about a file, and its first frame as JPEG: that of the player, so nothing jumps."""

    width: int
    height: int
    seconds: float
    fps: float
    has_audio: bool
    poster: bytes


def copy(
    generation_id: uuid.UUID,
    url: str,
    storage: Storage = default_storage,
    *,
    made_at: datetime | None = None,
    deadline_seconds: float | None = None,
) -> Archived:
    """Bring the video behind ``url`` into the storage; doing it again replaces the same files.

    ``made_at`` (now by default) chooses the folder: pass the generation's own time, and a second try never
    lands elsewhere. Raises LinkGone, Retryable, BadFile or DiskFull, and then leaves nothing behind.
    """
    month = f"{made_at or timezone.now():%Y/%m}"
    file_name, poster_name = f"videos/{month}/{generation_id}.mp4", f"posters/{month}/{generation_id}.jpg"
    try:
        with _part(storage, file_name) as video, _part(storage, poster_name) as poster:
            with video.open("wb") as sink:
                fetched = _download(url, sink, deadline_seconds)
                _to_disk(sink)
            reach("archive.downloaded")
            found = probe(video)
            with poster.open("wb") as sink:
                sink.write(found.poster)
                _to_disk(sink)
            poster_name = _name(storage, poster, poster_name)
            reach("archive.poster_named")
            try:
                file_name = _name(storage, video, file_name)
            except BaseException:
                remove(poster_name, storage=storage)
                raise
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull(f"no room for {file_name}: {error.strerror}") from error
        raise
    return Archived(
        file_name,
        poster_name,
        found.width,
        found.height,
        found.seconds,
        found.fps,
        found.has_audio,
        fetched.bytes,
        fetched.sha256,
    )


def remove(*names: str, storage: Storage = default_storage) -> None:
    """Delete stored files; empty names and files that are gone already are fine."""
    for name in filter(None, names):
        with contextlib.suppress(FileNotFoundError):
            storage.delete(name)


def has_room(storage: Storage = default_storage) -> bool:
    """Whether there is space for new work. A storage elsewhere is asked for its local way station."""
    folder = _folder(storage, "videos/x")
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free >= LOW_DISK_BYTES


def remove_abandoned(storage: Storage = default_storage) -> int:
    """Delete the `.part` files of processes that were killed; how many there were."""
    removed = 0
    for top in {_folder(storage, "videos/x"), _folder(storage, "posters/x")}:
        for part in top.rglob("*.part"):
            with contextlib.suppress(FileNotFoundError):  # finished, or removed by another
                if time.time() - part.stat().st_mtime > ABANDONED_SECONDS:
                    part.unlink()
                    removed += 1
    return removed


def probe(path: Path) -> Probe:
    """Measure a video and decode its first frame. Raises BadFile, or Retryable if its end is missing."""
    _check_boxes(path)
    try:
        # A file object and a fixed format: no demuxer that opens other addresses (HLS, concat) is ever asked.
        with path.open("rb") as file, av.open(file, "r", format="mp4") as film:
            if not film.streams.video:
                raise BadFile("the file has no picture, only sound")
            stream = film.streams.video[0]
            length = round((film.duration or 0) / av.time_base, 3)
            frame = next(film.decode(stream), None)
            if frame is None or length <= 0 or max(frame.width, frame.height) > MAX_SIDE:
                raise BadFile("the file has no frame, no length, or an absurd size")
            return Probe(
                frame.width,
                frame.height,
                length,
                round(float(stream.average_rate or 0), 3),
                bool(film.streams.audio),
                _poster(frame),
            )
    except (FFmpegError, ValueError) as error:
        raise BadFile(f"the file cannot be decoded: {error}") from error


def _download(url: str, sink: BinaryIO, deadline_seconds: float | None) -> egress.Fetched:
    """Fetch within the task's time; every way to fail becomes what the caller may do about it."""
    if deadline_seconds is None:
        deadline_seconds = cast(int, settings.Q_CLUSTER["timeout"]) - PROBE_SECONDS
    try:
        return egress.fetch(
            url,
            sink=sink,
            max_bytes=MAX_BYTES,
            deadline_seconds=deadline_seconds,
            content_types=CONTENT_TYPES,
        )
    except egress.HttpStatus as error:
        gone = 400 <= error.status < 500 and error.status not in (408, 425, 429)
        raise (LinkGone if gone else Retryable)(f"the video's address answered {error}") from error
    except (egress.TooLarge, egress.WrongType) as error:
        raise BadFile(f"the address holds no video: {error}") from error
    except egress.EgressError as error:
        # A forbidden address too: it may be one that the operator has yet to allow, and the video is paid for.
        raise Retryable(f"the video could not be fetched: {error}") from error


def _check_boxes(path: Path) -> None:
    """Walk the file's outermost boxes (ISO/IEC 14496-12): `ftyp` first, `moov` there, none beyond the end."""
    names: list[bytes] = []
    at, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length, name = int.from_bytes(head[:4], "big"), head[4:8]
            if not names and name != b"ftyp":
                raise BadFile("the file is no MP4")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            elif length == 0:  # to the end
                length = size - at
            if length < 8:
                break
            names.append(name)
            at += length
    if at > size or not names:
        raise Retryable(f"the file ends too early, after {size} bytes")
    if b"moov" not in names:
        raise BadFile("the MP4 has no index")


def _poster(frame: av.VideoFrame) -> bytes:
    picture = frame.to_image()
    picture.thumbnail((POSTER_SIDE, POSTER_SIDE))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=POSTER_QUALITY, progressive=True)
    return out.getvalue()


def _folder(storage: Storage, name: str) -> Path:
    """Where a file is prepared: its own folder, so that naming it is atomic, or a way station of ours."""
    if isinstance(storage, FileSystemStorage):
        return Path(storage.path(name)).parent
    return Path(settings.VAR_DIR) / "tmp"


@contextlib.contextmanager
def _part(storage: Storage, name: str) -> Iterator[Path]:
    """A path for the unfinished file, of this attempt alone; nothing is left of it afterwards."""
    folder = _folder(storage, name)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{Path(name).name}.{secrets.token_hex(4)}.part"
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _name(storage: Storage, part: Path, name: str) -> str:
    """Give a finished file its name, at once and for good; the name that the storage chose."""
    if not isinstance(storage, FileSystemStorage):
        try:
            remove(
                name, storage=storage
            )  # of an earlier try: the storage would choose another name beside it
            with part.open("rb") as file:
                return storage.save(name, File(file))
        except OSError as error:
            raise Retryable(f"the storage did not take {name}: {error}") from error
    part.chmod(settings.FILE_UPLOAD_PERMISSIONS)
    part.replace(storage.path(name))
    folder = os.open(part.parent, os.O_RDONLY)  # a name is on the disk only when its folder is
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return name


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
