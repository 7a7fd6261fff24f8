"""An upstream that keeps its lines and notes who asked about what, and when: the judge of the poll loop."""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RUNNING = {"status": "processing", "progress": 0}


class Polled:
    """``answer(id)`` is what a poll is told, and under ``"http"`` with which status.

    ``asked`` holds (monotonic seconds, id) in order.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[float, str]] = []
        self.lines: set[int] = set()
        self.posts = 0
        self.keeps = True
        self.takes = 0.0
        self.answer: Callable[[str], dict] = lambda id: RUNNING
        self.url = ""

    def shortest_gap(self) -> float:
        return shortest_gap(self.asked)

    def most_in_a_second(self) -> int:
        """In the fullest second, wherever it begins."""
        return most_within(1, [at for at, _id in self.asked])


def most_within(seconds: float, times: Iterable[float]) -> int:
    """How many of these moments lie in the fullest span of so many seconds."""
    most, window = 0, deque[float]()
    for at in sorted(times):
        window.append(at)
        while window[0] <= at - seconds:
            window.popleft()
        most = max(most, len(window))
    return most


def shortest_gap(asked: Iterable[tuple[float, str]]) -> float:
    """Seconds between the two polls of one id that came closest to each other."""
    times = defaultdict(list)
    for at, id in asked:
        times[id].append(at)
    return min((b - a for some in times.values() for a, b in itertools.pairwise(some)), default=1e9)


class Sent:
    """When this process sent each of its GETs, as its HTTP library tells Python's audit."""

    def __init__(self) -> None:
        self.times: list[float] | None = None
        sys.addaudithook(self)  # stays for the life of the process

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "http.client.send" and self.times is not None and bytes(args[1][:4]) == b"GET ":
            self.times.append(time.monotonic())


SENT = Sent()


@contextlib.contextmanager
def sending() -> Iterator[list[float]]:
    """The moments at which GETs are sent, in monotonic seconds, for the length of the block."""
    SENT.times = []
    try:
        yield SENT.times
    finally:
        SENT.times = None


@contextlib.contextmanager
def serve() -> Iterator[Polled]:
    """On a free port for the length of the block."""
    polled = Polled()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            id = self.path.rpartition("/")[2]
            polled.asked.append((time.monotonic(), id))
            polled.lines.add(self.client_address[1])
            time.sleep(polled.takes)
            told = dict(polled.answer(id))
            status, body = told.pop("http", 200), json.dumps(told).encode()
            head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(head.encode() + body)
            self.close_connection = not polled.keeps

        def do_POST(self) -> None:
            polled.posts += 1
            self.send_error(500)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

    with Server(("127.0.0.1", 0), Handler) as server:
        polled.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield polled
        server.shutdown()
