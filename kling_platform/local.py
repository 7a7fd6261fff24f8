"""What a platform on one machine claims and keeps: private files, ports, a folder, the terminal."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError


class State:
    """What the first start made up, as one JSON file that only its owner may read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.values: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            self.values = {}
        except (OSError, ValueError) as error:
            raise CommandError(
                f"{path} cannot be read ({error}): repair it, or delete it to begin anew."
            ) from None

    def keep(self, name: str, make: Callable[[], Any]) -> Any:
        """The kept value; the first time it is made, and saved before anybody can use it."""
        if name not in self.values:
            self.set(name, make())
        return self.values[name]

    def set(self, name: str, value: Any) -> None:
        self.values[name] = value
        write_private(self.path, json.dumps(self.values, indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a whole file that nobody else may read, or leave the old one as it is."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def secret_key(var: Path) -> str:
    """SECRET_KEY from the environment, else the kept one, else a new one."""
    if given := os.environ.get("SECRET_KEY", "").strip():
        return given
    path = var / "secret_key"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(50) + "\n")
    return path.read_text().strip()


def port_trouble(port: int) -> str:
    """Why this port of 127.0.0.1 cannot be listened on, in the system's words; empty when it can."""
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do: old connections don't count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return str(error.strerror)
    return ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock of this folder: two platforms on one database folder would fight over the sandbox."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CommandError(
                f"The platform already runs from {path.parent}: end it with Ctrl-C where it was started, "
                "or name another folder in VAR_DIR."
            ) from None
        yield


@contextmanager
def foreground() -> Iterator[int | None]:
    """Take the terminal's Ctrl-C for this process alone, as a shell does for a job; yields the terminal.

    ``make`` would otherwise get it too and call a clean end an error. Without a terminal nothing changes.
    """
    terminal = _controlling_terminal()
    if terminal is None:
        yield None
        return
    before = os.tcgetpgrp(terminal)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # stopped alone, it could not be brought back by the shell
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    os.tcsetpgrp(terminal, os.getpgrp())
    try:
        yield terminal
    finally:
        with suppress(OSError):  # the terminal may be gone
            os.tcsetpgrp(terminal, before)
        os.close(terminal)


def _controlling_terminal() -> int | None:
    """The terminal that this process may use now; None without one, and in the background."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError:
        return None
    if os.tcgetpgrp(terminal) == os.getpgrp():
        return terminal
    os.close(terminal)
    return None
