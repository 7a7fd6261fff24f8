"""One HTTP/1.1 request of the sandbox: routes, and the answers put on the line."""

from __future__ import annotations

import json
import logging
import re
import socket
import time
from http.server import BaseHTTPRequestHandler
from secrets import token_hex
from typing import Any
from urllib.parse import parse_qs, urlsplit

from . import wire
from .answers import Reply, answer, failure
from .files import Sending
from .listener import Listener
from .wire import Refusal

log = logging.getLogger(__name__)
GENERATIONS = "/v1/video/generations"
MOST_BODY = 64 * 1024 * 1024
_DRAIN_SECONDS = 2.0
_FILM = re.compile(r"/files/(\w{1,191})\.mp4")
_ONE = re.compile(rf"{GENERATIONS}/([^/]{{1,191}})")
_HOST = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")


class Handler(BaseHTTPRequestHandler):
    """Routes a request to the gateway and puts the answer on the line, whole or broken."""

    server: Listener
    protocol_version = "HTTP/1.1"
    timeout = 15  # seconds that a line may stand idle
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024

    def handle_one_request(self) -> None:
        self._request_id = f"{time.strftime('%Y%m%d%H%M%S')}{token_hex(8)}"
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def version_string(self) -> str:
        return "sandbox"

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)

    def do_GET(self) -> None:
        self._route()

    do_HEAD = do_POST = do_DELETE = do_GET

    def _route(self) -> None:
        url = urlsplit(self.path)
        body = self._body(url.path)
        if body is None:
            return
        method = "GET" if self.command == "HEAD" else self.command
        try:
            reply = self._answer(method, url.path, parse_qs(url.query), body)
        except Refusal as refusal:
            reply = failure(refusal)
        self._send_film(reply) if isinstance(reply, Sending) else self._send(reply)

    def _answer(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> Reply | Sending:
        gateway, key = self.server.gateway, self.headers.get("Authorization", "")
        if method == "POST" and path == GENERATIONS:
            return gateway.submit(key, self.headers.get("Content-Type", ""), body, self._request_id)
        if method == "GET" and (film := _FILM.fullmatch(path)):
            return gateway.film(film[1], query, self.headers.get("Range", ""))
        if method == "GET" and (one := _ONE.fullmatch(path)):
            gateway.authorize(key)
            return gateway.poll(one[1], self._base)
        if path in ("/_journal", "/_polls", "/_faults"):
            gateway.authorize(key)
            return self._operate(method, path, body)
        if method == "GET" and path == "/":
            return Reply(200, b"The sandbox is open.\n", "text/plain; charset=utf-8")
        raise Refusal(404, "not_found", f"Invalid URL ({self.command} {path[:200]})")

    def _operate(self, method: str, path: str, body: bytes) -> Reply:
        faults = self.server.gateway.faults
        if (method, path) == ("GET", "/_journal"):
            return answer(self.server.gateway.store.journal())
        if (method, path) == ("GET", "/_polls"):
            return answer([{"at": at, "id": id} for at, id in list(self.server.gateway.polls)])
        if (method, path) == ("POST", "/_faults"):
            try:
                faults.add(json.loads(body))
            except (ValueError, RecursionError):
                wire.refuse("The body is not valid JSON.")
        elif (method, path) == ("DELETE", "/_faults"):
            faults.clear()
        elif method != "GET":
            raise Refusal(405, "method_not_allowed", f"{method} is not for this address.")
        return answer(faults.left())

    def _body(self, path: str) -> bytes | None:
        """Read the body, or answer why not and return None."""
        length = self.headers.get("Content-Length", "" if self.command == "POST" else "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch(r"\d{1,12}", length):
            problem = Refusal(411, "length_required", "The request needs a Content-Length.")
        elif int(length) > MOST_BODY:
            problem = Refusal(413, "body_too_large", "The body is larger than 64 MB.")
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                return body
            self.close_connection = True  # the client went away in the middle; it sent nothing that counts
            return None
        self.close_connection = True
        posting = self.command == "POST" and path == GENERATIONS
        gateway = self.server.gateway
        self._send(gateway.refuse(problem, self._request_id) if posting else failure(problem))
        self._drain()
        return None

    def _drain(self) -> None:
        """Read on for a moment: closing with unread bytes resets the line, and the answer would be lost."""
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + _DRAIN_SECONDS
        self.connection.settimeout(0.2)
        try:
            while time.monotonic() < deadline and self.connection.recv(1 << 20):
                pass
        except OSError:
            log.debug("the client has stopped sending")

    @property
    def _base(self) -> str:
        """Where this client reached the sandbox: its links must lead there too."""
        host = self.headers.get("Host", "")
        if not _HOST.fullmatch(host):
            host = "{}:{}".format(*self.connection.getsockname()[:2])
        return f"http://{host}"

    def _send(self, reply: Reply) -> None:
        if reply.manner == "break":
            return self._break()
        if reply.manner == "late" and self.server.closing.wait(reply.seconds):
            return self._break()
        headers = {
            "Content-Type": reply.content_type,
            "Content-Length": str(len(reply.body)),
            **reply.headers,
        }
        self._head(reply.status, headers)
        if self.command != "HEAD":
            self._write_slowly(reply) if reply.manner == "drip" else self.wfile.write(reply.body)
        return self.wfile.flush()

    def _write_slowly(self, reply: Reply) -> None:
        for number in range(len(reply.body)):
            self.wfile.write(reply.body[number : number + 1])
            self.wfile.flush()
            if self.server.closing.wait(reply.seconds / len(reply.body)):
                return self._break()
        return None

    def _send_film(self, film: Sending) -> None:
        self._head(206 if film.partial else 200, {"Content-Type": "video/mp4", **film.headers})
        if self.command == "HEAD":
            return None
        for piece in film.pieces():
            self.wfile.write(piece)
            if film.seconds:
                self.wfile.flush()
        return self._break() if film.breaks_at is not None else None

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("X-Oneapi-Request-Id", self._request_id)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection or self.server.crowded:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()

    def _break(self) -> None:
        """Close the line as it is."""
        self.close_connection = True
        try:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            log.debug("the line was closed already")
