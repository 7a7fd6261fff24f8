"""Looks at the machine's processes, for tests that promise that none is left behind. Linux only."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path


def living(*, session: int | None = None, mark: str = "") -> dict[int, str]:
    """Processes (id: command line) of a session, or with ``mark`` in their environment. Zombies are dead."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _parent, _group, its_session = _stat(folder)
            environment = (folder / "environ").read_bytes() if mark else b""
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if state != "Z" and (its_session == session or (mark and mark.encode() in environment)):
            found[int(folder.name)] = command
    found.pop(os.getpid(), None)
    return found


def parent(pid: int) -> int:
    """The id of a process' parent."""
    return _stat(Path("/proc", str(pid)))[1]


def children(pid: int) -> list[int]:
    """The ids of a process' living children, oldest first."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if _stat(folder)[0] != "Z" and parent(int(folder.name)) == pid:
                found.append((_started(folder), int(folder.name)))
        except OSError:
            continue  # it ended meanwhile
    return [child for _since, child in sorted(found)]


def _started(folder: Path) -> int:
    """Clock ticks from the machine's start to the process'."""
    return int((folder / "stat").read_text().rsplit(")", 1)[1].split()[19])


def _stat(folder: Path) -> tuple[str, int, int, int]:
    fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
    return fields[0], int(fields[1]), int(fields[2]), int(fields[3])


def wait_until(condition: Callable[[], object], seconds: float) -> float:
    """How long it took until the condition held; fails the test when it did not in time."""
    start = time.monotonic()
    while not condition():
        taken = time.monotonic() - start
        assert taken < seconds, f"not within {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - start
