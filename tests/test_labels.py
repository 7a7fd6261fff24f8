"""“Made by AI”: on every page that shows a labelled video, and in every file that goes out; no frame changes."""

from __future__ import annotations

import hashlib
import io
import json
import random
import zipfile
from typing import Any

import av
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client

from accounts import services as people
from accounts.models import Team, User
from generations import labels, services
from generations.models import Generation, Storyboard, Video
from tests.api import GENERATIONS, Api, finished
from tests.films import film
from tests.portal import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def remuxed(data: bytes, movflags: str, **metadata: str) -> bytes:
    """The same frames in another build of file."""
    out = io.BytesIO()
    with (
        av.open(io.BytesIO(data)) as old,
        av.open(out, "w", format="mp4", options={"movflags": movflags} if movflags else {}) as new,
    ):
        tracks = [new.add_stream_from_template(stream) for stream in old.streams]
        new.metadata.update(metadata)
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = tracks[packet.stream.index]
                new.mux(packet)
    return out.getvalue()


FAST = film(320, 240, 1, sound=True)  # the index in front
BUILDS = {
    "the index in front": FAST,
    "the index behind": remuxed(FAST, ""),
    "in fragments": remuxed(FAST, "frag_keyframe+empty_moov+default_base_moof"),
    "with a label of its own": remuxed(FAST, "use_metadata_tags", AIGC='{"Label":"1","ProduceID":"theirs"}'),
}


def packets(data: bytes) -> list[tuple[Any, ...]]:
    """Every packet of every track: when it is decoded and shown, and its bytes."""
    with av.open(io.BytesIO(data)) as container:
        return [
            (packet.stream.index, packet.pts, packet.dts, bytes(packet))
            for packet in container.demux()
            if packet.dts is not None
        ]


def frames(data: bytes) -> list[str]:
    """A checksum of each decoded picture."""
    with av.open(io.BytesIO(data)) as container:
        return [hashlib.sha256(frame.to_image().tobytes()).hexdigest() for frame in container.decode(video=0)]


def tag(data: bytes) -> dict[str, str]:
    with av.open(io.BytesIO(data)) as container:
        return json.loads(container.metadata["AIGC"])


def stored(user: User, data: bytes, **fields: Any) -> Generation:
    """A finished video of these bytes, with their real checksum."""
    generation = finished(user, data, **fields)
    Video.objects.filter(pk=generation.pk).update(sha256=hashlib.sha256(data).hexdigest())
    return Generation.objects.select_related("video", "team").get(pk=generation.pk)


@pytest.fixture
def team(alice: User, boss: User) -> Team:
    """Alice's, whose rule is the label."""
    made = people.make_team("Film", actor=boss)
    people.add_member(made, alice, actor=boss)
    return people.change_team(made, actor=boss, version=1, labelled=True)


@pytest.mark.parametrize("build", BUILDS)
def test_the_label_is_in_the_file_and_every_frame_is_the_same(alice: User, team: Team, build: str) -> None:
    data = BUILDS[build]
    generation = stored(alice, data)
    out = labels.outgoing(generation, generation.video)
    with out.file.open() as file:
        sent = file.read()
    assert len(sent) == out.bytes == out.file.size
    assert packets(sent) == packets(data)
    assert len(frames(sent)) == 24 and frames(sent) == frames(data)
    if build == "with a label of its own":
        assert tag(sent)["ProduceID"] == "theirs" and sent.startswith(data)
    elif build == "in fragments":
        assert (
            sent.startswith(data) and labels.text_of(generation.pk, generation.video.sha256).encode() in sent
        )
    else:
        assert tag(sent) == {
            "Label": "1",
            "ContentProducer": "Kling platform",
            "ProduceID": str(generation.pk),
            "ReservedCode1": hashlib.sha256(data).hexdigest(),
            "ContentPropagator": "Kling platform",
            "PropagateID": str(generation.pk),
            "ReservedCode2": "",
        }
    with generation.video.file.open() as file:
        assert file.read() == data, "what is stored stays as it came"


def test_any_part_is_a_part_of_the_whole(alice: User, team: Team) -> None:
    page = f"/g/{stored(alice, FAST).pk}/content"
    client = signed_in(alice)
    whole = client.get(page)
    data, etag = b"".join(whole), whole["ETag"]
    assert tag(data) and int(whole["Content-Length"]) == len(data)
    dice = random.Random(7)
    places = [0, len(data) - 1, data.index(b"moov"), data.index(b"AIGC"), data.index(b"mdat")]
    for start in places + [dice.randrange(len(data)) for _ in range(20)]:
        end = min(len(data) - 1, start + dice.randrange(5_000))
        part = client.get(page, headers={"range": f"bytes={start}-{end}", "if-range": etag})
        assert (part.status_code, b"".join(part)) == (206, data[start : end + 1]), (start, end)
    assert client.get(page, headers={"if-none-match": etag}).status_code == 304
    Team.objects.update(labelled=False)
    plain = client.get(page, headers={"if-none-match": etag})
    assert (plain.status_code, b"".join(plain)) == (200, FAST), "off again, it is the file as it came"


def test_every_way_out_carries_it(alice: User, team: Team, alice_key: str) -> None:
    generation = stored(alice, FAST)
    link = services.make_link(generation, actor=alice, downloads=True)
    page, api = signed_in(alice), Api(alice_key)
    signed = api.get(f"{GENERATIONS}/{generation.pk}").json()["url"].removeprefix("http://127.0.0.1:8000")
    ways = [
        page.get(f"/g/{generation.pk}/content"),
        page.get(f"/g/{generation.pk}/content?download=1"),
        Client().get(f"/s/{link.token()}/video"),
        Client().get(f"/s/{link.token()}/video?download=1"),
        api.get(f"{GENERATIONS}/{generation.pk}/content"),
        api.get(f"/v1/videos/{generation.pk}/content"),
        Api().get(signed),
    ]
    for way in ways:
        assert tag(b"".join(way))["ProduceID"] == str(generation.pk), way.request["PATH_INFO"]
    answer = page.post("/many/download", {"ids": [generation.pk]})
    body = b"".join(answer)
    assert int(answer["Content-Length"]) == len(body)
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        (name,) = archive.namelist()
        assert tag(archive.read(name))["ProduceID"] == str(generation.pk)


def test_a_film_of_shots_is_labelled_when_one_of_them_is(alice: User, team: Team) -> None:
    shot = stored(alice, FAST)
    plan = {"user": alice, "title": "Fox", "model": shot.model, "shots": [services.Planned("On it runs.", 5)]}
    board = services.plan_storyboard(**plan, begins_with=shot)
    name = default_storage.save("storyboards/film.mp4", ContentFile(FAST))
    Storyboard.objects.filter(pk=board.pk).update(
        status="done", film=name, film_bytes=len(FAST), film_sha256="b" * 64, film_seconds=1
    )
    client, page = signed_in(alice), f"/storyboards/{board.pk}"
    assert tag(b"".join(client.get(f"{page}/film")))["ProduceID"] == str(board.pk)
    assert "ai-label" in client.get(page).content.decode()
    Team.objects.update(labelled=False)
    assert b"".join(client.get(f"{page}/film")) == FAST
    assert "ai-label" not in client.get(page).content.decode()


def test_pages_show_the_badge_where_the_rule_says_so(alice: User, team: Team, settings: Any) -> None:
    ours, mine = stored(alice, FAST), stored(alice, FAST, team=None)
    links = [services.make_link(one, actor=alice) for one in (ours, mine)]
    client = signed_in(alice)
    pages = [[f"/g/{one.pk}", f"/s/{link.token()}"] for one, link in zip((ours, mine), links, strict=True)]
    for page in pages[0]:
        assert "AI 生成" in client.get(page).content.decode()
    for page in pages[1]:
        assert "AI 生成" not in client.get(page).content.decode()
    assert client.get("/").content.decode().count("ai-label") == 1
    settings.AI_LABEL = True
    for page in pages[1]:
        assert "AI 生成" in client.get(page).content.decode()


def test_no_index_however_broken_stops_a_download(alice: User, team: Team) -> None:
    dice = random.Random(11)
    index = FAST.index(b"moov")
    box = labels._meta(b"{}")
    for number in range(300):
        data = bytearray(FAST if number % 2 else BUILDS["the index behind"])
        at = data.index(b"moov")
        for _ in range(dice.randrange(1, 6)):
            data[dice.randrange(at - 4, min(len(data), at + 1_900))] = dice.choice(
                (0, 1, 255, dice.randrange(256))
            )
        if number % 10 == 0:
            del data[dice.randrange(index, len(data)) :]
        pieces = labels._pieces(io.BytesIO(bytes(data)), len(data), box)
        assert sum(piece.length for piece in pieces) == len(data) + len(box)
        sent = labels._Stitched(io.BytesIO(bytes(data)), pieces).read()
        assert sent is not None and len(sent) == len(data) + len(box)
