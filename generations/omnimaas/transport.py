"""Requests to upstream, each bounded as a whole: size of the answer, and seconds of everything together.

``requests``' own timeout bounds single reads, so a slow drip or a slow upload goes on for ever (measured:
``timeout=1`` was still blocked after 15 s). Here the socket is shut at the deadline. Nothing is repeated,
redirected or read from the environment. ``exchange`` takes a fresh line, so that a POST leaves at most once;
``Lines`` keeps its lines, for the many questions of the poll loop.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
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
    headers: Mapping[str, str]
    body: bytes


class NeverSent(Exception):
    """Not a byte of the request was written: DNS, connect or TLS failed, or it was too late."""


class Late(NeverSent):
    """Nothing was written, because the time for it had gone by."""


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
                _shut(sock)

    def expire(self) -> None:
        with self._lock:
            self.expired = True
            _shut(self.sock)


def _shut(sock: socket.socket | None) -> None:
    """End whatever waits on a socket, in whichever thread. What has come already can still be read.

    Past TLS, whose own ``shutdown`` would forget how to read it.
    """
    if sock is not None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


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
    """Send one request and read one answer within ``seconds``. Raises ``NeverSent``, ``Broken`` or ``TooLong``.

    An answer that has come is read, however late: the machine may have stood still since. So single reads have no
    timeout of their own, only the end of the line.
    """
    line = _Line()
    timer = threading.Timer(seconds, line.expire)
    timer.daemon = True
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
                timeout=(min(CONNECT_SECONDS, seconds), None),
            ) as response:
                body = _read(response)
                if line.expired and not _says_where_it_ends(response):
                    raise OSError("cut off")
                return Reply(response.status_code, response.headers, body)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        if not line.connected:
            raise NeverSent(type(error).__name__) from error
        raise Broken("deadline" if line.expired else type(error).__name__) from error
    finally:
        timer.cancel()


def _says_where_it_ends(response: requests.Response) -> bool:
    return "Content-Length" in response.headers or "Transfer-Encoding" in response.headers


def _read(response: requests.Response) -> bytes:
    """The body, decoded piece by piece, so that a gzip bomb stops at the cap."""
    parts, size = [], 0
    for part in response.iter_content(16 * 1024):
        size += len(part)
        if size > MAX_REPLY_BYTES:
            raise TooLong
        parts.append(part)
    return b"".join(parts)


WATCH_SECONDS = 0.25
_TROUBLE = (http.client.HTTPException, urllib3.exceptions.HTTPError, OSError, ValueError)


class Lines:
    """Kept lines to one upstream, for questions alone: a new line costs more than the question.

    Any number of threads may ask; a watcher shuts every line that is over its deadline.
    """

    def __init__(self, base_url: str) -> None:
        where = urllib3.util.parse_url(base_url)
        self._origin = base_url.removesuffix(where.path or "")
        self._make: Callable[[], HTTPConnection] = partial(HTTPConnection, where.host or "", where.port)
        if where.scheme == "https":
            trust = ssl.create_default_context(cafile=requests.utils.DEFAULT_CA_BUNDLE_PATH)
            self._make = partial(HTTPSConnection, where.host or "", where.port, ssl_context=trust)
        self._idle: list[HTTPConnection] = []  # the last one used is the next: the others may go cold
        self._busy: dict[HTTPConnection, float] = {}  # until when, in monotonic seconds
        self._lock = threading.Lock()
        self._gate = threading.Lock()
        self._closed = threading.Event()

    def __enter__(self) -> Lines:
        threading.Thread(target=self._watch, daemon=True, name="lines").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        while self._idle:
            self._idle.pop().close()

    def get(self, url: str, *, headers: dict[str, str], seconds: float, send_by: float = math.inf) -> Reply:
        """One GET within ``seconds``; not sent at all when it can't be before ``send_by`` (monotonic).

        Raises ``NeverSent`` (``Late`` for that), ``Broken`` or ``TooLong``.
        """
        with self._taken(seconds) as line:
            _connect(line)
            if self._send(line, url.removeprefix(self._origin), headers, send_by):
                return _answer(line)
        raise Late("late")

    def _send(self, line: HTTPConnection, path: str, headers: dict[str, str], send_by: float) -> bool:
        """False where it is too late. One at a time: threads that wait for a busy processor between the look at
        the clock and the sending would all send at once afterwards."""
        with self._gate:
            if time.monotonic() > send_by:
                return False
            try:
                line.request("GET", path, headers=headers, preload_content=False)
            except _TROUBLE as error:
                raise Broken(type(error).__name__) from error
            return True

    @contextlib.contextmanager
    def _taken(self, seconds: float) -> Iterator[HTTPConnection]:
        """A line of the caller's own; it is kept afterwards, unless something went wrong."""
        with self._lock:
            line = self._idle.pop() if self._idle else self._make()
            self._busy[line] = time.monotonic() + seconds
        line.timeout = seconds
        try:
            yield line
        except BaseException:
            line.close()
            raise
        finally:
            with self._lock:
                del self._busy[line]
                self._idle.append(line)

    def _watch(self) -> None:
        while not self._closed.wait(WATCH_SECONDS):
            now = time.monotonic()
            with self._lock:
                for line, ends in self._busy.items():
                    if now > ends:
                        _shut(line.sock)


def _connect(line: HTTPConnection) -> None:
    """Make sure that there is a line, and that it is quiet: what came unasked would be taken for an answer."""
    if not line.is_connected:
        line.close()
        try:
            line.connect()
        except _TROUBLE as error:
            raise NeverSent(type(error).__name__) from error


def _answer(line: HTTPConnection) -> Reply:
    try:
        response = line.getresponse()
        body = response.read(MAX_REPLY_BYTES + 1)
    except _TROUBLE as error:
        raise Broken(type(error).__name__) from error
    if len(body) > MAX_REPLY_BYTES:
        raise TooLong
    return Reply(response.status, response.headers, body)
