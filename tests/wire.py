"""A real server on a loopback port that says, byte for byte, what a test wants to hear."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

Answer = Callable[[socket.socket, bytes], None]
Start = Callable[..., "Wire"]


def reply(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    """A whole reply; ``content_length=""`` leaves the length out, and the end of the connection says it."""
    fields = {"content_length": str(len(body)), "connection": "close", **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items() if value]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body


def say(data: bytes) -> Answer:
    """Answer with these bytes."""
    return lambda conn, request: conn.sendall(data)


def drip(start: bytes, byte: bytes, every: float = 0.05, for_seconds: float = 20) -> Answer:
    """Answer with `start`, then with one byte again and again: never silent, never done."""

    def answer(conn: socket.socket, request: bytes) -> None:
        conn.sendall(start)
        end = time.monotonic() + for_seconds
        while time.monotonic() < end:
            conn.sendall(byte)
            time.sleep(every)

    return answer


def hang(conn: socket.socket, request: bytes) -> None:
    """Answer nothing, and read nothing more."""
    time.sleep(20)


class Wire:
    """Answers by path; ``requests`` holds what came in, ``names`` what TLS clients asked for (SNI)."""

    def __init__(self, answers: dict[str, Answer], tls: ssl.SSLContext | None = None) -> None:
        self.answers, self.tls = answers, tls
        self.requests: list[bytes] = []
        self.names: list[str | None] = []
        if tls:
            tls.sni_callback = lambda sock, name, context: self.names.append(name)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.authority = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str = "/") -> str:
        return f"http://{self.authority}{path}"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, conn: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:
            stack.callback(conn.close)
            conn.settimeout(20)
            if self.tls:
                conn = stack.enter_context(self.tls.wrap_socket(conn, server_side=True))
            request = b""
            while b"\r\n\r\n" not in request:
                if not (more := conn.recv(65536)):
                    return
                request += more
            head, _, body = request.partition(b"\r\n\r\n")
            length = re.search(rb"(?im)^content-length: *(\d+)", head)
            while length and len(body) < int(length[1]) < 1_000_000:  # a larger one is the answer's to read
                body += conn.recv(65536)
            request = head + b"\r\n\r\n" + body
            self.requests.append(request)
            path = request.split(b" ", 2)[1].decode().partition("?")[0]
            self.answers.get(path, say(reply(b"no such page", "404 Not Found")))(conn, request)


@contextlib.contextmanager
def wire(answers: dict[str, Answer], tls: ssl.SSLContext | None = None) -> Iterator[Wire]:
    server = Wire(answers, tls)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def vouched(settings: Any) -> Iterator[Start]:
    """Starts servers that EGRESS_ALLOW names (as 127.0.0.1, or as ``name``), and nobody else."""
    settings.EGRESS_ALLOW = frozenset()
    with contextlib.ExitStack() as stack:

        def start(
            answers: dict[str, Answer], tls: ssl.SSLContext | None = None, name: str = "127.0.0.1"
        ) -> Wire:
            server = stack.enter_context(wire(answers, tls))
            settings.EGRESS_ALLOW = settings.EGRESS_ALLOW | {f"{name}:{server.port}"}
            return server

        yield start
