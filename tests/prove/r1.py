"""R1: processes die at any moment, and nothing is paid twice, nothing is lost, and the books are right."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings as of_django
from django.db import connection
from django_q.tasks import async_task

from accounts import services as people
from accounts.models import User
from generations.models import Generation, Status
from generations.omnimaas.sandbox.store import read_journal
from kling_platform.supervisor import Child
from tests import crashes
from tests.makers import ask
from tests.processes import living
from tests.surroundings import environment_of_this_test

ROOT = Path(__file__).resolve().parents[2]
# Most fail in the making, which costs no film; every other way is there too.
PROMPTS = ["小猫 [fail]"] * 12 + [
    *("小猫", "小猫 [expired]", "小猫 [refuse]", "小猫 [429=1] [fail]", "小猫 [503=1] [fail]"),
    *(
        "小猫 [lost=1] [fail]",
        "小猫 [slow=1] [fail]",
        "小猫 [500]",
        "小猫 [break]",
        "小猫 [poll-break=1] [fail]",
    ),
]
GENERATIONS, KILLS = {"postgresql": 80, "sqlite": 50}, {"postgresql": 25, "sqlite": 19}


@contextmanager
def sandbox(folder: Path, settings: Any) -> Iterator[Path]:
    """The sandbox in a process of its own, which nobody kills; its folder holds the journal."""
    command = [sys.executable, ROOT / "manage.py", "sandbox", "--port", "0", "--key", "sk-r1"]
    options = ["--dir", folder, "--speed", "200", "--scale", "0.125"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout
        url = process.stdout.readline().split()[-1]
        settings.OMNIMAAS_BASE_URL, settings.OMNIMAAS_API_KEY = url, "sk-r1"
        settings.EGRESS_ALLOW = frozenset({url.removeprefix("http://")})
        # Doubts would stop the sending: here it must go on. And times are moved, so polls come close.
        settings.OMNIMAAS_MAX_IN_FLIGHT, settings.POLL_MIN_SECONDS = 200, 0
        yield folder
    finally:
        process.kill()
        process.wait()


def kill_tasks(rng: random.Random, *, generations: int, kills: int) -> int:
    """Two task processes at a time, one killed while the other works on; how many were killed at work."""
    asked = killed = 0
    user = people.provision(f"victim-{User.objects.count()}", credits=1_000_000).user
    while killed < kills:
        share = -(-generations * (killed + 2) // kills)
        while asked < min(generations, share):
            ask(user, prompt=rng.choice(PROMPTS))
            asked += 1
        pids = [crashes.start_task_process(crashes.work_on) for _ in range(2)]
        for pid in pids:
            time.sleep(rng.uniform(0.02, 0.6))
            crashes.kill(pid)
            killed += crashes.wait_for(pid) == crashes.KILLED
        crashes.move_times()
    return killed


def kill_clusters(rng: random.Random, settings: Any, *, generations: int, kills: int) -> int:
    """A real cluster, of which a task process, the main process, or everything dies; how many kills."""
    killed = asked = 0
    user = people.provision(f"victim-{User.objects.count()}", credits=1_000_000).user
    environment = environment_of_this_test(settings, OMNIMAAS_MAX_IN_FLIGHT="200")
    command = [sys.executable, ROOT / "manage.py", "qcluster"]
    while killed < kills:
        for _ in range(min(generations - asked, -(-generations * 3 // kills))):
            ask(user, prompt=rng.choice(PROMPTS))
            asked += 1
        cluster = Child("cluster", command, env=environment, log=Path(settings.VAR_DIR, "cluster.log"))
        cluster.start()
        try:
            async_task("generations.tasks.poll")
            wait_for_work(cluster)
            for _ in range(2):
                time.sleep(rng.uniform(0.05, 1.0))
                processes = [
                    pid for pid, line in living(session=cluster.pid).items() if "lifeline" not in line
                ]
                if processes:
                    crashes.kill(rng.choice(processes))
                    killed += 1
        finally:
            cluster.kill()
            killed += 1
        crashes.move_times()
    return killed


def wait_for_work(cluster: Child, seconds: float = 20) -> None:
    """Until it sends; a cluster that has nothing to send is good enough too."""
    ends = time.monotonic() + seconds
    queued = Generation.objects.filter(status=Status.QUEUED)
    at_first = queued.count()
    while time.monotonic() < ends and queued.count() == at_first > 0:
        assert cluster.poll() is None
        time.sleep(0.05)


def judge(folder: Path) -> str:
    """Let somebody healthy finish what was left, and hold it against upstream's journal."""
    assert crashes.task_process(crashes.work_off, seconds=300) == 0
    return crashes.judge(read_journal(folder))


def run(number: int, seed: int) -> str:
    """One part: every fourth with whole clusters, the others with task processes."""
    vendor = connection.vendor
    rng = random.Random(f"{seed} {number} {vendor}")
    size = {"generations": GENERATIONS[vendor], "kills": KILLS[vendor]}
    with tempfile.TemporaryDirectory() as home:
        of_django.VAR_DIR, of_django.MEDIA_ROOT = Path(home), Path(home, "media")
        with sandbox(Path(home, "sandbox"), of_django) as folder:
            if number % 4 == 3:
                kill_clusters(rng, of_django, **size)
            else:
                kill_tasks(rng, **size)
            print(judge(folder))
    return f"{vendor}: {size['generations']} generations, {size['kills']} kills, 0 paid twice, 0 lost"
