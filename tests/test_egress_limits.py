"""How long, how much and what the guarded session takes from a server, and that it says what went wrong."""

from __future__ import annotations

import hashlib
import io
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from kling_platform import egress
from tests.wire import Answer, Start, drip, hang, reply, say, vouched


@pytest.fixture
def reach(settings) -> Iterator[Start]:
    """Start a server that the operator vouches for."""
    with vouched(settings) as start:
        yield start


def fetch(url: str, *, seconds: float = 5, limit: int = 10_000_000, **options: object) -> bytes:
    sink = io.BytesIO()
    fetched = egress.fetch(url, sink=sink, max_bytes=limit, deadline_seconds=seconds, **options)
    assert fetched.bytes == len(sink.getvalue())
    assert fetched.sha256 == hashlib.sha256(sink.getvalue()).hexdigest()
    return sink.getvalue()


# --- size, time, type ---------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        say(reply(b"x" * 2000)),
        say(reply(b"x" * 2000, content_length="")),
        say(
            reply(b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n", content_length="", transfer_encoding="chunked")
        ),
        say(reply(b"", content_length="9" * 40)),
        drip(reply(b"", content_length=""), b"x" * 100, every=0.001),
    ],
    ids=["announced", "unannounced", "chunked", "absurd", "endless"],
)
def test_a_body_over_the_limit_is_refused(answer: Answer, reach: Start) -> None:
    server = reach({"/": answer})
    sink = io.BytesIO()
    with pytest.raises(egress.TooLarge):
        egress.fetch(server.url(), sink=sink, max_bytes=1999, deadline_seconds=5)
    assert len(sink.getvalue()) <= 1999


def test_a_body_at_the_limit_is_whole(reach: Start) -> None:
    chunked = reply(
        b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n", content_length="", transfer_encoding="chunked"
    )
    server = reach({"/": say(reply(b"x" * 2000)), "/chunked": say(chunked)})
    assert fetch(server.url(), limit=2000) == fetch(server.url("/chunked"), limit=2000) == b"x" * 2000


@pytest.mark.parametrize(
    "answer",
    [
        hang,
        drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        drip(reply(b"", content_length="1000000"), b"x"),
        drip(reply(b"", content_length=""), b"x"),
        drip(reply(b"", content_length="", transfer_encoding="chunked"), b"1\r\nx\r\n"),
        drip(reply(b"", content_length="", transfer_encoding="chunked"), b"1"),
    ],
    ids=["silent", "header", "continue", "body", "unannounced", "chunks", "chunk-size"],
)
def test_the_deadline_holds_however_slowly_bytes_come(answer: Answer, reach: Start) -> None:
    server = reach({"/": answer})
    begin = time.monotonic()
    with pytest.raises((egress.TimedOut, egress.Broken)) as met:
        fetch(server.url(), seconds=0.6)
    assert time.monotonic() - begin < 5
    assert met.type is egress.TimedOut or "chunk" in str(met.value).lower() or "Length" in str(met.value)


def test_the_deadline_holds_during_the_handshake(settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # accepts in the kernel, and never says a word
        authority = f"127.0.0.1:{mute.getsockname()[1]}"
        settings.EGRESS_ALLOW = frozenset({authority})
        begin = time.monotonic()
        with pytest.raises(egress.TimedOut):
            fetch(f"https://{authority}/", seconds=0.6)
        assert time.monotonic() - begin < 5


def test_the_deadline_holds_for_a_mute_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: gone.wait(10) and [])
    begin = time.monotonic()
    with pytest.raises(egress.TimedOut, match="name server"):
        fetch("https://example.com/", seconds=0.4)
    gone.set()
    assert time.monotonic() - begin < 5


def test_the_deadline_holds_over_redirects(reach: Start) -> None:
    def slow(conn: socket.socket, request: bytes) -> None:
        time.sleep(0.4)
        conn.sendall(reply(b"", "302 Found", location="/"))

    begin = time.monotonic()
    with pytest.raises(egress.TimedOut):
        fetch(reach({"/": slow}).url(), seconds=0.6, max_redirects=9)
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    "data",
    [
        reply(b"x" * 500, content_length="1000"),
        reply(b"3e8\r\n" + b"x" * 500, content_length="", transfer_encoding="chunked"),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
    ],
    ids=["short", "short-chunk", "no-http", "nothing"],
)
def test_a_broken_reply_is_no_success(data: bytes, reach: Start) -> None:
    with pytest.raises(egress.Broken):
        fetch(reach({"/": say(data)}).url())


@pytest.mark.parametrize(
    "status", ["204 No Content", "206 Partial Content", "304 Not Modified", "404 Not Found", "503 Busy"]
)
def test_any_status_but_200_is_said(status: str, reach: Start) -> None:
    server = reach({"/": say(reply(b"page", status, retry_after="7"))})
    with pytest.raises(egress.HttpStatus) as met:
        fetch(server.url())
    assert (met.value.status, met.value.headers["Retry-After"]) == (int(status[:3]), "7")


def test_only_the_asked_types_are_read(reach: Start) -> None:
    server = reach(
        {
            "/page": say(reply(b"<html>", content_type="text/html; charset=utf-8")),
            "/film": say(reply(b"film", content_type="Video/MP4")),
            "/bare": say(reply(b"film")),
        }
    )
    with pytest.raises(egress.WrongType, match="text/html"):
        fetch(server.url("/page"), content_types=("video/",))
    for path in ("/film", "/bare"):
        assert fetch(server.url(path), content_types=("video/",)) == b"film"


def test_nothing_is_unpacked_on_the_way(reach: Start) -> None:
    packed = b"\x1f\x8b\x08\x00bomb"
    server = reach({"/": say(reply(packed, content_encoding="gzip"))})
    assert fetch(server.url()) == packed
    assert b"Accept-Encoding: identity\r\n" in server.requests[0]


def test_a_sink_that_fails_is_not_blamed_on_the_network(reach: Start) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        egress.fetch(reach({"/": say(reply(b"x"))}).url(), sink=Full(), max_bytes=10, deadline_seconds=5)


def test_the_environment_names_no_proxy_and_no_password(
    reach: Start, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    server = reach({"/": say(reply(b"direct"))})
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login root password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetch(server.url()) == b"direct"
    assert b"Authorization" not in server.requests[0]


# --- a POST, as webhooks need it -----------------------------------------------------


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_a_post_is_sent_once_and_follows_nothing(status: str, reach: Start) -> None:
    server = reach({"/": say(reply(b"", status, location="/other")), "/other": say(reply(b"caught"))})
    with egress.exchange(
        "POST", server.url(), deadline=time.monotonic() + 5, headers={"webhook-id": "m1"}, body=b'{"a":1}'
    ) as answer:
        assert answer.status == int(status[:3])
    assert len(server.requests) == 1
    assert server.requests[0].endswith(b'\r\n\r\n{"a":1}') and b"webhook-id: m1\r\n" in server.requests[0]


def test_the_deadline_holds_while_a_large_body_is_sent(reach: Start) -> None:
    server = reach({"/": hang})
    begin = time.monotonic()
    with (
        pytest.raises(egress.TimedOut),
        egress.exchange("POST", server.url(), deadline=time.monotonic() + 0.6, body=b"x" * 30_000_000),
    ):
        pass
    assert time.monotonic() - begin < 5
