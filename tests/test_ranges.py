"""A player that seeks gets exactly the bytes it asked for, from the function and through a real server."""

from __future__ import annotations

import http.client
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core import signals
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from django.db import close_old_connections
from django.http import Http404
from django.test import RequestFactory

from kling_platform import ranges
from tests.ranges_site import WHEN, Far

SEED = 20261123
ROOT = Path(__file__).parent.parent
DATA = bytes(range(256)) * 4 + b"the end"  # 1031 bytes
SIZE = len(DATA)
DATE, LATER = "Mon, 23 Nov 2026 10:00:00 GMT", "Tue, 24 Nov 2026 10:00:00 GMT"


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(DATA)
    return path


@pytest.fixture(autouse=True)
def _without_a_database() -> Iterator[None]:
    """The end of an answer tidies up connections, and an earlier test may have left one: it is not ours."""
    signals.request_finished.disconnect(close_old_connections)
    yield
    signals.request_finished.connect(close_old_connections)


def ask(film: Path, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    request = RequestFactory().generic(
        method, "/film", headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    response = ranges.serve(request, film, content_type="video/mp4", etag="abc", last_modified=WHEN)
    body = b"".join(response) if response.streaming else response.content
    response.close()
    return response.status_code, dict(response.items()), body


# --- the whole file --------------------------------------------------------------


def test_a_plain_get_is_whole_and_says_that_ranges_work(film: Path) -> None:
    status, headers, body = ask(film)
    assert (status, body) == (200, DATA)
    assert headers == {
        "Content-Type": "video/mp4", "Content-Length": str(SIZE), "Accept-Ranges": "bytes", "ETag": '"abc"',
        "Last-Modified": DATE,
    }  # fmt: skip


def test_head_says_the_same_and_sends_nothing(film: Path) -> None:
    status, headers, body = ask(film, "HEAD", range="bytes=0-9")
    assert (status, body) == (200, b"")
    assert headers == ask(film)[1]


def test_a_download_has_a_name_in_any_script(film: Path) -> None:
    request = RequestFactory().get("/")
    for attached, kind in ((True, "attachment"), (False, "inline")):
        answer = ranges.serve(
            request, film, content_type="video/mp4", etag="abc", filename='山 "x".mp4', as_attachment=attached
        )
        assert answer["Content-Disposition"] == f"{kind}; filename*=utf-8''%E5%B1%B1%20%22x%22.mp4"
        answer.close()


# --- a part of it ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 0), ("bytes=0-9", 0, 9), ("bytes=100-", 100, SIZE - 1), ("bytes=-7", SIZE - 7, SIZE - 1),
        ("bytes=-99999", 0, SIZE - 1), (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1), (" bytes=3-4 ", 3, 4),
        (f"bytes=5-{SIZE}", 5, SIZE - 1), ("bytes=5-999999999999999999", 5, SIZE - 1), ("Bytes=3-4", 3, 4),
        ("bytes=007-008", 7, 8),
    ],
)  # fmt: skip
def test_a_range_is_exactly_what_was_asked(asked: str, start: int, end: int, film: Path) -> None:
    status, headers, body = ask(film, range=asked)
    assert (status, body) == (206, DATA[start : end + 1])
    assert headers["Content-Range"] == f"bytes {start}-{end}/{SIZE}"
    assert headers["Content-Length"] == str(end - start + 1)
    assert (headers["ETag"], headers["Last-Modified"]) == ('"abc"', DATE)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=99999-", "bytes=-0", "bytes=999999999999999999-"])
def test_a_range_beyond_the_end_learns_the_size(asked: str, film: Path) -> None:
    status, headers, body = ask(film, range=asked)
    assert (status, body, headers["Content-Range"]) == (416, b"", f"bytes */{SIZE}")


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=0-1,5-9", "bytes=9-1", "bytes=-", "bytes=", "bytes", "", "items=0-9", "bytes=a-b", "bytes=1.5-3",
        "bytes=٣-٤", "bytes=0-9x", "bytes=--5", "bytes=0x1-9", "bytes=" + "9" * 5000 + "-", "bytes=1-2-3",
    ],
)  # fmt: skip
def test_what_makes_no_sense_gets_the_whole_file(asked: str, film: Path) -> None:
    assert ask(film, range=asked)[::2] == (200, DATA)


def test_a_file_without_bytes_has_no_range(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert ask(tmp_path / "empty")[::2] == (200, b"")
    assert ask(tmp_path / "empty", range="bytes=0-")[0] == 416


# --- what the client already has -----------------------------------------------------


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        ('"abc"', 206),
        (DATE, 206),
        ('"old"', 200),
        ('W/"abc"', 200),
        ("abc", 200),
        (LATER, 200),
        ("nonsense", 200),
    ],
)
def test_if_range_continues_only_the_same_content(if_range: str, status: int, film: Path) -> None:
    assert ask(film, range="bytes=5-9", if_range=if_range)[0] == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if_none_match": '"abc"'}, 304), ({"if_none_match": '"x", W/"abc"'}, 304), ({"if_none_match": "*"}, 304),
        ({"if_none_match": '"x"'}, 200), ({"if_modified_since": DATE}, 304), ({"if_modified_since": LATER}, 304),
        ({"if_none_match": '"x"', "if_modified_since": DATE}, 200), ({"if_match": '"x"'}, 412),
        ({"if_none_match": '"abc"', "range": "bytes=0-9"}, 304), ({"if_match": '"abc"', "range": "bytes=0-9"}, 206),
    ],
)  # fmt: skip
def test_conditions_are_answered(headers: dict[str, str], status: int, film: Path) -> None:
    for method in ("GET", "HEAD"):
        got, fields, body = ask(film, method, **headers)
        assert got == (200 if (status, method) == (206, "HEAD") else status)
        if got in (304, 412):
            assert body == b""
        if got == 304:
            assert fields["ETag"] == '"abc"'


# --- where the file is ------------------------------------------------------------------


def test_stored_files_of_any_storage_can_be_served(tmp_path: Path) -> None:
    for storage in (FileSystemStorage(tmp_path), InMemoryStorage()):
        name = storage.save("film.mp4", ContentFile(DATA))
        request = RequestFactory().get("/", headers={"Range": "bytes=1000-"})
        answer = ranges.serve(request, storage.open(name), content_type="video/mp4", etag="abc")
        assert (answer.status_code, b"".join(answer)) == (206, DATA[1000:])
        answer.close()


def test_a_file_that_is_gone_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(Http404):
        ask(tmp_path / "purged.mp4")


def test_a_window_stands_at_its_start_for_sendfile(film: Path) -> None:
    with film.open("rb") as file:
        file.read(600)  # Python's buffer is ahead of what was read, as after a look at the file's head
        window = ranges.Window(file, 500, 100)
        descriptor = window.fileno()
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 500
        assert os.read(descriptor, 3) == DATA[500:503]


def test_a_window_shows_nothing_outside_of_it(film: Path) -> None:
    window = ranges.Window(film.open("rb"), 10, 20)
    assert (window.read(15), window.read(15), window.read(15)) == (DATA[10:25], DATA[25:30], b"")
    window.close()


# --- through a real server -----------------------------------------------------------------


class Server:
    """gunicorn with one thread-pool worker, as in production."""

    def __init__(self, film: Path, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "gunicorn", "tests.ranges_site:application", "--worker-class=gthread",
                    "--threads=4", f"--bind=fd://{listener.fileno()}", "--log-level=warning", *options,
                ],
                cwd=ROOT,
                env={**os.environ, "RANGES_FILE": str(film)},
                pass_fds=[listener.fileno()],
                stderr=subprocess.PIPE,
            )  # fmt: skip

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        line.request(method, path, headers=headers)
        answer = line.getresponse()
        body = answer.read()
        line.close()
        return answer.status, dict(answer.headers), body

    def stop(self) -> bytes:
        self.process.terminate()
        return self.process.communicate(timeout=20)[1]


@pytest.fixture(scope="module", params=["sendfile", "read"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, bytes]]:
    data = random.Random(SEED).randbytes(3_000_000)
    film = tmp_path_factory.mktemp("ranges") / "film.mp4"
    film.write_bytes(data)
    server = Server(film, *(["--no-sendfile"] if request.param == "read" else []))
    yield server, data
    assert server.stop() == b""  # not a line of complaint


def test_a_real_server_sends_the_range_and_not_a_byte_more(server: tuple[Server, bytes]) -> None:
    running, data = server
    print("seed", SEED)
    rng = random.Random(SEED)
    line = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    for _ in range(60):  # on one connection: a byte too many would spoil the next answer
        start = rng.randrange(len(data))
        end = rng.randrange(start, len(data))
        line.request("GET", "/film", headers={"Range": f"bytes={start}-{end}"})
        answer = line.getresponse()
        assert (answer.status, answer.headers["Content-Range"]) == (206, f"bytes {start}-{end}/{len(data)}")
        assert answer.read() == data[start : end + 1]
    for method, headers, status, body in [
        ("GET", {}, 200, data), ("HEAD", {}, 200, b""), ("GET", {"Range": "bytes=-5"}, 206, data[-5:]),
        ("GET", {"Range": "bytes=0-1,4-5"}, 200, data), ("GET", {"Range": "bytes=3000000-"}, 416, b""),
        ("GET", {"If-None-Match": '"abc"'}, 304, b""), ("GET", {"Range": "bytes=7-7"}, 206, data[7:8]),
    ]:  # fmt: skip
        line.request(method, "/film", headers=headers)
        answer = line.getresponse()
        assert (answer.status, answer.read()) == (status, body)
        if status == 200:
            assert answer.headers["Content-Length"] == str(len(data))
    line.close()


def test_many_players_at_once_get_each_their_own_part(server: tuple[Server, bytes]) -> None:
    running, data = server

    def play(number: int) -> bool:
        start = number * 40_000
        return (
            running.get("/film", Range=f"bytes={start}-{start + 99_999}")[2] == data[start : start + 100_000]
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(play, range(64)))


def test_players_that_leave_cost_no_open_file(server: tuple[Server, bytes]) -> None:
    running, _data = server
    before = int(running.get("/memory")[2].split()[1])
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", running.port)) as line:
            line.sendall(b"GET /film HTTP/1.1\r\nHost: x\r\n\r\n")
            line.recv(100)
    deadline = time.monotonic() + 10
    while int(running.get("/memory")[2].split()[1]) > before + 2:
        assert time.monotonic() < deadline, "files stay open"
        time.sleep(0.1)


def test_a_remote_film_of_half_a_gigabyte_takes_no_memory(server: tuple[Server, bytes]) -> None:
    running, _data = server
    before = int(running.get("/memory")[2].split()[0])
    line = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    line.request("GET", "/far", headers={"Range": "bytes=1000-"})
    answer = line.getresponse()
    assert answer.headers["Content-Range"] == f"bytes 1000-{Far.size - 1}/{Far.size}"
    read = 0
    while chunk := answer.read(1 << 20):
        read += len(chunk)
    assert read == Far.size - 1000
    assert int(running.get("/memory")[2].split()[0]) - before < 20_000  # KiB
