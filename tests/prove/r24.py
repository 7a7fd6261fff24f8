"""R24: django-q2 freezes for good, and the watch over it makes work go on; under full load it leaves it alone."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.conf import settings as of_django

from accounts import services as people
from accounts.models import User
from generations import dispatch
from generations.models import Alarm, Generation, Status, Upstream, Worker
from kling_platform.supervisor import Child
from tests import crashes
from tests.makers import ask
from tests.processes import children, wait_until
from tests.prove.r1 import sandbox
from tests.surroundings import environment_of_this_test

ROOT = Path(__file__).resolve().parents[2]
FREEZES, RESUMES_WITHIN = 5, 90.0
LOAD_SECONDS, WAITING = 600.0, 100
# No doubt among them, which would stop the sending for a while.
PROMPTS = [*["cat [fail]"] * 8, "cat", "cat [slow=2] [fail]"]
POOL = 4  # task processes of a cluster


def freeze(main: int) -> bool:
    """Kill the idle task process of a fresh cluster that holds its queue's lock, so that nobody will ever get it.

    ``main`` is the cluster's main process. False when it lives on: who was killed had just let go of the lock.
    """
    (sentinel,) = children(main)
    others = children(sentinel)[POOL:]  # who writes down and who hands out: started after the pool

    def holder() -> list[int]:
        """He reads the pipe for which the others wait."""
        return [pid for pid in children(sentinel) if pid not in others and _reads_a_pipe(pid)]

    found: list[int] = []
    wait_until(lambda: found or found.extend(holder()) or found, 60)
    before = children(sentinel)
    crashes.kill(found[0])
    wait_until(lambda: set(children(sentinel)) - set(before), 60)  # somebody is in its place
    time.sleep(0.5)  # and waits like the others, unless they have the lock
    return not holder()


def _reads_a_pipe(pid: int) -> bool:
    """Whether the call to the kernel in which a process waits has a pipe for its first argument."""
    with suppress(OSError, IndexError, ValueError):
        _call, first, *_ = Path("/proc", str(pid), "syscall").read_text().split()
        return str(Path("/proc", str(pid), "fd", str(int(first, 16))).readlink()).startswith("pipe:")
    return False


@contextmanager
def worker(settings: Any, home: Path) -> Iterator[Child]:
    """The worker as in production, once it beats."""
    limits = {"POLL_MIN_SECONDS": "1", "POLL_BUDGET": "100", "OMNIMAAS_MAX_IN_FLIGHT": "200"}
    command = [sys.executable, ROOT / "manage.py", "worker"]
    child = Child(
        "worker", command, env=environment_of_this_test(settings, **limits), log=home / "worker.log"
    )
    child.start()
    try:
        wait_for_beat()
        yield child
    finally:
        child.kill()
        print((home / "worker.log").read_text()[-3000:], file=sys.stderr)


def wait_for_beat() -> None:
    """Until the queue works, from now on."""
    now = dispatch.database_now()
    wait_until(Upstream.objects.filter(last_beat_at__gt=now).exists, 90)


def cluster_of(child: Child) -> int | None:
    """The main process of the cluster that a worker keeps, once it has a pool."""
    return next((pid for pid in children(child.pid) if any(map(children, children(pid)))), None)


def thaw(child: Child, user: User) -> float:
    """Freeze the cluster; seconds until somebody's next wish is sent all the same."""
    while not freeze(cluster_of(child) or 0):
        cluster = cluster_of(child)
        crashes.kill(cluster)
        wait_until(lambda cluster=cluster: cluster_of(child) not in (cluster, None), 60)
        wait_for_beat()
    before, begun = Worker.objects.get().restarts, time.monotonic()
    row = ask(user, prompt="cat [fail]")
    waits = Generation.objects.filter(pk=row.pk, status=Status.QUEUED)
    wait_until(lambda: not waits.exists(), RESUMES_WITHIN)
    took = time.monotonic() - begun
    wait_until(lambda: Worker.objects.get().restarts > before, 30)
    wait_for_beat()
    return took


def under_load(child: Child, user: User, dice: random.Random, seconds: float) -> int:
    """Keep the queue full for so long; how many came to their end."""
    cluster, ends = cluster_of(child), time.monotonic() + seconds
    while time.monotonic() < ends:
        for _ in range(WAITING - Generation.objects.filter(status=Status.QUEUED).count()):
            ask(user, prompt=dice.choice(PROMPTS))
        time.sleep(1)
    assert cluster_of(child) == cluster, "the cluster was started anew"
    assert Worker.objects.get().restarts == 0
    assert not Alarm.objects.filter(kind=Alarm.Kind.WORKER).exists()
    return Generation.objects.filter(status__in=(Status.SUCCEEDED, Status.FAILED)).count()


def run(number: int, seed: int) -> str:
    """The freezes, and then ten minutes of load."""
    with tempfile.TemporaryDirectory() as home:
        of_django.VAR_DIR, of_django.MEDIA_ROOT = Path(home), Path(home, "media")
        user = people.provision("patient", credits=100_000_000).user
        with sandbox(Path(home, "sandbox"), of_django), worker(of_django, Path(home)) as child:
            if number == 0:
                took = [thaw(child, user) for _ in range(FREEZES)]
                return f"{FREEZES} freezes, work went on after {min(took):.0f}–{max(took):.0f} s"
            ended = under_load(child, user, random.Random(seed), LOAD_SECONDS)
            restarted = (Path(home) / "worker.log").read_text().count("reincarnated")
            assert not restarted, f"{restarted} processes of the cluster were started anew"
            return f"{LOAD_SECONDS / 60:.0f} minutes of full load, {ended} ended, 0 restarts"
