"""The sandbox as one thing to start and stop: a folder and a port."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from .gateway import SCALE, Gateway, Settings
from .handler import Handler
from .listener import Listener
from .store import Store, read_journal
from .studio import Studio


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
        scale: float = SCALE,
    ) -> None:
        self.directory, self.key, self.host, self.port = Path(directory), key, host, port
        self.settings = Settings(key, speed, seconds, max_running, scale)
        self._server: Listener | None = None

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
            self._server = Listener((self.host, self.port), Handler, Gateway(store, studio, self.settings))
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

    def polls(self) -> list[tuple[float, str]]:
        """When which id was asked about since the start (Unix seconds, id), the last hundred thousand."""
        return list(self.gateway.polls)

    def misbehave(self, word: str, value: str = "", times: int = 1) -> None:
        """Let the next ``times`` requests of the word's stage misbehave (see ``words``)."""
        self.gateway.faults.add({"word": word, "value": value, "times": times})
