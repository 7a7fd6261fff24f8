"""What the sandbox remembers: a journal of every POST, from which the generations are read again after a restart.

The journal is the judge of who sent what how often, so a line is on the disk before its request is answered.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

from .pictures import Picture
from .wire import Order, Refusal

Json = dict[str, Any]


@dataclass
class Made:
    """A generation: what was ordered, when, how long it takes, and what has been told of it since."""

    id: str
    order: Order
    words: dict[str, str]
    created: float  # Unix seconds
    takes: float  # seconds from creation to success
    times: Counter[str] = field(
        default_factory=Counter
    )  # how often each word has acted; starts anew at a restart

    @property
    def ends(self) -> bool:
        """Whether it ends by itself."""
        return "stuck" not in self.words

    def running(self, now: float) -> bool:
        """Whether it counts against the limit of running ones."""
        return not self.ends or now < self.created + self.takes * (FAILS_AT if "fail" in self.words else 1)


FAILS_AT = 0.6  # share of the time after which a generation that fails does so


class InUse(RuntimeError):
    """Another sandbox works in this folder."""


class Store:
    """Folder with ``journal.jsonl``, ``pictures/`` and ``films/``; one sandbox at a time holds it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("pictures", "films"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._held = self._hold(directory / "lock")
        for left in directory.glob("*/*.part"):
            left.unlink()
        self.entries: list[Json] = []
        self.made: dict[str, Made] = {}
        self._tried: Counter[tuple[str, str]] = Counter()
        self._read()
        self._journal = (directory / "journal.jsonl").open("ab")

    @staticmethod
    def _hold(path: Path) -> int:
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise InUse(f"another sandbox works in {path.parent}") from None
        return handle

    def close(self) -> None:
        """Let go of the folder."""
        with self._lock:
            self._journal.close()
            os.close(self._held)

    def film(self, id: str) -> Path:
        """Where the film of a generation lies once it is made."""
        return self.directory / "films" / f"{id}.mp4"

    def journal(self) -> list[Json]:
        """Return every line of the journal, oldest first."""
        with self._lock:
            return list(self.entries)

    def refuse(self, entry: Json, outcome: str, status: int | None, detail: str = "") -> None:
        """Write down a POST that created nothing; ``status`` is None where the line was broken instead."""
        with self._lock:
            self._append(entry | {"outcome": outcome, "status": status, "id": None, "detail": detail})

    def create(
        self,
        entry: Json,
        order: Order,
        words: dict[str, str],
        *,
        takes: float,
        status: int | None,
        most: int | None,
    ) -> Made:
        """Write down a POST that created a generation. Raises :class:`Refusal` (1303) when ``most`` are running."""
        order = replace(order, pictures=tuple(self._kept(one) for one in order.pictures))
        with self._lock:
            now = time.time()
            if most is not None and sum(one.running(now) for one in self.made.values()) >= most:
                raise Refusal(429, 1303, "Too many tasks are running on this account.", "rate_limit_error")
            made = Made(f"task_{token_hex(16)}", order, words, now, takes)
            line = entry | {
                "outcome": "created",
                "status": status,
                "id": made.id,
                "created": now,
                "takes": takes,
            }
            self._append(line | {"words": words, "order": _written(order)})
            self.made[made.id] = made
        return made

    def again(self, entry: Json, word: str, value: str) -> bool:
        """Whether ``word`` still acts on this request: always, or the first ``value`` times for the same request.

        Requests are the same when they carry the same external_task_id or, without one, the same prompt.
        """
        with self._lock:
            return not value or self._tried[(_same(entry), word)] < float(value)

    def _append(self, line: Json) -> None:
        self._journal.write(json.dumps(line).encode() + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())
        self._remember(line)

    def _remember(self, line: Json) -> None:
        self.entries.append(line)
        if line.get("outcome") == "fault":
            self._tried[(_same(line), line["detail"])] += 1

    def _read(self) -> None:
        path = self.directory / "journal.jsonl"
        if path.exists():
            os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
        for line in read_journal(self.directory):
            self._remember(line)
            if line["outcome"] == "created":
                order = _read_order(line["order"])
                made = Made(line["id"], order, line["words"], line["created"], line["takes"])
                self.made[made.id] = made

    def _kept(self, picture: Picture) -> Picture:
        """Put the bytes of a picture into the folder, so that a film can still be made after a restart."""
        path = self.directory / "pictures" / picture.sha256
        if picture.data and not path.exists():
            part = path.with_suffix(f".{token_hex(4)}.part")
            part.write_bytes(picture.data)
            part.replace(path)
        return replace(picture, data=b"")

    def bytes_of(self, picture: Picture) -> bytes:
        """Return the bytes of a picture that came with its request."""
        return (self.directory / "pictures" / picture.sha256).read_bytes()


def read_journal(directory: Path) -> list[Json]:
    """Return the lines of a journal; a last line that a crash cut short was never answered and does not count."""
    path = directory / "journal.jsonl"
    whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
    return [json.loads(line) for line in whole.splitlines()]


def _written(order: Order) -> Json:
    pictures = [{"url": one.url, "sha256": one.sha256, "size": one.size} for one in order.pictures]
    return vars(order) | {"pictures": pictures}


def _read_order(written: Json) -> Order:
    return Order(**(written | {"pictures": tuple(Picture(**one) for one in written["pictures"])}))


def _same(entry: Json) -> str:
    return str(
        entry.get("external_task_id")
        or sha256(str(entry.get("prompt")).encode("utf-8", "replace")).hexdigest()
    )
