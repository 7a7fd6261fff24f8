"""Start programs, see them end, and leave none behind.

Shared by the commands ``demo`` and ``worker`` and by the tests. A child gets a session of its own, so
a Ctrl-C at the terminal reaches only the supervisor, which then ends its children in good order. What
happens when the supervisor itself is killed is told in ``lifeline.py``.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType

LIFELINE = Path(__file__).with_name("lifeline.py")
STEP = 0.1  # seconds between two looks at a process: no signal is missed, no processor kept warm
DRAIN_VARIABLE = "KLING_DRAIN_FD"


class Child:
    """One program with everything it starts.

    ``grace`` is how many seconds it gets to end by itself when the supervisor is killed; ``user`` is
    whom it runs as (only root can say so); ``log`` is the file its output is appended to, else it
    shares the supervisor's terminal.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
        grace: float = 5.0,
        user: str | None = None,
    ) -> None:
        self.name = name
        self.command = [str(part) for part in command]
        self.env = dict(os.environ if env is None else env)
        self.log = log
        self.grace = grace
        self.user = user
        self.started = 0.0  # monotonic seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._ends: list[int] = []  # our ends of the two pipes: the lifeline and the call to drain

    @property
    def pid(self) -> int:
        """The program's process id, which is its process group's and its session's too."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    def start(self) -> None:
        """Start it, or start it anew after ``kill``; raises OSError when no process can be made."""
        life, hold = os.pipe()
        drain, call = os.pipe()
        command = [sys.executable, "-I", "-S", LIFELINE, life, self.grace, self.user or "-", *self.command]
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, life)
            stack.callback(os.close, drain)
            output = stack.enter_context(self.log.open("ab")) if self.log else None
            self._ends = [hold, call]
            self._process = subprocess.Popen(
                [str(part) for part in command],
                env={**self.env, DRAIN_VARIABLE: str(drain)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(life, drain),
                start_new_session=True,
            )
        self.started = time.monotonic()

    @property
    def alive(self) -> bool:
        """Started and not yet killed; what its main process did since then, ``poll`` tells."""
        return bool(self._ends)

    def poll(self) -> int | None:
        """Its exit status (negative: killed by that signal), or None while it runs."""
        return None if self._process is None else self._process.poll()

    def terminate(self) -> None:
        """Ask it to end: its main process alone gets SIGTERM, and ``draining()`` turns true inside."""
        if self._process is not None and self._process.poll() is None:
            if len(self._ends) == 2:
                os.close(self._ends.pop())
            self._process.terminate()

    def kill(self) -> None:
        """End whatever is left of it, grandchildren and orphans included. Safe to repeat."""
        if self._process is None:
            return
        if self._ends:  # the watcher still holds the group's id: it cannot be somebody else's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        while self._ends:
            os.close(self._ends.pop())


def stop(children: Iterable[Child], seconds: float) -> None:
    """Ask all of them to end, wait up to ``seconds`` for the slowest, then kill what is left."""
    children = list(children)
    deadline = time.monotonic() + seconds
    for child in children:
        child.terminate()
    while any(child.poll() is None for child in children if child.started) and time.monotonic() < deadline:
        time.sleep(STEP)
    for child in children:
        child.kill()


def draining() -> bool:
    """True inside a child that was asked to end: a loop should hand over now.

    Needed because django-q2's task processes see no signal: only its main process may get SIGTERM.
    """
    fd = os.environ.get(DRAIN_VARIABLE, "")
    if not fd.isdigit():
        return False
    try:
        return bool(select.select([int(fd)], [], [], 0)[0])
    except (OSError, ValueError):  # somebody closed it on the way: then nobody can call through it
        return False


class StopSignal:
    """Remembers that SIGINT, SIGTERM or SIGHUP asked for the end; true once one did.

    A flag, and not an exception: it cannot strike between starting a child and taking note of it.
    The loss of ``terminal``, if one is given, counts as SIGHUP: the kernel tells only the session's
    leader, and where that is ``make``, it waits for us.
    """

    def __init__(self, terminal: int | None = None) -> None:
        self.received: int | None = None
        self._terminal = select.poll()
        if terminal is not None:
            self._terminal.register(terminal, 0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number

    def __bool__(self) -> bool:
        if self.received is None and any(event & select.POLLHUP for _, event in self._terminal.poll(0)):
            self.received = signal.SIGHUP
        return self.received is not None

    def wait(self, seconds: float) -> bool:
        """Sleep up to ``seconds``, less when a signal comes; True when one has come."""
        deadline = time.monotonic() + seconds
        while not self and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(STEP, left))
        return bool(self)
