"""Task processes that are killed, and the judgement afterwards: nothing paid twice, nothing lost, books right."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.models.functions import Now
from django.utils.module_loading import import_string
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from accounts.invariants import ALL
from accounts.invariants import INVARIANTS as OF_ACCOUNTS
from generations.invariants import INVARIANTS as OF_GENERATIONS
from generations.models import OPEN, TERMINAL, Event, Generation, Lane, Status, Upstream

KILLED = -signal.SIGKILL
ROUNDS = 30


def start_task_process(work: Callable[[], object], *, crash_at: str = "") -> int:
    """Id of a process of its own that does some work on this database, as the task processes do: forked."""
    connections.close_all()  # or both would speak on one line
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _forget_lines()
            settings.CRASH_AT = crash_at
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - whatever it was, it may not get into the test's own frames
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid


def _forget_lines() -> None:
    """Take no line to the database over from the parent, which may have one for each of its contexts.

    Once a browser ran, the parent's loop gives it another context than this process, and ``close_all`` sees
    one of them only: on a line that both hold a killed process would keep its locks.
    """
    for alias in connections:
        with contextlib.suppress(AttributeError):
            del connections[alias]


def wait_for(pid: int, seconds: float = 60) -> int:
    """Exit status of a process, negative: killed by that signal; aborted when it takes too long."""
    deadline = time.monotonic() + seconds
    while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGABRT)
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(ended[1])


def task_process(work: Callable[[], object], *, crash_at: str = "", seconds: float = 60) -> int:
    """Exit status of a process of its own that does some work; 0 when it came to its end."""
    return wait_for(start_task_process(work, crash_at=crash_at), seconds)


def work_off() -> None:
    """What task processes do, until nothing more can happen; times are moved, never the clock."""
    for _ in range(ROUNDS):
        import_string("generations.tasks.sweep")()
        run_queued()
        if not _may_still_move().exists():
            return
        move_times()
        import_string("generations.tasks.poll")(seconds=0.01)
        run_queued()


def work_on(seconds: float = 30) -> None:
    """What a task process does, again and again; for one that is killed before that."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        run_queued()
        import_string("generations.tasks.poll")(seconds=0.01)
        time.sleep(0.02)


def run_queued() -> None:
    """Each task is out of the queue before it runs: a crash loses it, and nobody hands it out again."""
    while (row := OrmQ.objects.order_by("pk").first()) is not None:
        if not OrmQ.objects.filter(pk=row.pk).delete()[0]:
            continue  # another process was quicker
        task = SignedPackage.loads(row.payload)
        seconds: dict[str, Any] = {"seconds": 0.01} if task["func"] == "generations.tasks.poll" else {}
        import_string(task["func"])(*task["args"], **task["kwargs"], **seconds)


def _may_still_move() -> Any:
    return Generation.objects.filter(status__in=OPEN).exclude(status=Status.UNKNOWN, upstream_id=None)


def move_times() -> None:
    """Waits and leases are over, and the cap has grown back.

    Only where nobody is at work: a lease that is moved is a promise broken.
    """
    Generation.objects.filter(status__in=OPEN).update(next_check_at=Now() - timedelta(seconds=1))
    Lane.objects.update(until=Now() - timedelta(seconds=1))
    Upstream.objects.filter(open_until__isnull=False).update(open_until=Now() - timedelta(seconds=1))
    Upstream.objects.update(cap_changed_at=Now() - timedelta(hours=4))


def judge(journal: Iterable[dict[str, Any]]) -> str:
    """Hold our rows against upstream's own journal; what was found, in a few words."""
    created = [entry for entry in journal if entry["outcome"] == "created"]
    times = Counter(entry["external_task_id"] for entry in created)
    twice = [id for id, number in times.items() if number > 1]
    assert not twice, f"paid twice: {twice}"
    rows = {str(row.pk): row for row in Generation.objects.all()}
    assert set(times) <= set(rows), "upstream makes something that we know nothing of"
    restless = [f"{row.pk} {row.status}" for row in rows.values() if row.status not in (*TERMINAL, "unknown")]
    assert not restless, f"neither over nor in doubt: {restless}"
    orphans = [entry for entry in created if rows[entry["external_task_id"]].upstream_id != entry["id"]]
    doubts = [row for row in rows.values() if row.status == Status.UNKNOWN]
    assert {entry["external_task_id"] for entry in orphans} <= {str(row.pk) for row in doubts}, "lost"
    for invariant in (*OF_ACCOUNTS, *OF_GENERATIONS):
        assert invariant.breaches(ALL) == [], invariant.name
    return f"{len(rows)} generations, 0 paid twice, 0 lost, {len(doubts)} in doubt{_reasons()}, {len(orphans)} orphans"


def _reasons() -> str:
    """Why those that are in doubt are, as their events say."""
    steps = Event.objects.filter(to_status=Status.UNKNOWN, generation__status=Status.UNKNOWN)
    found = Counter(
        f"{note} {detail.get('message', '')}".strip() for note, detail in steps.values_list("note", "detail")
    )
    return (
        f" ({', '.join(f'{number} × {reason}' for reason, number in sorted(found.items()))})" if found else ""
    )


def kill(pid: int) -> None:
    """As the kernel does when memory is short."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
