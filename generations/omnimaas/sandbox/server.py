"""The sandbox as a server: a folder, a port, and a bounded number of threads."""

from __future__ import annotations

import logging
import socket
import socketserver
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .gateway import Gateway, Settings
from .handler import Handler
from .store import Store, read_journal
from .studio import Studio

log = logging.getLogger(__name__)
_MOST_CONNECTIONS = 128


class Server(ThreadingHTTPServer):
    """Threads by the connection, but never more than a fixed number; all lines are cut at the end."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], gateway: Gateway) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.gateway = gateway
        self.closing = threading.Event()
        self._places = threading.Semaphore(_MOST_CONNECTIONS)
        self._lines: set[socket.socket] = set()
        super().__init__(address, Handler)

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


class SandboxServer:
    """A sandbox that runs in threads of this process: for the command, and for tests.

    ``directory`` keeps everything; ``port`` 0 takes a free one and keeps it over ``stop`` and ``start``;
    ``speed`` 2 halves the ``seconds`` that a generation takes; ``scale`` shrinks the films, and what they cost.

        with SandboxServer(tmp_path, speed=20, scale=0.25) as sandbox:
            requests.post(f"{sandbox.url}/v1/video/generations", ...)
            assert len(sandbox.journal()) == 1
    """

    def __init__(
        self,
        directory: Path | str,
        key: str = "sandbox-key",
        speed: float = 1.0,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        seconds: float = 7.0,
        max_running: int | None = None,
        scale: float = 1.0,
    ) -> None:
        self.directory, self.key, self.host, self.port = Path(directory), key, host, port
        self.settings = Settings(key, speed, seconds, max_running, scale)
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """The base URL, without ``/v1``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def start(self) -> SandboxServer:
        """Open the folder and the port. Raises ``InUse`` or ``OSError`` when one of them is taken."""
        store = Store(self.directory)
        studio = Studio(store, self.settings.scale)
        try:
            self._server = Server((self.host, self.port), Gateway(store, studio, self.settings))
        except BaseException:
            studio.close()
            store.close()
            raise
        self.port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True, name="sandbox-server"
        ).start()
        return self

    def stop(self) -> None:
        """Close the port, every line and the folder; films in the making are made at the next start."""
        server, self._server = self._server, None
        if server is None:
            return
        server.closing.set()
        server.shutdown()
        server.server_close()
        server.cut_lines()
        server.gateway.studio.close()
        server.gateway.store.close()

    def __enter__(self) -> SandboxServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def gateway(self) -> Gateway:
        """What answers, while it runs."""
        if self._server is None:
            raise RuntimeError("the sandbox is not running")
        return self._server.gateway

    def journal(self) -> list[dict[str, Any]]:
        """Every POST so far, oldest first; also while stopped."""
        if self._server is not None:
            return self.gateway.store.journal()
        return read_journal(self.directory)

    def misbehave(self, word: str, value: str = "", times: int = 1) -> None:
        """Let the next ``times`` requests of the word's stage misbehave (see ``words``)."""
        self.gateway.faults.add({"word": word, "value": value, "times": times})
