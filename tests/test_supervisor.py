"""No child outlives its supervisor, however that one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kling_platform.supervisor import Child, stop
from tests.processes import living, wait_until

# A program with a child, a grandchild and an orphan, which ends when it is told to.
FAMILY = "(sleep 300 &) ; sh -c 'sleep 300 & wait' & while :; do sleep 0.05; done"
STUBBORN = f"trap '' TERM; {FAMILY}"
SUPERVISOR = """
import sys, time
from kling_platform.supervisor import Child
child = Child("family", ["sh", "-c", sys.argv[1]], grace=float(sys.argv[2]))
child.start()
print(child.pid, flush=True)
time.sleep(300)
"""


@pytest.fixture
def children() -> Iterator[list[Child]]:
    made: list[Child] = []
    yield made
    for child in made:
        child.kill()


def start(children: list[Child], script: str) -> Child:
    child = Child("family", ["sh", "-c", script])
    children.append(child)
    child.start()
    wait_until(lambda: len(living(session=child.pid)) >= 5, 10)
    return child


def supervisor(script: str, grace: float) -> tuple[subprocess.Popen[str], int]:
    """A supervisor in a process of its own, and the session of its child once the family is complete."""
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, script, str(grace)],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    session = int(process.stdout.readline())
    wait_until(lambda: len(living(session=session)) >= 5, 10)
    return process, session


def gone(child: Child) -> None:
    """Nobody of its session is left; the kernel takes a moment to bury whom it has killed."""
    wait_until(lambda: not living(session=child.pid), 5)


def test_nothing_is_left_after_kill_9_of_the_supervisor() -> None:
    process, session = supervisor(FAMILY, grace=5)
    process.kill()
    process.wait()
    assert wait_until(lambda: not living(session=session), 10) < 5


def test_nothing_is_left_of_a_family_that_refuses_to_end() -> None:
    process, session = supervisor(STUBBORN, grace=1)
    process.kill()
    process.wait()
    assert wait_until(lambda: not living(session=session), 10) >= 0.9, "it was not given its second"


def test_stopping_ends_grandchildren_and_orphans_too(children: list[Child]) -> None:
    child = start(children, FAMILY)
    stop([child], 5)
    assert child.poll() == -signal.SIGTERM
    gone(child)


def test_stopping_waits_only_as_long_as_it_was_told(children: list[Child]) -> None:
    child = start(children, STUBBORN)
    assert wait_until(lambda: stop([child], 0.5) is None, 5) < 2
    assert child.poll() == -signal.SIGKILL
    gone(child)


def test_what_a_dead_child_leaves_behind_is_swept_up(children: list[Child]) -> None:
    child = start(children, FAMILY)
    os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: child.poll() is not None, 5)
    assert living(session=child.pid), "the orphans should still be there"
    child.kill()
    wait_until(lambda: not living(session=child.pid), 5)


def test_a_killed_child_can_be_started_anew(children: list[Child]) -> None:
    child = start(children, FAMILY)
    first = child.pid
    child.kill()
    child.start()
    assert child.pid != first
    assert child.poll() is None


def test_a_program_that_does_not_exist_is_named(children: list[Child], tmp_path: Path) -> None:
    child = Child("nobody", ["/no/such/program"], log=tmp_path / "log")
    children.append(child)
    child.start()
    wait_until(lambda: child.poll() is not None, 5)
    assert child.poll() == 127
    assert "/no/such/program: No such file" in (tmp_path / "log").read_text()


def test_a_task_process_learns_that_the_end_is_near(children: list[Child], tmp_path: Path) -> None:
    """Its parent alone gets SIGTERM, as with django-q2; the fork sees it through the pipe."""
    log = tmp_path / "log"
    script = """
import os, signal, time
from kling_platform.supervisor import draining
signal.signal(signal.SIGTERM, lambda *_: None)
pid = os.fork()
print("draining" if draining() else "working", flush=True)
while pid == 0 and not draining():
    time.sleep(0.05)
if pid == 0:
    print("handed over", flush=True)
    os._exit(0)
os.waitpid(pid, 0)
"""
    child = Child(
        "tasks",
        [sys.executable, "-c", script],
        log=log,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    children.append(child)
    child.start()
    wait_until(lambda: log.read_text().count("working") == 2, 10)
    child.terminate()
    wait_until(lambda: child.poll() is not None, 5)
    assert log.read_text().endswith("handed over\n")
