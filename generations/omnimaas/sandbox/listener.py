"""The port of the sandbox: a bounded number of threads, and lines that can all be cut."""

from __future__ import annotations

import logging
import socket
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .gateway import Gateway

log = logging.getLogger(__name__)
_MOST_CONNECTIONS = 128


class Listener(ThreadingHTTPServer):
    """Threads by the connection, but never more than a fixed number; all lines are cut at the end."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], gateway: Gateway
    ) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.gateway = gateway
        self.closing = threading.Event()
        self._places = threading.Semaphore(_MOST_CONNECTIONS)
        self._lines: set[socket.socket] = set()
        super().__init__(address, handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer would ask the resolver for the host's name
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    @property
    def crowded(self) -> bool:
        """Whether idle lines should be given up for those who wait."""
        return len(self._lines) > _MOST_CONNECTIONS * 3 // 4

    def process_request(self, request: Any, client_address: Any) -> None:
        while not self._places.acquire(timeout=0.2):
            if self.closing.is_set():
                return self.shutdown_request(request)
        self._lines.add(request)
        return super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._lines.discard(request)
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not self.closing.is_set():
            log.exception("a request from %s was not answered", client_address)

    def cut_lines(self) -> None:
        """Wake every thread that waits for its client, and give it a moment to end."""
        for line in list(self._lines):
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                log.debug("a line was closed already")
        deadline = time.monotonic() + 1
        while self._lines and time.monotonic() < deadline:
            time.sleep(0.01)
