"""Behind the real web server: bodies in chunks, bodies without end, bodies that break off."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from generations.models import Generation
from tests.api import FILM, GENERATIONS, TEXT, everything, finished
from tests.surroundings import database_url

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parent.parent
MB = 1024 * 1024


@dataclass
class Answer:
    status: int
    head: bytes
    body: bytes

    def code(self) -> str:
        return json.loads(self.body)["error"]["code"]


@dataclass
class Server:
    port: int
    media: Path

    def say(self, *parts: bytes, end: bool = False) -> Answer | None:
        """Send bytes as they are, with nothing read meanwhile; ``end`` closes our half before we listen."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as line:
            for part in parts:
                line.sendall(part)
            if end:
                with contextlib.suppress(OSError):  # the server may have answered and hung up already
                    line.shutdown(socket.SHUT_WR)
            data = b""
            while more := line.recv(65536):
                data += more
        if not data:
            return None
        head, _blank, body = data.partition(b"\r\n\r\n")
        return Answer(int(head.split()[1]), head, body)

    def post(self, key: str, *parts: bytes, end: bool = False, **headers: str) -> Answer | None:
        lines = [
            f"POST {GENERATIONS} HTTP/1.1",
            "Host: 127.0.0.1",
            f"Authorization: Bearer {key}",
            "Connection: close",
            *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        ]
        return self.say("\r\n".join(lines).encode() + b"\r\n\r\n", *parts, end=end)


@pytest.fixture(scope="module")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """gunicorn as in production, one process, on the tests' database."""
    home = tmp_path_factory.mktemp("server")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "gunicorn",
                "kling_platform.wsgi",
                "--workers=1",
                f"--bind=fd://{listener.fileno()}",
                "--log-level=warning",
            ],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": database_url(), "VAR_DIR": str(home)},
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
        )
        yield Server(listener.getsockname()[1], home / "media")
        process.terminate()
        try:
            complaints = process.communicate(timeout=20)[1].decode()
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        assert "Internal Server Error" not in complaints, complaints


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


JSON = {"Content_Type": "application/json"}
CHUNKED = {**JSON, "Transfer_Encoding": "chunked"}
GOOD = json.dumps(TEXT).encode()


def test_a_body_in_chunks_is_read(server: Server, alice: User, alice_key: str) -> None:
    answer = server.post(alice_key, chunk(GOOD[:20]), chunk(GOOD[20:]), chunk(b""), **CHUNKED)
    assert answer and answer.status == 200, answer
    assert Generation.objects.get().prompt == TEXT["prompt"]


def test_40_mb_are_413_however_they_come(server: Server, alice_key: str) -> None:
    before = everything()
    megabyte = b" " * MB
    counted = server.post(alice_key, *[megabyte] * 40, **JSON, Content_Length=str(40 * MB))
    chunked = server.post(alice_key, *[chunk(megabyte)] * 40, chunk(b""), **CHUNKED)
    for answer in (counted, chunked):
        assert answer and (answer.status, answer.code()) == (413, "body_too_large")
    assert everything() == before


def test_a_stranger_is_told_so_without_his_40_mb_being_kept(server: Server, alice_key: str) -> None:
    answer = server.post("nonsense", b" " * MB, end=True, **JSON, Content_Length=str(40 * MB))
    assert answer and (answer.status, answer.code()) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    "parts",
    [
        [b"zz\r\n{}\r\n0\r\n\r\n"],
        [b"5\r\n{}\r\n0\r\n\r\n"],
        [chunk(GOOD), b"-1\r\n\r\n"],
        [chunk(GOOD)],
        [chunk(GOOD)[:30]],
        [b"ffffffffffffffff\r\n"],
        [chunk(GOOD), b"0\r\nBad Trailer\r\n\r\n"],
    ],
)
def test_chunks_that_are_none_are_refused_and_harm_nobody(
    server: Server, alice: User, alice_key: str, parts: list[bytes]
) -> None:
    before = everything()
    answer = server.post(alice_key, *parts, end=True, **CHUNKED)
    assert answer is None or answer.status == 400, answer
    assert everything() == before
    fine = server.post(alice_key, GOOD, **JSON, Content_Length=str(len(GOOD)))
    assert fine and fine.status == 200


def test_a_body_that_breaks_off_makes_nothing(server: Server, alice_key: str) -> None:
    before = everything()
    answer = server.post(alice_key, GOOD, end=True, **JSON, Content_Length=str(len(GOOD) + 50))
    assert answer is None or answer.status == 400
    assert everything() == before


def test_two_lengths_cannot_smuggle_a_second_request(server: Server, alice_key: str) -> None:
    before = everything()
    both = {**CHUNKED, "Content_Length": str(len(GOOD))}
    answer = server.post(alice_key, chunk(GOOD), chunk(b""), end=True, **both)
    assert answer is None or answer.status == 400
    assert everything() == before


def test_a_body_longer_than_announced_is_not_read_on(server: Server, alice_key: str) -> None:
    answer = server.post(alice_key, GOOD + b"x" * 100, **JSON, Content_Length=str(len(GOOD)))
    assert answer is None or answer.status == 200
    assert Generation.objects.count() <= 1


def test_a_slow_body_is_waited_for(server: Server, alice_key: str) -> None:
    def slowly() -> Iterator[bytes]:
        for at in range(0, len(GOOD), 10):
            yield GOOD[at : at + 10]
            time.sleep(0.02)

    answer = server.post(alice_key, *slowly(), **JSON, Content_Length=str(len(GOOD)))
    assert answer and answer.status == 200


def test_the_bytes_come_through_the_servers_own_way_of_sending_files(
    server: Server, alice: User, alice_key: str, settings: Any
) -> None:
    settings.MEDIA_ROOT = server.media
    generation = finished(alice)
    lines = [
        f"GET {GENERATIONS}/{generation.pk}/content HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {alice_key}",
        "Range: bytes=1000-2999",
        "Connection: close",
    ]
    answer = server.say("\r\n".join(lines).encode() + b"\r\n\r\n")
    assert answer and (answer.status, answer.body) == (206, FILM[1000:3000])


def test_three_times_as_many_kept_lines_as_threads_are_all_answered(server: Server) -> None:
    """Who asks again at once keeps its thread, but never while somebody else waits for one."""
    lines = [HTTPConnection("127.0.0.1", server.port, timeout=10) for _number in range(48)]
    for pause in (0, 0, 0.05, 0):
        time.sleep(pause)
        for line in lines:
            line.request("GET", "/healthz")
        for line in lines:
            answer = line.getresponse()
            assert (answer.status, answer.read(), answer.will_close) == (200, b'{"status": "ok"}', False)
    for line in lines:
        line.close()
