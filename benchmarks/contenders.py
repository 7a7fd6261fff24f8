"""Who is measured by ``benchmarks.api``: each in two processes, as its own documents run it in production."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kling_platform.supervisor import Child

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent
WORKERS = "2"
START_WITHIN = 180.0  # seconds; LiteLLM imports for half a minute on a busy machine
RATE = "1000000"  # calls a minute: the limits count, and are never met


class Rejected(Exception):
    """A rival that cannot be had here, and why."""


class Contender(NamedTuple):
    """A running server, and the requests that it gets: texts of HTTP, for ``benchmarks.load``."""

    name: str
    port: int
    status: list[str]
    create: list[str]
    children: Sequence[Child]

    def stop(self) -> None:
        for child in self.children:
            child.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def get(path: str, key: str) -> str:
    """A GET as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nAccept: */*\r\n\r\n"


def post(path: str, key: str, body: Mapping[str, object]) -> str:
    text = json.dumps(body)
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nAccept: */*\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}"
    )


def ours(environment: Mapping[str, str], log: Path) -> tuple[int, Child]:
    """The platform behind gunicorn, as README.md runs it; its port."""
    port = free_port()
    more = {
        "PORT": str(port),
        "WEB_CONCURRENCY": WORKERS,
        "API_CALLS_PER_MINUTE": RATE,
        "API_CREATES_PER_MINUTE": RATE,
    }
    command = [sys.executable, "-m", "gunicorn", "--chdir", ROOT, "kling_platform.wsgi"]
    return port, started("platform", command, environment | more, log, port, "/healthz")


def fastapi(environment: Mapping[str, str], log: Path) -> tuple[int, Child]:
    """The same statements behind FastAPI, in uvicorn with uvloop and httptools; its port."""
    port = free_port()
    command = [
        *(installed("fastapi") / "uvicorn", "app:app", "--app-dir", HERE / "fastapi", "--port", str(port)),
        *("--workers", WORKERS, "--no-access-log", "--timeout-worker-healthcheck", "120"),
    ]
    return port, started("fastapi", command, environment, log, port, "/openapi.json")


def litellm(log: Path) -> Contender:
    """LiteLLM's proxy without a database, before an upstream that answers at once."""
    programs, port, behind = installed("litellm"), free_port(), free_port()
    key = f"sk-{secrets.token_urlsafe(24)}"
    upstream = Child("upstream", [sys.executable, HERE / "litellm" / "upstream.py", str(behind)], log=log)
    upstream.start()
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"} | {
        "UPSTREAM": f"http://127.0.0.1:{behind}/v1",
        "RIVAL_KEY": key,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    command = [
        *(programs / "litellm", "--config", HERE / "litellm" / "config.yaml", "--host", "127.0.0.1"),
        *("--port", str(port), "--num_workers", WORKERS, "--timeout_worker_healthcheck", "120"),
    ]
    try:
        child = started("litellm", command, environment, log, port, "/health/liveliness")
    except Rejected:
        upstream.kill()
        raise
    create = post("/v1/videos", key, {"model": "sora-2", "prompt": "a cat in the snow"})
    made = asked(port, create)
    return Contender(
        "LiteLLM, no database", port, [get(f"/v1/videos/{made['id']}", key)], [create], (child, upstream)
    )


def started(
    name: str, command: Sequence[str | Path], environment: Mapping[str, str], log: Path, port: int, ready: str
) -> Child:
    """The server once it answers; ``Rejected`` with the end of its log when it does not."""
    child = Child(name, command, env=environment, log=log)
    child.start()
    ends = time.monotonic() + START_WITHIN
    while time.monotonic() < ends and child.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=5).close()
            return child
        except OSError:
            time.sleep(0.2)
    child.kill()
    raise Rejected(f"{name} does not start:\n{log.read_text(errors='replace')[-1500:]}")


def asked(port: int, request: str) -> dict:
    """The JSON that a request of ours is answered with; ``Rejected`` for anything but 200."""
    head, _, body = request.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    method, path, _version = first.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    whole = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", body.encode() or None, headers, method=method
    )
    try:
        with urllib.request.urlopen(whole, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise Rejected(f"{first}: {error.code} {error.read()[:500]!r}") from error


def installed(name: str) -> Path:
    """The programs of a rival, installed from its own lock file; ``Rejected`` where that cannot be done."""
    folder = HERE / name
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        [ROOT / ".tools/bin/uv", "sync", "-q", "--frozen", "--compile-bytecode", "--python", sys.executable],
        cwd=folder,
        env=environment | {"UV_PROJECT_ENVIRONMENT": ".venv"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        raise Rejected(f"{name} cannot be installed here: {done.stderr.strip()[-500:]}")
    return folder / ".venv" / "bin"
