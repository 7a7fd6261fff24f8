"""Two workers on one PostgreSQL, each with a folder of its own, as on two hosts. Slow: they are real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.invariants import ALL
from accounts.invariants import INVARIANTS as OF_ACCOUNTS
from generations.models import Generation, Status, Worker
from tests.makers import ask, make_user
from tests.polled import most_within, shortest_gap
from tests.processes import living, wait_until
from tests.surroundings import environment_of_this_test

ROOT = Path(__file__).parent.parent
BUDGET = 10
MANY, FILMS = 40, 14  # each third is a film; the others fail in the making, which costs no time
Host = tuple[subprocess.Popen[bytes], Path]


@pytest.fixture
def start(
    transactional_db: None, sandbox: Any, settings: Any, tmp_path: Path
) -> Iterator[Callable[[str], Host]]:
    """``start(name)`` is a worker on a host of its own: its process, and its folder."""
    hosts: list[Host] = []

    def begin(name: str) -> Host:
        folder = tmp_path / name
        folder.mkdir()
        environment = environment_of_this_test(
            settings,
            VAR_DIR=str(folder),
            POLL_MIN_SECONDS="1",
            POLL_MAX_SECONDS="1",
            POLL_BUDGET=str(BUDGET),
            OMNIMAAS_MAX_IN_FLIGHT="10",
        )
        with (folder / "worker.log").open("wb") as log:
            command = [sys.executable, ROOT / "manage.py", "worker", "--drain", "60"]
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        hosts.append((process, folder))
        return hosts[-1]

    yield begin
    for process, folder in hosts:
        process.kill()
        process.wait()
        wait_until(lambda folder=folder: not of_host(folder), 30)  # its children die with it


def of_host(folder: Path) -> dict[int, str]:
    """Its living processes."""
    return living(mark=f"VAR_DIR={folder}\0")


def films(folder: Path) -> int:
    """How many videos this host has stored."""
    return len(list(folder.rglob("media/**/*.mp4")))


def ended() -> int:
    return Generation.objects.filter(status__in=(Status.SUCCEEDED, Status.FAILED)).count()


@pytest.mark.long
@pytest.mark.postgres
def test_two_hosts_share_the_work_and_one_may_go(start: Callable[[str], Host], sandbox: Any) -> None:
    leaves, stays = start("a"), start("b")
    wait_until(lambda: Worker.objects.count() == 2, 90)
    people = [make_user(f"user{n}") for n in range(4)]
    for n in range(MANY):
        ask(people[n % 4], prompt="小猫" if n % 3 == 0 else "小猫 [fail]")
    wait_until(lambda: films(leaves[1]) and films(stays[1]), 120)
    assert ended() < MANY, "there is work left"

    leaves[0].send_signal(signal.SIGTERM)
    assert leaves[0].wait(90) == 0, (leaves[1] / "worker.log").read_text()
    assert not of_host(leaves[1])
    here = films(leaves[1])
    wait_until(lambda: ended() == MANY, 150)

    assert films(leaves[1]) == here and films(stays[1]) == FILMS - here
    assert Counter(entry["external_task_id"] for entry in sandbox.journal()) == Counter(
        str(pk) for pk in Generation.objects.values_list("pk", flat=True)
    )
    polls = sandbox.polls()
    assert most_within(1, [at for at, _id in polls]) <= BUDGET, "of both together"
    assert shortest_gap(polls) >= 0.7, "a late arrival shortens the gap after it"
    assert [one for invariant in OF_ACCOUNTS for one in invariant.breaches(ALL)] == []
