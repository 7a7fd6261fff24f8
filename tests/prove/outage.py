"""A line to upstream that can be cut: a proxy in front of the sandbox, and the passing of time for rows."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from django.db.models import F, QuerySet

from generations.models import OPEN, Generation, Lane, Upstream

HTML = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 11\r\nConnection: close\r\n\r\n<html>502 X"


class Proxy:
    """Passes everything on while ``down`` is False; then it resets, answers with a page, or says nothing."""

    def __init__(self, port: int, dice: random.Random) -> None:
        self.down, self.dice, self._target = False, dice, port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            line.settimeout(30)
            if self.down:
                line.recv(65536)
                if self.dice.random() < 0.5:
                    line.sendall(HTML)
                return
            with socket.create_connection(("127.0.0.1", self._target), timeout=30) as upstream:
                threading.Thread(target=_pump, args=(line, upstream), daemon=True).start()
                _pump(upstream, line)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def proxy(port: int, seed: int) -> Iterator[Proxy]:
    made = Proxy(port, random.Random(seed))
    try:
        yield made
    finally:
        made.close()


def pass_time(span: timedelta) -> None:
    """For all rows that the engine looks at, so much time has gone by; no clock is moved."""
    due = ("created_at", "submitted_at", "polled_at", "next_check_at", "give_up_at", "succeeded_upstream_at")
    circuit = ("open_since", "open_until", "cap_changed_at", "connect_failed_at", "poll_slot_at")
    _move(Generation.objects.filter(status__in=OPEN), due, span)
    _move(Upstream.objects.all(), circuit, span)
    _move(Lane.objects.all(), ("until",), span)


def _move(rows: QuerySet[Any], names: Iterable[str], span: timedelta) -> None:
    rows.update(**{name: F(name) - span for name in names})
