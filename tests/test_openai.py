"""OpenAI's own client against the platform, and what its Videos shape promises."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from django.core.signals import request_started

from accounts import services as people
from accounts.models import User
from accounts.quotas import current_wallet
from generations import services
from generations.models import Generation
from tests.api import FILM, TEXT, Api, error, everything, finished
from tests.conftest import Work
from tests.makers import ask, submitted

if TYPE_CHECKING:
    from openai import OpenAI

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning"),
]

VIDEOS = "/v1/videos"
WORDS = {"model": "kling-v2-6", "prompt": "Waves roll onto a pebble beach at dusk."}
KEYS = {
    "id", "object", "model", "status", "progress", "created_at", "completed_at", "expires_at", "prompt",
    "seconds", "size", "remixed_from_video_id", "error",
}  # fmt: skip


def form(*parts: tuple[str, str | bytes], end: bytes = b"--") -> dict[str, Any]:
    """A form as a client would send it; bytes are a file."""
    body = b""
    for name, value in parts:
        file = isinstance(value, bytes)
        body += b'--b0\r\nContent-Disposition: form-data; name="' + name.encode() + b'"'
        body += b'; filename="a.jpg"\r\nContent-Type: image/jpeg' if file else b""
        body += b"\r\n\r\n" + (value if isinstance(value, bytes) else value.encode()) + b"\r\n"
    return {"body": body + b"--b0" + end + b"\r\n", "content_type": "multipart/form-data; boundary=b0"}


@contextmanager
def hearing() -> Iterator[list[float]]:
    """When each request came."""
    came: list[float] = []

    def hear(**_: Any) -> None:
        came.append(time.monotonic())

    request_started.connect(hear)
    try:
        yield came
    finally:
        request_started.disconnect(hear)


# --- the client that nobody here wrote --------------------------------------------


@pytest.fixture
def openai() -> ModuleType:
    """Theirs; it takes half a second to import."""
    import openai

    return openai


@pytest.fixture
def client(openai: Any, live_server: Any, settings: Any, alice_key: str) -> Iterator[OpenAI]:
    settings.PUBLIC_URL = live_server.url
    with openai.OpenAI(base_url=f"{live_server.url}/v1", api_key=alice_key, timeout=20) as client:
        yield client


@pytest.fixture
def meanwhile(work: Work) -> Callable[[Callable[[], Any]], Any]:
    """What a client does, while a worker is at work."""

    def run(call: Callable[[], Any]) -> Any:
        got: list[Any] = []
        thread = threading.Thread(target=lambda: got.append(call()), daemon=True)
        thread.start()
        deadline = time.monotonic() + 60
        while thread.is_alive():
            assert time.monotonic() < deadline, "the client does not end"
            work()
            thread.join(0.05)
        return got[0]

    return run


@pytest.mark.django_db(transaction=True)
def test_it_creates_polls_downloads_lists_and_deletes(
    openai: Any,
    client: OpenAI,
    sandbox: Any,
    meanwhile: Any,
    alice: User,
    picture: Callable[[int, int], str],
) -> None:
    film_team = people.make_team("Film", actor=None)
    people.add_member(film_team, alice, actor=None)
    with hearing() as asked:
        video = meanwhile(lambda: client.videos.create_and_poll(**WORDS, seconds="5", size="720x1280"))
    assert (video.status, video.progress, video.seconds) == ("completed", 100, "5")
    _create, first, second, *_more = asked
    assert second - first > 1.5, "it asks when we say; by itself it would every second"
    generation = Generation.objects.get()
    assert (generation.size, generation.seconds, str(generation.pk)) == ("9:16", 5, video.id)
    assert video.size == f"{generation.video.width}x{generation.video.height}"

    film = client.videos.download_content(video.id)
    assert film.read() == generation.video.file.read()
    still = client.videos.download_content(video.id, variant="thumbnail")
    assert still.read()[:3] == b"\xff\xd8\xff"

    frame = ("first.jpg", base64.b64decode(picture(640, 360)), "image/jpeg")
    moved = client.videos.create(
        **WORDS,
        input_reference=frame,
        extra_body={
            "metadata": {"mode": "pro", "sound": "on", "cfg_scale": 0.5, "negative_prompt": "人"},
            "team": "Film",
            "visibility": "team",
            "tags": ["spring", "海"],
        },
    )
    second = Generation.objects.get(pk=moved.id)
    assert (second.mode, second.sound, second.images.get().width) == ("pro", True, 640)
    assert second.metadata == {"cfg_scale": 0.5, "negative_prompt": "人"}
    assert (second.team, second.visibility) == (film_team, "team")
    assert sorted(tag.name for tag in second.tags.all()) == ["spring", "海"]
    ends = client.videos.create(
        model="kling-v2-5-turbo-pro",
        prompt="x",
        extra_body={"images": ["https://example.com/a.jpg", "https://example.com/b.jpg"]},
    )
    assert Generation.objects.get(pk=ends.id).images.count() == 2
    by_address = {"input_reference": {"image_url": "https://example.com/a.jpg"}}
    assert client.videos.create(**WORDS, extra_body=by_address).status == "queued"

    assert [v.created_at for v in client.videos.list(limit=1)] == sorted(
        (v.created_at for v in client.videos.list()), reverse=True
    )
    assert [v.id for v in client.videos.list(order="asc", limit=3)][:2] == [video.id, moved.id]
    assert client.videos.delete(video.id).deleted is True
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(video.id)
    # One that waits for its turn is canceled by it, and its credits come back.
    held = current_wallet(alice.quotas.get()).reserved
    client.videos.delete(moved.id)
    assert current_wallet(alice.quotas.get()).reserved == held - second.price


@pytest.mark.django_db(transaction=True)
def test_it_is_refused_in_its_own_exceptions_and_at_once(openai: Any, client: OpenAI, alice: User) -> None:
    patient = client.with_options(max_retries=5)
    with pytest.raises(openai.BadRequestError) as refused:
        patient.videos.create(**WORDS, seconds="4")
    assert (refused.value.param, refused.value.code) == ("seconds", "invalid_value")
    generation = submitted(alice)
    with hearing() as asked, pytest.raises(openai.ConflictError):
        patient.videos.delete(str(generation.pk))
    assert len(asked) == 1, "a 409 that waiting cannot cure is not tried again"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="nonsense").videos.list()


# --- the shape ----------------------------------------------------------------------


def test_every_key_is_there_and_the_words_are_the_sdks(openai: Any, alice: User, alice_key: str) -> None:
    api = Api(alice_key)
    made = api.post(VIDEOS, WORDS)
    assert made.status_code == 200
    assert set(made.json()) == KEYS
    assert made.json()["status"] == "queued"
    assert (made.json()["seconds"], made.json()["size"]) == ("5", "1280x720")
    services.cancel(Generation.objects.get(), actor=alice)
    running, ready = submitted(alice), finished(alice)
    words = {video["id"]: video for video in api.get(VIDEOS).json()["data"]}
    assert words[made.json()["id"]]["status"] == "failed"
    assert words[made.json()["id"]]["error"]["code"] == "canceled"
    assert (words[str(running.pk)]["status"], words[str(running.pk)]["completed_at"]) == ("in_progress", None)
    assert words[str(ready.pk)]["status"] == "completed"
    assert words[str(ready.pk)]["completed_at"] == int(ready.finished_at.timestamp())
    for video in words.values():
        assert set(video) == KEYS
        openai.types.Video.model_validate(video, strict=True)


def test_it_says_when_to_ask_again_while_there_is_something_to_wait_for(alice: User, alice_key: str) -> None:
    api = Api(alice_key)
    for generation in (submitted(alice), ask(alice)):
        after = int(api.get(f"{VIDEOS}/{generation.pk}")["OpenAI-Poll-After-Ms"])
        assert 1_000 <= after <= 30_000
    services.cancel(generation, actor=alice)
    assert "OpenAI-Poll-After-Ms" not in api.get(f"{VIDEOS}/{finished(alice).pk}")


def test_the_still_and_the_film_are_served_and_nothing_else(alice: User, alice_key: str) -> None:
    api, ready = Api(alice_key), finished(alice)
    path = f"{VIDEOS}/{ready.pk}/content"
    film = api.get(path, headers={"accept": "application/binary", "range": "bytes=10-19"})
    assert (film.status_code, film["Content-Type"], film.getvalue()) == (206, "video/mp4", FILM[10:20])
    still = api.get(f"{path}?variant=thumbnail")
    assert (still.status_code, still["Content-Type"]) == (200, "image/jpeg")
    answer = api.get(f"{path}?variant=spritesheet")
    assert (answer.status_code, error(answer)["param"]) == (400, "variant")
    waiting = ask(alice)
    assert api.get(f"{VIDEOS}/{waiting.pk}/content?variant=thumbnail").status_code == 409


@pytest.mark.sqlite
def test_a_form_that_comes_again_under_its_key_makes_one(alice_key: str, picture: Any) -> None:
    """Whatever boundary stands between its parts."""
    api, image = Api(alice_key), base64.b64decode(picture(640, 360))
    parts = [*WORDS.items(), ("input_reference", image)]
    sent = form(*parts)
    other = {name: value.replace(*swap) for (name, value), swap in zip(
        sent.items(), [(b"--b0", b"--zz"), ("b0", "zz")], strict=True)}  # fmt: skip
    key = {"idempotency-key": "one"}
    first, again = api.post(VIDEOS, **sent, headers=key), api.post(VIDEOS, **other, headers=key)
    assert first.status_code == 200, first.content
    assert (again["Idempotent-Replayed"], again.json()) == ("true", first.json())
    changed = form(*WORDS.items(), ("input_reference", image[:-2] + b"\x00\x00"))
    assert api.post(VIDEOS, **changed, headers=key).status_code == 422
    assert api.post(VIDEOS, **sent, headers={"x-stainless-retry-count": "1"}).json() == first.json()
    assert Generation.objects.count() == 1


# --- what no form of ours is ---------------------------------------------------------

GOOD = list(WORDS.items())
IMAGE = b"\xff\xd8\xff"
HOSTILE: dict[str, tuple[dict[str, Any], str | None]] = {
    "an unknown field": (form(*GOOD, ("n", "4")), "n"),
    "a team that is not ours": (form(*GOOD, ("team", "Film")), "team"),
    "tags without a list": (form(*GOOD, ("tags", "a")), "tags"),
    "a file for a tag": (form(*GOOD, ("tags[]", IMAGE)), "tags"),
    "an unknown option": (form(*GOOD, ("metadata[n]", "4")), "metadata.n"),
    "our own word": (form(*GOOD, ("duration", "5")), "duration"),
    "a second prompt": (form(*GOOD, ("prompt", "y")), "prompt"),
    "a list and an object": (form(*GOOD, ("images[]", "x"), ("images[a]", "y")), "images[a]"),
    "a text and an object": (form(*GOOD, ("metadata", "{}"), ("metadata[sound]", "on")), "metadata[sound]"),
    "a bad name": (form(*GOOD, ("a b", "x")), "a b"),
    "an open bracket": (form(*GOOD, ("metadata[sound", "on")), "metadata[sound"),
    "too deep": (form(*GOOD, ("metadata[a][b][c][d]", "on")), "metadata[a][b][c][d]"),
    "a dunder": (form(*GOOD, ("metadata[__class__]", "x")), "metadata.__class__"),
    "a file among the options": (
        form(*GOOD, ("metadata[camera_control]", IMAGE)),
        "metadata[camera_control]",
    ),
    "a file for a prompt": (form(("model", "kling-v2-6"), ("prompt", IMAGE)), "prompt"),
    "a file for options": (form(*GOOD, ("metadata", IMAGE)), "metadata"),
    "a file for seconds": (form(*GOOD, ("seconds", IMAGE)), "seconds"),
    "a file that is no picture": (form(*GOOD, ("input_reference", IMAGE)), "input_reference"),
    "a name for a picture": (form(*GOOD, ("input_reference[file_id]", "x")), "input_reference"),
    "two first frames": (form(*GOOD, ("input_reference", IMAGE), ("images[]", "x")), "input_reference"),
    "an empty reference": (form(*GOOD, ("input_reference", "")), "input_reference"),
    "NUL": (form(("model", "kling-v2-6"), ("prompt", "a\x00b")), "prompt"),
    "65 parts": (form(*GOOD, *[("images[]", "x")] * 63), None),
    "no end": (form(*GOOD, end=b""), None),
    "nothing": ({"body": b"--b0--\r\n", "content_type": "multipart/form-data; boundary=b0"}, "model"),
    "no boundary": (form(*GOOD) | {"content_type": "multipart/form-data"}, None),
    "another boundary": (form(*GOOD) | {"content_type": "multipart/form-data; boundary=b1"}, "model"),
    "a boundary of 300": (form(*GOOD) | {"content_type": "multipart/form-data; boundary=" + "b" * 300}, None),
    "rubbish": (form() | {"body": b"\x00\xff--b0--"}, "model"),
    "not UTF-8": (form(*GOOD) | {"body": form(*GOOD)["body"].replace(b"Waves", b"W\xffves")}, "prompt"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_bad_form_is_400_and_names_the_part(alice_key: str, name: str) -> None:
    before = everything()
    sent, param = HOSTILE[name]
    answer = Api(alice_key).post(VIDEOS, **sent)
    assert (answer.status_code, error(answer)["param"]) == (400, param), answer.content
    assert answer["X-Should-Retry"] == "false"
    assert everything() == before


def test_a_form_of_40_mb_is_413(alice_key: str) -> None:
    answer = Api(alice_key).post(VIDEOS, **form(*GOOD, ("input_reference", bytes(40 * 1024 * 1024))))
    assert (answer.status_code, error(answer)["code"]) == (413, "body_too_large")


def test_a_form_is_for_this_address_alone(alice_key: str) -> None:
    assert Api(alice_key).post("/v1/video/generations", **form(*TEXT.items())).status_code == 415


def test_json_does_it_too(alice_key: str) -> None:
    answer = Api(alice_key).post(
        VIDEOS,
        WORDS
        | {
            "seconds": "10",
            "size": "960x960",
            "input_reference": {"image_url": "https://example.com/a.jpg"},
            "metadata": {"mode": "pro"},
            "team": None,
            "visibility": "private",
            "tags": ["spring"],
        },
    )
    assert answer.status_code == 200, answer.content
    made = Generation.objects.get()
    assert (made.seconds, made.size, made.mode) == (10, "1:1", "pro")
    assert (made.team, [tag.name for tag in made.tags.all()]) == (None, ["spring"])
    assert answer.json()["size"] == "1440x1440"
