"""From upstream's link to a file of ours: whole and playable under its name, or nothing at all."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage, InMemoryStorage, Storage
from PIL import Image

from generations import archive
from tests.films import film
from tests.prove.r15 import downloads
from tests.wire import Answer, Wire, drip, hang, reply, say, vouched

SEED = 20261123
WHEN = datetime(2026, 11, 5, tzinfo=UTC)


def unannounced(data: bytes) -> Answer:
    """Without a length, cut short looks like done: only the file itself can tell."""
    return say(reply(data, content_length="", content_type="video/mp4"))


@pytest.fixture
def storage(tmp_path: Path) -> FileSystemStorage:
    return FileSystemStorage(location=tmp_path / "media")


@pytest.fixture
def upstream(settings) -> Iterator[Callable[[Answer], Wire]]:
    with vouched(settings) as start:
        yield lambda answer: start({"/film.mp4": answer})


def copy(
    server: Wire, storage: Storage, generation_id: uuid.UUID | None = None, seconds: float = 5
) -> archive.Archived:
    return archive.copy(
        generation_id or uuid.uuid4(),
        server.url("/film.mp4?sig=secret"),
        storage,
        made_at=WHEN,
        deadline_seconds=seconds,
    )


def files(storage: FileSystemStorage) -> list[str]:
    top = Path(storage.location)
    return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())


# --- a good video ----------------------------------------------------------------


def test_a_film_is_stored_with_its_facts_and_a_poster(storage: FileSystemStorage, upstream) -> None:
    data, name = film(sound=True), uuid.UUID("0f8fad5b-d9cb-469f-a165-70867728950e")
    stored = copy(upstream(say(reply(data, content_type="video/mp4"))), storage, name)
    assert stored.file_name == "videos/2026/11/0f8fad5b-d9cb-469f-a165-70867728950e.mp4"
    assert stored.poster_name == "posters/2026/11/0f8fad5b-d9cb-469f-a165-70867728950e.jpg"
    assert (stored.width, stored.height, stored.fps, stored.has_audio) == (640, 360, 24.0, True)
    assert stored.seconds == pytest.approx(2, abs=0.1)
    assert (stored.bytes, stored.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert storage.open(stored.file_name).read() == data
    with Image.open(storage.path(stored.poster_name)) as poster:
        assert (poster.format, poster.size) == ("JPEG", (640, 360))
        assert poster.getpixel((300, 200))[0] > 150
    assert files(storage) == [stored.poster_name, stored.file_name]
    assert Path(storage.path(stored.file_name)).stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("size", "poster"), [((1920, 1080), (960, 540)), ((1080, 1920), (540, 960)), ((720, 720), (720, 720))]
)
def test_a_poster_is_never_wider_than_960(
    size: tuple[int, int], poster: tuple[int, int], storage, upstream
) -> None:
    stored = copy(upstream(say(reply(film(*size, seconds=1)))), storage)
    assert (stored.width, stored.height, stored.has_audio) == (*size, False)
    with Image.open(storage.path(stored.poster_name)) as picture:
        assert picture.size == poster


def test_doing_it_again_replaces_the_same_files(storage: FileSystemStorage, upstream) -> None:
    name = uuid.uuid4()
    copy(upstream(say(reply(film()))), storage, name)
    again = copy(upstream(say(reply(film(320, 320)))), storage, name)
    assert files(storage) == [again.poster_name, again.file_name]
    assert storage.open(again.file_name).read() == film(320, 320)


def test_a_failing_second_try_leaves_the_first_in_place(storage: FileSystemStorage, upstream) -> None:
    name = uuid.uuid4()
    first = copy(upstream(say(reply(film()))), storage, name)
    with pytest.raises(archive.LinkGone):
        copy(upstream(say(reply(b"", "403 Forbidden"))), storage, name)
    assert files(storage) == [first.poster_name, first.file_name]


def test_a_storage_without_paths_works_the_same(tmp_path: Path, settings, upstream) -> None:
    settings.VAR_DIR = tmp_path
    storage, name = InMemoryStorage(), uuid.uuid4()
    for size in ((640, 360), (320, 320)):
        stored = copy(upstream(say(reply(film(*size)))), storage, name)
        assert storage.open(stored.file_name).read() == film(*size)
        assert storage.listdir("videos/2026/11") == ([], [f"{name}.mp4"])
    with pytest.raises(archive.BadFile):
        copy(upstream(say(reply(b"<html>" * 99))), storage)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


# --- everything else ---------------------------------------------------------------

BROKEN_MOOV = film().replace(b"moov", b"m00v")
FAILURES: dict[str, tuple[Answer, type[archive.ArchiveError]]] = {
    "403": (say(reply(b"<Error/>", "403 Forbidden")), archive.LinkGone),
    "404": (say(reply(b"", "404 Not Found")), archive.LinkGone),
    "410": (say(reply(b"", "410 Gone")), archive.LinkGone),
    "400": (say(reply(b"expired", "400 Bad Request")), archive.LinkGone),
    "429": (say(reply(b"", "429 Slow down")), archive.Retryable),
    "500": (say(reply(b"", "500 Oops")), archive.Retryable),
    "503": (say(reply(b"", "503 Busy")), archive.Retryable),
    "206": (say(reply(film(), "206 Partial Content")), archive.Retryable),
    "inner redirect": (say(reply(b"", "302 Found", location="http://127.0.0.1:9/")), archive.Retryable),
    "truncated": (say(reply(film()[:-999], content_length=str(len(film())))), archive.Retryable),
    "truncated, no length": (unannounced(film()[:-999]), archive.Retryable),
    "one byte short, no length": (unannounced(film()[:-1]), archive.Retryable),
    "empty": (say(reply(b"")), archive.Retryable),
    "line broken": (say(b""), archive.Retryable),
    "slow drip": (drip(reply(film()[:500], content_length="9999"), b"x"), archive.Retryable),
    "silent": (hang, archive.Retryable),
    "page": (say(reply(b"<html>expired</html>", content_type="text/html")), archive.BadFile),
    "page called video": (say(reply(b"<html>expired</html>" * 50, content_type="video/mp4")), archive.BadFile),
    "playlist": (say(reply(b"#EXTM3U\n#EXTINF:5,\nfile:///etc/passwd\n", content_type="video/x")), archive.BadFile),
    "sound alone": (say(reply(film(sound=True, picture=False))), archive.BadFile),
    "no index": (say(reply(BROKEN_MOOV)), archive.BadFile),
    "noise in boxes": (say(reply(b"\0\0\0\x10ftypisom\0\0\0\0\0\0\x10\x08moov" + b"\x7f" * 4096)), archive.BadFile),
    "too large": (say(reply(b"", content_length=str(archive.MAX_BYTES + 1))), archive.BadFile),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_says_what_may_help_and_leaves_nothing(
    kind: str, storage: FileSystemStorage, upstream
) -> None:
    answer, error = FAILURES[kind]
    with pytest.raises(error) as met:
        copy(upstream(answer), storage, seconds=0.5 if answer in (hang, FAILURES["slow drip"][0]) else 5)
    assert met.type is error
    assert "secret" not in str(met.value)
    assert files(storage) == []


def test_after_every_failure_the_next_try_succeeds(storage: FileSystemStorage, upstream) -> None:
    kinds = [kind for kind in FAILURES if kind not in ("silent", "slow drip")]
    answers = [FAILURES[kind][0] for kind in kinds] + [say(reply(film()))]
    served = iter(answers)
    server, name = upstream(lambda conn, request: next(served)(conn, request)), uuid.uuid4()
    for _ in kinds:
        with pytest.raises(archive.ArchiveError):
            copy(server, storage, name)
    stored = copy(server, storage, name)
    assert files(storage) == [stored.poster_name, stored.file_name]


def test_damaged_downloads_leave_no_bad_file(settings) -> None:
    """R15 in small."""
    seed = random.randrange(10**8)
    print(f"seed {seed}")
    downloads(60, seed, settings)


def test_a_full_disk_is_its_own_finding(storage: FileSystemStorage, upstream) -> None:
    server = upstream(say(reply(film())))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (1024, hard)
    )  # the kernel refuses to let any file grow beyond it
    try:
        with pytest.raises(archive.DiskFull):
            copy(server, storage)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(storage) == []


def test_a_forbidden_address_is_retried_once_the_operator_allows_it(
    storage: FileSystemStorage, settings, upstream
) -> None:
    server = upstream(say(reply(film())))
    allowed, settings.EGRESS_ALLOW = settings.EGRESS_ALLOW, frozenset()
    with pytest.raises(archive.Retryable, match="EGRESS_ALLOW"):
        copy(server, storage)
    settings.EGRESS_ALLOW = allowed
    assert copy(server, storage).bytes == len(film())


# --- tidying ------------------------------------------------------------------------


def test_remove_deletes_both_files_and_forgives_their_absence(storage: FileSystemStorage, upstream) -> None:
    stored = copy(upstream(say(reply(film()))), storage)
    for _ in range(2):
        archive.remove(stored.file_name, stored.poster_name, "", storage=storage)
    assert files(storage) == []


def test_what_a_killed_process_left_is_swept_and_nothing_else(storage: FileSystemStorage, upstream) -> None:
    stored = copy(upstream(say(reply(film()))), storage)
    folder = Path(storage.path(stored.file_name)).parent
    (folder / "new.mp4.aa.part").write_bytes(b"at work")
    (folder / "old.mp4.bb.part").write_bytes(b"abandoned")
    os.utime(folder / "old.mp4.bb.part", (time.time() - 7200,) * 2)
    assert archive.remove_abandoned(storage) == 1
    assert not (folder / "old.mp4.bb.part").exists() and (folder / "new.mp4.aa.part").exists()
    assert storage.exists(stored.file_name)


def test_there_is_room_until_the_watermark(
    storage: FileSystemStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "LOW_DISK_BYTES", 1)
    assert archive.has_room(storage)
    monkeypatch.setattr(archive, "LOW_DISK_BYTES", 1 << 62)
    assert not archive.has_room(storage)
