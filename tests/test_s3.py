"""Files in a bucket, against a real server that speaks S3: made, played by range, deleted, purged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models import F

from accounts.models import User
from generations import archive, services, upkeep
from generations.models import Generation, InputImage, Status
from kling_platform import env, s3
from tests.api import Api
from tests.makers import ask, claim_one, storing
from tests.portal import signed_in
from tests.test_settings import GOOD, manage

pytestmark = pytest.mark.django_db
FILMS = "team-films"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    moto.start()
    yield "http://{}:{}".format(*moto.get_host_and_port())
    moto.stop()


@pytest.fixture
def bucket(server: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket, named by the environment as an operator would."""
    import boto3

    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "STORAGE": f"s3://{FILMS}/kling",
    }.items():
        monkeypatch.setenv(name, value)
    found = boto3.resource("s3", endpoint_url=server, region_name="eu-central-1").Bucket(FILMS)
    found.create(CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    settings.STORAGES = {**settings.STORAGES, "default": env.storage("STORAGE")}
    yield found
    found.objects.all().delete()
    found.delete()


def keys(bucket: Any) -> list[str]:
    return sorted(item.key.split("/")[1] for item in bucket.objects.all())


@pytest.fixture
def film(bucket: Any, alice: User, sandbox: Any, work: Any, picture: Callable[[int, int], str]) -> Generation:
    generation = ask(alice, images=[picture(640, 360)])
    work()
    generation.refresh_from_db()
    assert generation.status == Status.SUCCEEDED, generation.error_message
    return generation


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def test_a_video_lives_in_the_bucket_from_its_first_frame_to_its_purge(
    bucket: Any, film: Generation, alice: User, bob: User, alice_key: str, settings: Any
) -> None:
    assert keys(bucket) == ["inputs", "posters", "videos"]
    here = [Path(settings.MEDIA_ROOT), Path(settings.VAR_DIR, "tmp")]
    assert not [path for folder in here for path in folder.rglob("*") if path.is_file()]
    page, url = signed_in(alice), f"/g/{film.pk}/content"
    whole = body(page.get(url))
    assert len(whole) == film.video.bytes and whole[4:8] == b"ftyp"
    for asked, wanted in (("bytes=0-99", whole[:100]), ("bytes=100-", whole[100:]), ("bytes=-7", whole[-7:])):
        answer = page.get(url, headers={"range": asked})
        assert (answer.status_code, body(answer)) == (206, wanted)
    assert body(page.get(f"/g/{film.pk}/poster"))[:2] == b"\xff\xd8"
    assert body(page.get(f"/g/{film.pk}/frames/0"))[:2] == b"\xff\xd8"
    assert signed_in(bob).get(url).status_code == 404
    link = Api(alice_key).get(f"/v1/video/generations/{film.pk}").json()["url"]
    assert link.startswith("http://127.0.0.1:8000/v1/"), "never the bucket's address"
    assert body(Api().get(link.removeprefix("http://127.0.0.1:8000"))) == whole

    settings.AI_LABEL = True
    labelled = body(page.get(url))
    assert labelled != whole and b"AIGC" in labelled
    part = page.get(url, headers={"range": f"bytes={len(labelled) - 90}-"})
    assert (part.status_code, body(part)) == (206, labelled[-90:])

    again = services.retry(film, user=alice)
    assert again.images.get().file.read()[:2] == b"\xff\xd8", "its first frame was read out of the bucket"
    services.cancel(again, actor=alice)
    for row in (film, again):
        services.delete(row, actor=alice)
    Generation.objects.update(deleted_at=F("deleted_at") - timedelta(days=8))
    assert upkeep.purge() == 2
    assert keys(bucket) == []


def test_no_byte_is_fetched_that_nobody_reads(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    default_storage.save("videos/x.mp4", ContentFile(bytes(range(256)) * 4096))
    asked: list[int] = []
    ask_for = s3.Bucket.body
    monkeypatch.setattr(s3.Bucket, "body", lambda self, name, at: asked.append(at) or ask_for(self, name, at))
    with default_storage.open("videos/x.mp4") as file:
        file.seek(1_000_000)
        assert file.read(3) == bytes(range(256))[64:67]
        file.seek(0, 2)
        assert (file.tell(), file.read(1)) == (256 * 4096, b"")
    assert asked == [1_000_000]


def test_what_is_not_there_is_missing_as_on_a_disk(bucket: Any, alice: User, film: Generation) -> None:
    bucket.objects.all().delete()
    assert signed_in(alice).get(f"/g/{film.pk}/content").status_code == 404
    with pytest.raises(FileNotFoundError):
        default_storage.open("videos/none.mp4").read()
    archive.remove("videos/none.mp4")


def test_a_bucket_that_is_away_fails_nothing_for_good(
    alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is in doubt because of our own storage, and what is made is stored later."""
    from generations import sending

    waits = ask(alice)
    InputImage.objects.create(generation=waits, position=0, file="inputs/a.jpg", content_type="image/jpeg")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "kling_platform.s3.Bucket", "OPTIONS": {"bucket_name": FILMS}},
    }
    assert sending._order(claim_one()) is None
    waits.refresh_from_db()
    assert waits.status == Status.QUEUED
    part = tmp_path / "film.part"
    part.write_bytes(b"film")
    with pytest.raises(archive.Retryable):
        archive._name(default_storage, part, "videos/x.mp4")
    assert storing(alice)


def test_the_settings_say_what_is_wrong_with_them(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", **GOOD, STORAGE="ftp://films")
    assert "expected local or s3://bucket" in done.stderr
    done = manage(tmp_path, "check", **GOOD, STORAGE=f"s3://{FILMS}")
    assert "kling.E007" in done.stderr
    done = manage(tmp_path, "check", **GOOD, STORAGE=f"s3://{FILMS}", AWS_REGION="eu-central-1")
    assert done.returncode == 0, done.stderr
