"""How an answer leaves the web process, packet by packet: each ``sendall`` is one on such a line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gunicorn.config import Config
from gunicorn.http import RequestParser

from kling_platform import serving
from tests.processes import children, wait_until

ROOT = Path(__file__).parent.parent

Answered = Callable[..., list[bytes]]


@pytest.fixture
def answered() -> Iterator[Answered]:
    """The packets of an answer to a request of this method, with these headers and pieces of a body."""
    client, server = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def answer(method: str, headers: list[tuple[str, str]], *pieces: bytes) -> list[bytes]:
        client.sendall(f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        request = next(RequestParser(Config(), server, ("127.0.0.1", 1)))
        response = serving.wsgi.Response(request, server, Config())
        response.start_response("200 OK", headers)
        for piece in pieces:
            response.write(piece)
        response.close()
        server.shutdown(socket.SHUT_WR)
        return list(iter(lambda: client.recv(65536), b""))

    with client, server:
        yield answer


def test_head_and_body_leave_together(answered: Answered) -> None:
    (packet,) = answered("GET", [("Content-Length", "3")], b"abc")
    assert packet.startswith(b"HTTP/1.1 200 OK\r\n") and packet.endswith(b"\r\n\r\nabc")


def test_of_a_stream_the_first_piece_comes_at_once_and_the_others_by_themselves(answered: Answered) -> None:
    first, *others = answered("GET", [], b"abc", b"de")
    assert first.endswith(b"\r\n\r\n3\r\nabc\r\n") and others == [b"2\r\nde\r\n", b"0\r\n\r\n"]


@pytest.mark.parametrize(("method", "pieces"), [("HEAD", [b"abc"]), ("GET", [])])
def test_a_head_alone_leaves_too(answered: Answered, method: str, pieces: list[bytes]) -> None:
    (packet,) = answered(method, [("Content-Length", str(len(b"".join(pieces))))], *pieces)
    assert packet.startswith(b"HTTP/1.1 200 OK\r\n") and packet.endswith(b"\r\n\r\n")


def test_each_process_stays_on_a_processor_of_its_own_and_so_does_its_successor() -> None:
    two = set(sorted(os.sched_getaffinity(0))[:2])
    command = [sys.executable, "-m", "gunicorn", "wsgiref.simple_server:demo_app", "--bind=127.0.0.1:0"]
    master = subprocess.Popen(
        [*command, f"--workers={len(two)}"],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, two),
    )

    def places() -> dict[int, set[int]]:
        return {pid: os.sched_getaffinity(pid) for pid in children(master.pid)}

    def settled(without: int = 0) -> bool:
        found = places()
        apart = {frozenset(one) for one in found.values() if len(one) == 1}
        return len(found) == len(apart) == len(two) and without not in found

    try:
        wait_until(settled, 20)
        for number in range(len(two)):
            first = sorted(places())[number]
            os.kill(first, signal.SIGKILL)
            wait_until(lambda gone=first: settled(without=gone), 20)
    finally:
        master.terminate()
        master.wait(20)
