"""One request to upstream, bounded as a whole: size of the answer, and seconds of everything together.

``requests``' own timeout bounds single reads, so a slow drip or a slow upload goes on for ever (measured:
``timeout=1`` was still blocked after 15 s). Here a timer shuts the socket at the deadline. Nothing is
repeated, redirected, taken from a pool, or read from the environment: a POST leaves at most once.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

CONNECT_SECONDS = 10
MAX_REPLY_BYTES = 1024 * 1024


class TooLong(Exception):
    """The answer was larger than ``MAX_REPLY_BYTES``."""


@dataclass(frozen=True)
class Reply:
    """Status, headers and the whole bounded body of an answer."""

    status: int
    headers: requests.structures.CaseInsensitiveDict[str]
    body: bytes


class NeverSent(Exception):
    """DNS, connect or TLS failed before a byte of the request was written."""


class Broken(Exception):
    """The line broke, or the deadline came, after the request may have been written."""


class _Line:
    """The socket of one request, and whether bytes of the request may have left."""

    def __init__(self) -> None:
        self.sock: socket.socket | None = None
        self.connected = False
        self.expired = False
        self._lock = threading.Lock()

    def opened(self, sock: socket.socket) -> None:
        with self._lock:
            self.sock, self.connected = sock, True
            if self.expired:
                self._shut()

    def expire(self) -> None:
        with self._lock:
            self.expired = True
            self._shut()

    def _shut(self) -> None:
        if self.sock is not None:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)


def _watched(base: type, line: _Line) -> type:
    class Watched(base):
        def connect(self) -> None:
            super().connect()
            # After TLS is done, and before the request line: from here on we can't know.
            line.opened(self.sock)

    return Watched


class _Adapter(HTTPAdapter):
    """An adapter of one request: a fresh connection that ``line`` can shut, and no retries."""

    def __init__(self, line: _Line) -> None:
        self.line = line
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=urllib3.Retry(0, read=False))

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        http = type(
            "Pool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": _watched(HTTPConnection, self.line)}
        )
        https = type(
            "TLSPool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": _watched(HTTPSConnection, self.line)}
        )
        self.poolmanager.pool_classes_by_scheme = {"http": http, "https": https}


def exchange(
    method: str, url: str, *, headers: dict[str, str], body: bytes | None = None, seconds: float
) -> Reply:
    """Send one request and read one answer within ``seconds``. Raises ``NeverSent``, ``Broken`` or ``TooLong``."""
    line = _Line()
    timer = threading.Timer(seconds, line.expire)
    timer.daemon = True
    ends = time.monotonic() + seconds
    timer.start()
    try:
        with requests.Session() as session:
            session.trust_env = False
            session.mount(url.partition("://")[0] + "://", _Adapter(line))
            with session.request(
                method,
                url,
                data=body,
                headers=headers,
                allow_redirects=False,
                stream=True,
                timeout=(min(CONNECT_SECONDS, seconds), seconds),
            ) as response:
                return Reply(response.status_code, response.headers, _read(response, ends))
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        if not line.connected:
            raise NeverSent(type(error).__name__) from error
        raise Broken("deadline" if line.expired else type(error).__name__) from error
    finally:
        timer.cancel()


def _read(response: requests.Response, ends: float) -> bytes:
    """The body, decoded piece by piece, so that a gzip bomb stops at the cap."""
    parts, size = [], 0
    for part in response.iter_content(16 * 1024):
        size += len(part)
        if size > MAX_REPLY_BYTES:
            raise TooLong
        if time.monotonic() > ends:
            raise OSError("deadline")
        parts.append(part)
    return b"".join(parts)
