"""A task process dies at every place where it may, and the next one makes the best of what it left."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from generations.models import Generation, Status
from generations.omnimaas.sandbox import SandboxServer
from tests.conftest import SANDBOX_KEY
from tests.crashes import KILLED, judge, move_times, task_process, work_off
from tests.drawing import drawn_once
from tests.makers import ask, make_user
from tests.prove.r1 import kill_tasks

ROOT = Path(__file__).parent.parent
FAILS = "小猫 [fail]"
WORKS = "小猫"


class Crash(NamedTuple):
    """A prompt whose way leads to the place, the state that it ends in, and what has to go before."""

    prompt: str = FAILS
    ends: str = Status.FAILED
    after: str = ""  # another place, at which a process died before
    file: str = ""  # what happens to the first download


DOUBT = Crash(ends=Status.UNKNOWN)
FILM = Crash(WORKS, Status.SUCCEEDED)
CRASHES = {
    "dispatch.entered": Crash(),
    "dispatch.claimed": Crash(),
    # Claimed and not sent, or sent and not recorded: nobody can tell the two apart any more.
    "dispatch.remembered": DOUBT,
    "send.claimed": DOUBT,
    "send.begins": DOUBT,
    "send.ended": DOUBT,
    "send.answered": DOUBT,
    "submitted.moved": DOUBT,
    "submitted.noted": DOUBT,
    "doubt.noted": Crash("小猫 [500]", Status.UNKNOWN),
    "requeue.noted": Crash("小猫 [429=1]", Status.UNKNOWN),
    "failed.moved": Crash(),
    "failed.released": Crash(),
    "poll.planned": Crash(),
    "poll.claimed": Crash(),
    "poll.answered": Crash(),
    "progress.written": Crash("小猫 [slow=3] [fail]"),
    "missing.counted": Crash("小猫 [lost=1] [fail]"),
    "success.moved": FILM,
    "success.settled": FILM,
    "success.woken": FILM,
    "store.claimed": FILM,
    "archive.downloaded": FILM,
    "archive.poster_named": FILM,
    "store.copied": FILM,
    "stored.moved": FILM,
    "store.put_off": FILM._replace(file="truncated"),
    "refunded": Crash("小猫 [dead]"),
    "sweep.lease_over": DOUBT._replace(after="send.claimed"),
    "sweep.woke_store": FILM._replace(after="store.claimed"),
}
# A commit is a commit on both; one place of each kind shows that what it leaves is.
SQLITE = pytest.mark.sqlite
ON_SQLITE_TOO = ("dispatch.claimed", "send.answered", "failed.moved", "success.settled", "store.copied")


@pytest.fixture
def upstream(settings, tmp_path) -> Iterator[SandboxServer]:
    """Quick, with the smallest films; and polls may follow each other closely, for times are moved here."""
    settings.POLL_MIN_SECONDS = 0
    sandbox = SandboxServer(tmp_path / "sandbox", key=SANDBOX_KEY, speed=200, scale=0.125)
    with drawn_once(), sandbox as server:
        settings.OMNIMAAS_BASE_URL, settings.OMNIMAAS_API_KEY = server.url, SANDBOX_KEY
        settings.EGRESS_ALLOW = frozenset({server.url.removeprefix("http://")})
        yield server


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "place", [pytest.param(place, marks=SQLITE if place in ON_SQLITE_TOO else ()) for place in CRASHES]
)
def test_a_crash_pays_nothing_twice_and_loses_nothing(place, upstream):
    crash = CRASHES[place]
    generation = ask(make_user("alice"), prompt=crash.prompt)
    if crash.file:
        upstream.misbehave(crash.file)
    if crash.after:
        assert task_process(work_off, crash_at=crash.after) == KILLED
        move_times()
    assert task_process(work_off, crash_at=place) == KILLED, "the place was not reached"
    move_times()
    assert task_process(work_off) == 0
    judge(upstream.journal())
    generation.refresh_from_db()
    assert generation.status == crash.ends


def test_every_failpoint_is_crashed_at():
    found = [
        node.args[0].value
        for package in ("generations", "accounts", "kling_platform")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reach"
    ]
    assert sorted(found) == sorted(CRASHES)
    assert len(found) >= 20


@pytest.mark.django_db(transaction=True)
def test_what_nobody_interrupts_comes_to_its_end(upstream):
    """The judge is not blind: without a crash everything is as it should be, and it sees when it is not."""
    row = ask(make_user("alice"), prompt=FAILS)
    assert task_process(work_off) == 0
    judge(upstream.journal())
    entry = next(entry for entry in upstream.journal() if entry["outcome"] == "created")
    with pytest.raises(AssertionError, match="paid twice"):
        judge([entry, entry])
    with pytest.raises(AssertionError, match="know nothing of"):
        judge([entry | {"external_task_id": "x"}])
    Generation.objects.filter(pk=row.pk).update(upstream_id=None)
    with pytest.raises(AssertionError, match="lost"):
        judge([entry])


@pytest.mark.sqlite
@pytest.mark.django_db(transaction=True)
def test_kills_at_any_moment_pay_nothing_twice_and_lose_nothing(upstream, settings):
    """R1 in small: ``make prove R=R1`` kills 650 times, whole clusters among them."""
    settings.OMNIMAAS_MAX_IN_FLIGHT = 200
    seed = random.randrange(10**8)
    print(f"seed {seed}")
    kill_tasks(random.Random(seed), generations=10, kills=8)
    assert task_process(work_off) == 0
    judge(upstream.journal())
