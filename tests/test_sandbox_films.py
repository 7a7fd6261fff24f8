"""The films of the sandbox are real: they play, move, seek, and show what was asked for."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from PIL import Image, ImageChops, ImageDraw, ImageStat

from generations.omnimaas.sandbox import SandboxServer
from generations.omnimaas.sandbox.caption import FONT, font, wrapped
from generations.omnimaas.sandbox.files import Unsatisfiable, span
from generations.omnimaas.sandbox.pictures import fetch
from generations.omnimaas.sandbox.render import Recipe
from tests.sandboxes import QUICK, Film, encoded, finished, get, made, mean, picture, post
from tests.wire import drip, reply, say, wire


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with SandboxServer(tmp_path_factory.mktemp("sandbox"), **QUICK) as server:
        yield server


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures, 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


# What browsers need


@pytest.mark.parametrize(
    ("model", "size", "seconds", "expected"),
    [
        ("kling-v2-5-turbo-std", "16:9", 5, (160, 90)),
        ("kling-v2-5-turbo-std", "1:1", 10, (120, 120)),
        ("kling-v2-6", "9:16", 5, (90, 160)),
        ("kling-v2-5-turbo-pro", "16:9", 5, (240, 136)),
    ],
)
def test_a_film_has_the_ratio_and_the_length_that_were_asked(
    sandbox: SandboxServer, model: str, size: str, seconds: int, expected: tuple[int, int]
) -> None:
    film = Film(made(sandbox, model=model, size=size, duration=seconds)["url"])
    assert film.size == expected
    assert film.seconds == pytest.approx(seconds, abs=0.05)
    assert (film.codec, film.pixels, film.rate) == ("h264", "yuv420p", 24)
    assert len(film.frames) == seconds * 24
    assert film.audio == []
    assert film.data.index(b"moov") < film.data.index(b"mdat")  # plays before it is all there


@pytest.mark.parametrize(
    ("mode", "ratio", "size"),
    [
        ("std", "16:9", (1280, 720)),
        ("std", "9:16", (720, 1280)),
        ("std", "1:1", (960, 960)),
        ("pro", "16:9", (1920, 1080)),
        ("pro", "1:1", (1440, 1440)),
    ],
)
def test_unscaled_films_are_as_large_as_the_real_ones(mode: str, ratio: str, size: tuple[int, int]) -> None:
    assert Recipe("x", "kling-v2-6", mode, ratio, 5).size == size


def test_sound_is_there_when_asked_for(sandbox: SandboxServer) -> None:
    asked = {"model": "kling-v2-6", "metadata": '{"mode": "pro", "sound": "on"}'}
    assert Film(made(sandbox, **asked)["url"]).audio == ["aac"]


def test_the_film_moves(sandbox: SandboxServer) -> None:
    frames = Film(made(sandbox)["url"]).frames
    for earlier, later in zip(frames[::24], frames[24::24], strict=False):
        for top, bottom in ((0.2, 0.4), (0.5, 0.65)):  # the sky, the hills
            band = (0, int(90 * top), 160, int(90 * bottom))
            assert difference(earlier.crop(band), later.crop(band)) > 3  # standing still gives up to 2.1


def test_asking_is_not_held_up_by_filming(tmp_path: Path) -> None:
    with SandboxServer(tmp_path) as server:
        id, waits = post(server, duration=10).json()["id"], []
        for _ in range(30):
            start = time.monotonic()
            get(server, id)
            waits.append(time.monotonic() - start)
        assert not (tmp_path / "films" / f"{id}.mp4").exists(), "the film was made too soon to show anything"
        assert sorted(waits)[15] < 0.2


# What is written on it


def drawn(text: str) -> bytes:
    image = Image.new("L", (80, 80))
    ImageDraw.Draw(image).text((10, 10), text, 255, font(48))
    return image.tobytes()


def test_common_chinese_characters_are_no_boxes() -> None:
    missing = drawn("\U0010fffd")
    shapes = {char: drawn(char) for char in "一只可爱的小猫在草地上玩耍，。！？《》Aé5"}
    assert missing not in shapes.values()
    assert len(set(shapes.values())) == len(shapes)


def test_the_prompt_is_on_the_film(tmp_path: Path) -> None:
    with SandboxServer(tmp_path, speed=200, scale=0.25) as server:
        image = encoded(picture("black"))
        cat, dog, none = (
            Film(made(server, prompt, images=[image])["url"]).frames[60]
            for prompt in ("猫" * 9, "狗" * 9, "　.")
        )
    words = (0, 0.5, 1, 0.9)
    assert max(mean(cat, words)) > max(mean(none, words)) + 5
    assert difference(cat, dog) > 1


def test_the_font_is_the_one_that_its_readme_names() -> None:
    digest = hashlib.sha256(FONT.read_bytes()).hexdigest()
    assert digest in FONT.with_name("README.md").read_text()
    assert FONT.stat().st_size < 800_000
    assert "SIL OPEN FONT LICENSE" in FONT.with_name("OFL.txt").read_text()


@pytest.mark.parametrize(
    "text",
    ["一只可爱的小猫，在草地上玩耍。" * 9, "a lighthouse keeper walks on the cliffs " * 5, "x" * 400, ""],
)
def test_lines_fit_and_lose_nothing(text: str) -> None:
    lines = wrapped(text, font(30), 500)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(font(30).getlength(line) <= 500 for line in lines)
    assert not any(re.match("[，。,.]", line) for line in lines)


# From pictures


def test_the_first_picture_decides_the_ratio_and_moves(sandbox: SandboxServer) -> None:
    image = Image.new("RGB", (800, 500), "green")
    ImageDraw.Draw(image).rectangle((300, 150, 500, 350), fill="yellow")
    path = sandbox.directory / "first.png"
    image.save(path)
    film = Film(made(sandbox, ".", images=[encoded(path.read_bytes())], size="9:16")["url"])
    assert film.size[0] / film.size[1] == pytest.approx(800 / 500, rel=0.02)
    assert mean(film.frames[0], (0.05, 0.3, 0.2, 0.5)) == pytest.approx((0, 128, 0), abs=12)
    assert mean(film.frames[0], (0.45, 0.4, 0.55, 0.55)) == pytest.approx((255, 255, 0), abs=16)
    assert difference(film.frames[0], film.frames[-2]) > 2


def test_the_last_picture_is_where_it_ends(sandbox: SandboxServer) -> None:
    images = [encoded(picture("red")), encoded(picture("blue"))]
    frames = Film(made(sandbox, ".", model="kling-v2-5-turbo-pro", images=images)["url"]).frames
    middle = (0.3, 0.3, 0.7, 0.5)
    assert mean(frames[0], middle) == pytest.approx((255, 0, 0), abs=16)
    assert mean(frames[-1], middle) == pytest.approx((0, 0, 255), abs=16)
    between = mean(frames[66], middle)
    assert between[0] > 40
    assert between[2] > 40


def test_a_picture_is_fetched_from_its_address(sandbox: SandboxServer) -> None:
    answers = {
        "/here.png": say(reply(picture("orange", (500, 500)), content_type="image/png")),
        "/moved": say(reply(status="302 Found", location="/here.png")),
    }
    with wire(answers) as server:
        film = Film(made(sandbox, ".", images=[server.url("/moved?a=b")])["url"])
    assert film.size[0] == film.size[1]
    assert mean(film.frames[0], (0.3, 0.3, 0.7, 0.5)) == pytest.approx((255, 165, 0), abs=16)
    assert b"uthorization" not in b"".join(server.requests)


def test_where_there_is_no_picture_there_is_a_placeholder(sandbox: SandboxServer) -> None:
    answers = {
        "/text": say(reply(b"<html>")),
        "/large": say(reply(picture() + b"\0" * (10 * 1024 * 1024))),
        "/round": say(reply(status="302 Found", location="/round")),
        "/away": say(reply(status="302 Found", location="file:///etc/passwd")),
    }
    with wire(answers) as server:
        for path in (*answers, "/nothing"):
            assert fetch(server.url(path)) is None
        film = Film(made(sandbox, ".", images=[server.url("/text")])["url"])
    assert film.size == (160, 90)
    assert fetch("http://127.0.0.1:1/closed.png") is None


def test_a_picture_that_drips_is_given_up_in_time() -> None:
    for slow in (drip(reply(content_length="9999"), b"x"), drip(b"HTTP/1.1 200 OK\r\n", b"x")):
        with wire({"/": slow}) as server:
            start = time.monotonic()
            assert fetch(server.url(), seconds=0.4) is None
            assert time.monotonic() - start < 1.5


def test_a_slow_address_holds_up_no_other_film(sandbox: SandboxServer) -> None:
    with wire({"/": drip(reply(content_length="9999"), b"x")}) as server:
        slow = post(sandbox, images=[server.url()]).json()["id"]
        start = time.monotonic()
        made(sandbox)
        assert time.monotonic() - start < 4
        assert get(sandbox, slow).json()["status"] == "processing"
        assert finished(sandbox, slow)["status"] == "succeeded"


# Serving


def test_browsers_can_seek(sandbox: SandboxServer) -> None:
    url = made(sandbox)["url"]
    whole = requests.get(url, timeout=10)
    size = len(whole.content)
    assert (whole.status_code, whole.headers["Content-Type"]) == (200, "video/mp4")
    assert whole.headers["Accept-Ranges"] == "bytes"
    for header, start, end in (
        ("bytes=0-99", 0, 99),
        ("bytes=100-", 100, size - 1),
        ("bytes=-50", size - 50, size - 1),
        (f"bytes=10-{size * 2}", 10, size - 1),
    ):
        part = requests.get(url, headers={"Range": header}, timeout=10)
        assert part.status_code == 206
        assert part.headers["Content-Range"] == f"bytes {start}-{end}/{size}"
        assert part.content == whole.content[start : end + 1]
    outside = requests.get(url, headers={"Range": f"bytes={size}-"}, timeout=10)
    assert (outside.status_code, outside.headers["Content-Range"]) == (416, f"bytes */{size}")


def test_head_tells_the_size_and_sends_nothing(sandbox: SandboxServer) -> None:
    url = made(sandbox)["url"]
    with requests.Session() as session:
        head = session.head(url, timeout=10)
        assert head.headers["Content-Length"] == str(len(session.get(url, timeout=10).content))
        assert head.content == b""


def test_ranges_are_read_as_the_standard_has_it() -> None:
    assert span("bytes=0-0", 10) == (0, 0)
    assert span("bytes=-20", 10) == (0, 9)
    for ignored in ("", "bytes=-", "bytes=5-2", "bytes=0-1,3-4", "lines=1-2"):
        assert span(ignored, 10) is None
    for outside in ("bytes=10-", "bytes=-0"):
        with pytest.raises(Unsatisfiable):
            span(outside, 10)
