"""From a request to a playable file, through the real tasks, against the real sandbox over HTTP."""

from __future__ import annotations

import hashlib
from collections import Counter

import av
import pytest
from django.core.files.storage import default_storage

from accounts.models import Wallet
from generations import services, tasks
from generations.models import Generation, Lane, Status, Upstream
from tests.makers import ask

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def settled(user) -> tuple[int, int]:
    """(held, spent)"""
    return Wallet.objects.values_list("reserved", "spent").get(quota__user=user)


def posts(sandbox) -> Counter[str]:
    """How often upstream was asked for each of our generations: the judge."""
    return Counter(entry["external_task_id"] for entry in sandbox.journal())


@pytest.mark.parametrize(
    ("model", "size", "seconds", "metadata"),
    [
        ("kling-v2-5-turbo-std", "16:9", 5, {}),
        ("kling-v2-5-turbo-pro", "9:16", 5, {"negative_prompt": "blur"}),
        ("kling-v2-6", "1:1", 10, {"sound": "on"}),
    ],
)
def test_text_becomes_a_playable_video(alice, sandbox, work, model, size, seconds, metadata):
    generation = ask(alice, model=model, size=size, duration=seconds, metadata=metadata)
    work()
    generation.refresh_from_db()
    assert generation.status == Status.SUCCEEDED
    video = generation.video
    across, down = (int(part) for part in size.split(":"))
    assert abs(video.width / video.height - across / down) < 0.03
    assert abs(video.seconds - seconds) < 0.2
    assert video.has_audio is ("sound" in metadata)
    with default_storage.open(video.file.name) as file:
        data = file.read()
    assert len(data) == video.bytes
    assert hashlib.sha256(data).hexdigest() == video.sha256
    with default_storage.open(video.file.name) as file, av.open(file) as film:
        assert film.streams.video[0].codec_context.name == "h264"
    assert default_storage.exists(video.poster.name)
    assert settled(alice) == (0, generation.price)
    assert posts(sandbox) == {str(generation.pk): 1}


def test_a_picture_moves_in_its_own_ratio(alice, sandbox, work, picture):
    generation = ask(alice, model="kling-v2-6", images=[picture(400, 600), picture(400, 600)])
    work()
    generation.refresh_from_db()
    assert generation.status == Status.SUCCEEDED
    assert abs(generation.video.width / generation.video.height - 2 / 3) < 0.03
    (entry,) = sandbox.journal()
    assert generation.mode == "pro"
    assert [image.position for image in generation.images.all()] == [0, 1]
    assert entry["outcome"] == "created"


@pytest.mark.parametrize(
    ("word", "status", "code"),
    [
        ("[refuse]", Status.FAILED, "1301"),
        ("[fail=too dark]", Status.FAILED, None),
        ("[429=1]", Status.SUCCEEDED, ""),
        ("[503=1]", Status.SUCCEEDED, ""),
        ("[envelope]", Status.SUCCEEDED, ""),
        ("[url-in-reason]", Status.SUCCEEDED, ""),
        ("[simple]", Status.SUCCEEDED, ""),
        ("[odd-status]", Status.SUCCEEDED, ""),
        ("[lost=2]", Status.SUCCEEDED, ""),
        ("[no-url=1]", Status.SUCCEEDED, ""),
        ("[poll-500=1]", Status.SUCCEEDED, ""),
        ("[poll-break=1]", Status.SUCCEEDED, ""),
        ("[expired]", Status.SUCCEEDED, ""),
        ("[redirect]", Status.SUCCEEDED, ""),
        ("[500]", Status.UNKNOWN, ""),
        ("[html]", Status.UNKNOWN, ""),
        ("[break]", Status.UNKNOWN, ""),
        ("[no-id]", Status.UNKNOWN, ""),
        ("[garbage]", Status.UNKNOWN, ""),
    ],
)
def test_what_upstream_does_ends_where_the_table_says(alice, sandbox, work, word, status, code):
    generation = ask(alice, prompt=f"小猫 {word}")
    for _ in range(2):  # a row that went back into the queue waits for its backoff; its time is moved here
        work()
        Generation.objects.filter(status=Status.QUEUED).update(next_check_at=generation.created_at)
        services.wake_dispatch()
    work()
    generation.refresh_from_db()
    assert generation.status == status
    if code is not None:
        assert generation.error_code == code
    held, spent = settled(alice)
    assert (held, spent) == {
        Status.SUCCEEDED: (0, 15),
        Status.FAILED: (0, 0),
        Status.UNKNOWN: (15, 0),
    }[status]
    created = [entry for entry in sandbox.journal() if entry["outcome"] == "created"]
    assert len(created) <= 1, "never paid twice"


@pytest.mark.parametrize("word", ["[dead]", "[not-video]", "[half-file]", "[truncated]"])
def test_a_bad_file_is_never_shown_as_a_video(alice, sandbox, work, word):
    generation = ask(alice, prompt=f"小猫 {word}")
    work()
    generation.refresh_from_db()
    assert generation.status == Status.STORING
    assert not hasattr(generation, "video")
    assert [f for f in _files(default_storage, "") if "inputs" not in f] == []


def _files(storage, folder: str) -> list[str]:
    if folder and not storage.exists(folder):
        return []
    try:
        folders, files = storage.listdir(folder)
    except FileNotFoundError:
        return []
    return [f"{folder}/{name}" for name in files] + [
        found for name in folders for found in _files(storage, f"{folder}/{name}" if folder else name)
    ]


def test_our_accounts_fault_stops_the_sending_and_blames_nobody(alice, sandbox, work):
    first = ask(alice, prompt="小猫 [broke=1]")
    work()
    second = ask(alice)
    work()
    assert Upstream.objects.get().circuit == "open"
    assert {g.status for g in (first, second) if not g.refresh_from_db()} == {Status.QUEUED}
    assert len(sandbox.journal()) == 1


def test_a_dispatch_that_comes_twice_sends_once(alice, sandbox):
    ask(alice)
    assert tasks.dispatch() == 1
    assert tasks.dispatch() == 0
    assert tasks.dispatch() == 0
    assert sum(posts(sandbox).values()) == 1


def test_a_held_lane_is_asked_to_look_once_more(alice, sandbox):
    ask(alice)
    from generations import lanes

    token = lanes.enter("dispatch")
    assert tasks.dispatch() == 0
    assert Lane.objects.get(name="dispatch").wanted
    lanes.abandon("dispatch", token)
    assert tasks.dispatch() == 1


def test_a_store_that_comes_twice_makes_one_video(alice, sandbox, work):
    generation = ask(alice)
    work()
    assert tasks.store(str(generation.pk)) is False
    generation.refresh_from_db()
    assert generation.status == Status.SUCCEEDED


def test_without_a_key_everything_waits(alice, settings):
    settings.OMNIMAAS_API_KEY = ""
    generation = ask(alice)
    assert tasks.dispatch() == 0
    assert tasks.poll(seconds=0.01) == 0
    generation.refresh_from_db()
    assert generation.status == Status.QUEUED


def test_a_picture_that_is_lost_is_no_post(alice, sandbox, work, picture):
    generation = ask(alice, images=[picture(400, 400)])
    default_storage.delete(generation.images.get().file.name)
    work()
    generation.refresh_from_db()
    assert (generation.status, generation.error_code) == (Status.FAILED, "picture_lost")
    assert settled(alice) == (0, 0)
    assert sandbox.journal() == []
