"""An upstream that means harm, on POST, GET and download: bounded memory, bounded time, and no verdict from it.

Each stage runs its real task in a process of its own, whose memory the kernel measures, against real sockets.
"""

from __future__ import annotations

import gzip
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now

from accounts.invariants import ALL
from generations import archive, dispatch, tasks
from generations.invariants import INVARIANTS
from generations.models import OPEN, Generation, Status, Upstream
from generations.omnimaas import client
from tests.crashes import task_process
from tests.makers import ask, make_user, storing, submitted
from tests.processes import wait_until
from tests.wire import Answer, Wire, drip, reply, say, wire

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

MB = 1024 * 1024
MOST_GROWTH = 60 * MB  # a reply of 1 MB is some twenty once it is read, and threads hold several
PATH = "/v1/video/generations"


def flood(start: bytes, piece: bytes, megabytes: int = 100) -> Answer:
    """So much, or as much as anybody takes."""

    def answer(conn: socket.socket, request: bytes) -> None:
        conn.sendall(start)
        for _ in range(megabytes * MB // len(piece)):
            conn.sendall(piece)

    return answer


ENDLESS = reply(content_length="")
CHUNKS = reply(content_length="", transfer_encoding="chunked")
HARM: dict[str, Answer] = {
    "page": say(reply(b"<html>" * 1_000)),
    "cut-off": say(reply(b'{"id": "task_1", "sta', content_length="99")),
    "half": say(reply(b'{"id": "task_1", "sta')),
    "huge": flood(reply(content_length=str(100 * MB)), b"x" * 65536),
    "endless": flood(ENDLESS, b"x" * 65536),
    "chunks": flood(CHUNKS, b"10000\r\n" + b"x" * 65536 + b"\r\n"),
    "chunk-size": flood(CHUNKS, b"1" * 65536),
    "bomb": say(reply(gzip.compress(bytes(10 * MB)) * 50, content_encoding="gzip")),
    "header": flood(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * 65536),
    "headers": flood(b"HTTP/1.1 200 OK\r\n", b"X-Many: y\r\n" * 6_000),
    "id": say(reply(json.dumps({"id": "x" * (MB - 100), "url": "x"}).encode())),
    "depth": say(reply(b"[" * 900_000)),
    "width": say(reply(b'{"id":[' + b"[]," * 300_000 + b"[]]}")),
    "inside": say(reply(b"", "302 Found", location="http://127.0.0.1:1/metadata")),
    "drip": drip(reply(content_length="600"), b" "),
}


@pytest.fixture
def upstream(settings: Any) -> Iterator[Wire]:
    """Does the harm that a prompt or an id names."""

    def post(conn: socket.socket, request: bytes) -> None:
        prompt = json.loads(request.partition(b"\r\n\r\n")[2])["prompt"]
        HARM[prompt](conn, request)

    answers = {PATH: post} | {f"{PATH}/{name}": harm for name, harm in HARM.items()}
    with wire(answers) as server:
        settings.OMNIMAAS_BASE_URL, settings.OMNIMAAS_API_KEY = server.url("").rstrip("/"), "sk-harm"
        settings.EGRESS_ALLOW = frozenset({server.authority})
        settings.OMNIMAAS_MAX_IN_FLIGHT, settings.POLL_BUDGET, settings.OMNIMAAS_TIMEOUT = 1_000, 100, 1
        dispatch.adopt_epoch()
        yield server


def growth(work: Callable[[], object], told: Path) -> int:
    """By how many bytes the memory of a process of its own grew at most, over the work."""

    def measured() -> None:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the process it was forked from
        before = _memory("VmRSS")
        work()
        told.write_text(str(_memory("VmHWM") - before))

    begun = time.monotonic()
    assert task_process(measured, seconds=120) == 0, f"after {time.monotonic() - begun:.0f} s"
    return int(told.read_text())


def _memory(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def statuses() -> dict[str, str]:
    """What became of each, by the harm that it met."""
    open_ones = Generation.objects.filter(status__in=OPEN)
    assert not open_ones.filter(next_check_at=None).exists()
    for invariant in INVARIANTS:
        assert invariant.breaches(ALL) == [], invariant.name
    return dict(Generation.objects.values_list("prompt", "status"))


def test_a_post_ends_in_doubt(upstream: Wire, tmp_path: Path) -> None:
    user = make_user(credits=10_000)
    for name in HARM:
        ask(user, prompt=name)

    def work() -> None:
        while Generation.objects.filter(status=Status.QUEUED).exists():
            tasks.dispatch()
            # Two doubts in a row stop the sending; here it goes on.
            Upstream.objects.update(circuit="closed", open_since=None, open_until=None, doubts=0)

    grown = growth(work, tmp_path / "told")
    assert statuses() == dict.fromkeys(HARM, Status.UNKNOWN)

    def posts() -> int:
        return sum(request.startswith(b"POST") for request in upstream.requests)

    wait_until(
        lambda: posts() >= len(HARM), 10
    )  # upstream may read what was cut off later than it was cut off
    assert posts() == len(HARM), "each once"
    print(f"grown {grown / MB:.1f} MB")
    assert grown < MOST_GROWTH, f"{grown / MB:.0f} MB"


@pytest.mark.long
def test_a_poll_says_nothing(upstream: Wire, tmp_path: Path) -> None:
    user = make_user(credits=10_000)
    for name in HARM:
        submitted(user, upstream_id=name, prompt=name)
    Generation.objects.update(next_check_at=Now())

    def work() -> None:
        client.POLL_SECONDS = 1
        while Generation.objects.filter(polls=0).exists():
            tasks.poll(seconds=0.01)

    grown = growth(work, tmp_path / "told")
    assert statuses() == dict.fromkeys(HARM, Status.RUNNING)
    print(f"grown {grown / MB:.1f} MB")
    assert grown < MOST_GROWTH, f"{grown / MB:.0f} MB"


def test_a_download_is_tried_again(upstream: Wire, settings: Any, tmp_path: Path) -> None:
    user = make_user(credits=10_000)
    for name in HARM:
        storing(user, url=upstream.url(f"{PATH}/{name}"), prompt=name, upstream_id=name)
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "timeout": archive.PROBE_SECONDS + 1}

    def work() -> None:
        archive.MAX_BYTES = 8 * MB
        client.POLL_SECONDS = 1
        for pk in Generation.objects.values_list("pk", flat=True):
            tasks.store(str(pk))

    grown = growth(work, tmp_path / "told")
    assert statuses() == dict.fromkeys(HARM, Status.STORING)
    assert [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()] == []
    print(f"grown {grown / MB:.1f} MB")
    assert grown < MOST_GROWTH, f"{grown / MB:.0f} MB"
