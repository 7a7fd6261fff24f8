"""``make bench``: how long things take on this machine, measured on a fresh clone that runs like a stranger's.

Milliseconds are reported, never required: trust the ratios and the counts. Everything stays on loopback.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import requests

ROOT = Path(__file__).parent.parent
ROUNDS = 10
START_WITHIN = 300.0  # seconds


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Platform:
    """``make run`` in a folder, until the block ends; ``seconds`` is what it took to be ready."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder.parent / "run.log"
        self.seconds = 0.0

    def __enter__(self) -> Platform:
        begun = time.monotonic()
        ours = {"VAR_DIR", "DATABASE_URL", "SECRET_KEY", "OMNIMAAS_API_KEY", "OMNIMAAS_BASE_URL", "MAKEFLAGS"}
        environment = {name: value for name, value in os.environ.items() if name not in ours}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["make", "run", f"PORT={self.port}"],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while "The platform runs." not in (text := self.log.read_text()):
            if self.process.poll() is not None or time.monotonic() - begun > START_WITHIN:
                raise RuntimeError(f"make run did not start:\n{text[-2000:]}")
            time.sleep(0.05)
        self.seconds = time.monotonic() - begun
        key = re.search(r"API key\s+(\S+)", text)
        assert key, text
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {key[1]}"
        return self

    def __exit__(self, *error: object) -> None:
        # As a Ctrl-C at the terminal does: to everybody in the foreground.
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(30)

    def create(self, prompt: str) -> str:
        """Id of a new generation of the cheapest model."""
        body = {"model": "kling-v2-5-turbo-std", "prompt": prompt}
        answer = self.session.post(f"{self.url}/v1/video/generations", json=body, timeout=30)
        answer.raise_for_status()
        return str(answer.json()["id"])

    def wait(self, generation_id: str, seconds: float = 120) -> dict:
        """The generation once it is over."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            answer = self.session.get(f"{self.url}/v1/video/generations/{generation_id}", timeout=30).json()
            if answer["status"] != "processing":
                return answer
            time.sleep(0.25)
        raise RuntimeError(f"{generation_id} is not over after {seconds:.0f} s")

    def rows(self, query: str, *values: object) -> list[tuple]:
        """What the embedded database says, read beside the running platform."""
        path = self.folder / "var" / "db.sqlite3"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute(query, values).fetchall()

    def journal(self) -> dict[str, dict]:
        """The sandbox's own journal of every POST, by our generation's id."""
        found = {}
        for path in (self.folder / "var" / "sandbox").glob("*.jsonl"):
            for line in path.read_text().splitlines():
                entry = json.loads(line)
                if entry.get("external_task_id"):
                    found[entry["external_task_id"]] = entry
        return found


def unix(text: str) -> float:
    """Seconds since 1970 of a time as SQLite keeps it."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def summary(name: str, seconds: list[float], aim: str) -> str:
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return (
        f"| {name} | {statistics.median(ordered) * 1000:.0f} ms | {p95 * 1000:.0f} ms "
        f"| {ordered[-1] * 1000:.0f} ms | {len(ordered)} | {aim} |"
    )


@contextlib.contextmanager
def fresh_clone() -> Iterator[Path]:
    """The committed state of this checkout in an empty folder."""
    with tempfile.TemporaryDirectory(prefix="kling-bench-") as folder:
        clone = Path(folder, "clone")
        subprocess.run(["git", "clone", "-q", "--no-hardlinks", ROOT, clone], check=True)
        yield clone


def main() -> None:
    """Print the table."""
    with fresh_clone() as clone:
        say("==> A fresh clone, started for the first time")
        with Platform(clone) as platform:
            first = platform.seconds
        say("==> The same, started again; one video after the other")
        with Platform(clone) as platform:
            second = platform.seconds
            submits, stores = measure(platform)
    say("")
    say(f"| fresh clone → ready, packages in the cache | {first:.1f} s | aim 60 s |")
    say(f"| second start → ready | {second:.1f} s | aim 10 s |")
    say("")
    say("| | p50 | p95 | worst | n | aim |")
    say("|---|---|---|---|---|---|")
    say(summary("created → POST at upstream, idle worker", submits, "p95 under 1 s"))
    say(summary("upstream's success → stored", stores, "last planned gap (5 s) + 3 s"))


def measure(platform: Platform) -> tuple[list[float], list[float]]:
    """Seconds from our row to upstream's journal, and from upstream's end to the file in our storage."""
    for number in range(ROUNDS):
        # One at a time: the sandbox renders films one after the other, and that is not ours to measure.
        answer = platform.wait(platform.create(f"bench {number}"))
        assert answer["status"] == "succeeded", answer
    journal = platform.journal()
    rows = platform.rows(
        "SELECT g.id, g.created_at, v.stored_at FROM generations_generation g "
        "JOIN generations_video v ON v.generation_id = g.id"
    )
    submits, stores = [], []
    for row_id, created, stored in rows:
        dashed = f"{row_id[:8]}-{row_id[8:12]}-{row_id[12:16]}-{row_id[16:20]}-{row_id[20:]}"
        entry = journal[dashed]
        submits.append(entry["created"] - unix(created))
        stores.append(unix(stored) - entry["created"] - entry["takes"])
    assert len(submits) == ROUNDS
    return submits, stores


if __name__ == "__main__":
    main()
