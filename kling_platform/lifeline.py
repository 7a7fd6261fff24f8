"""Run a command that cannot outlive whoever started it.

    python -I -S lifeline.py FD GRACE USER COMMAND…

The starter makes this process the leader of a session of its own and keeps the write end of a pipe
whose read end is FD. A small watcher stays behind in the session, this process becomes COMMAND. When
the starter is gone, by ``kill -9`` too, the pipe ends: the watcher asks COMMAND to stop, waits GRACE
seconds at most, and kills the whole process group, grandchildren included. PR_SET_PDEATHSIG would
reach the direct child alone, and only on Linux.

As long as the watcher lives, the group's id cannot be given to anybody else, so that signalling the
group is always safe. USER is ``-``, or whom COMMAND runs as (the watcher keeps its own rights).

The standard library only: this starts before any of our own code and without site-packages.
"""

from __future__ import annotations

import os
import pwd
import signal
import sys
import time


def watch(fd: int, leader: int, grace: float) -> None:
    """Wait for the end of the pipe, then end the group of ``leader``; ``grace`` is in seconds."""
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # meant for the command; only SIGKILL ends the watcher
    os.closerange(0, fd)  # hold nobody's terminal or pipe open
    os.closerange(fd + 1, 4096)
    while os.read(fd, 1):
        pass
    deadline = time.monotonic() + grace
    try:
        os.kill(leader, signal.SIGTERM)  # the leader only: a whole qcluster hangs on it
        while time.monotonic() < deadline:
            time.sleep(0.05)
            os.kill(leader, 0)
    except (ProcessLookupError, PermissionError):
        pass
    os.killpg(leader, signal.SIGKILL)


def become(name: str) -> None:
    """Give up root for the user ``name``; raises KeyError when there is none."""
    user = pwd.getpwnam(name)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.environ["HOME"] = "/"


def main(arguments: list[str]) -> None:
    fd, grace, user, command = int(arguments[0]), float(arguments[1]), arguments[2], arguments[3:]
    leader = os.getpid()
    if os.fork() == 0:
        if os.fork() == 0:  # twice: the command shall not meet a child that it never started
            watch(fd, leader, grace)
        os._exit(0)
    os.wait()
    os.close(fd)
    if user != "-":
        become(user)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        os._exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
