"""A real HTTP server that says what a test scripts, byte for byte: what no well-meant server would."""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass
class Scripted:
    """``answers`` are played in order, the last one for ever; ``requests`` holds what arrived, raw."""

    port: int
    scheme: str = "http"
    answers: list[Callable[[socket.socket], None]] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def bodies(self) -> list[dict]:
        """The JSON bodies of the requests that had one."""
        return [json.loads(raw.partition(b"\r\n\r\n")[2]) for raw in self.requests if raw.startswith(b"POST")]


def answer(status: int, body: object, **headers: str) -> Callable[[socket.socket], None]:
    """A well-formed answer; ``body`` is bytes as they are, or anything that JSON can say."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def play(line: socket.socket) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content)}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        line.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + content)

    return play


def reset(line: socket.socket) -> None:
    """Break the line without a word."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def drip(line: socket.socket) -> None:
    """A byte every 100 ms, for a minute at most."""
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n")
    stop = threading.Event()
    for _ in range(600):
        try:
            line.sendall(b" ")
        except OSError:
            return
        stop.wait(0.1)


def flood(line: socket.socket) -> None:
    """100 MB, or as much as anybody takes."""
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
    with contextlib.suppress(OSError):
        for _ in range(1600):
            line.sendall(b"x" * 65536)


def bomb(line: socket.socket) -> None:
    """A small answer that unpacks to 200 MB."""
    answer(200, _packed(), Content_Encoding="gzip")(line)


@functools.cache
def _packed() -> bytes:
    return gzip.compress(b" " * 200_000_000, 9)


def _read_request(line: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = line.recv(65536)
        if not part:
            return data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")), 0
    )
    while len(body) < length:
        part = line.recv(65536)
        if not part:
            break
        body += part
    return head + b"\r\n\r\n" + body


@contextlib.contextmanager
def serve(
    *answers: Callable[[socket.socket], None], seal: ssl.SSLContext | None = None
) -> Iterator[Scripted]:
    """A server on a free port for the length of the block; ``seal``: over TLS."""
    listener = socket.create_server(("127.0.0.1", 0))
    script = Scripted(listener.getsockname()[1], "https" if seal else "http", list(answers))

    def handle(line: socket.socket, play: Callable[[socket.socket], None]) -> None:
        with line, contextlib.suppress(OSError):
            line.settimeout(30)
            script.requests.append(_read_request(line))
            play(line)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = listener.accept()
                if seal:
                    line = seal.wrap_socket(line, server_side=True)
                play = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
                threading.Thread(target=handle, args=(line, play), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield script
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
