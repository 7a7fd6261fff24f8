"""The real web server on the database of the running test, and many who post to it at once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.surroundings import database_url

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def gunicorn(processes: int = 2, **changed: str) -> Iterator[str]:
    """Its address. As in production, but for the port; ``changed`` are variables of its environment."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "gunicorn",
                "kling_platform.wsgi",
                f"--workers={processes}",
                f"--bind=fd://{listener.fileno()}",
                "--log-level=warning",
            ],
            cwd=ROOT,
            # Races are about money and identity, not about how fast one key may ask.
            env={**os.environ, "DATABASE_URL": database_url(), "API_CREATES_PER_MINUTE": "0", **changed},
            pass_fds=[listener.fileno()],
        )
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: nobody waits for an answer any more
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def posts(url: str, key: str, body: dict[str, Any], *, many: int, threads: int) -> Counter[int]:
    """How often each status was answered to the same POST."""

    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def post(_number: int) -> int:
        request = urllib.request.Request(
            url,
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        try:
            with direct.open(request, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refusal:
            return refusal.code

    with ThreadPoolExecutor(threads) as pool:
        return Counter(pool.map(post, range(many)))
