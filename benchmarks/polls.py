"""``python -m benchmarks.polls``: three ways to poll, side by side on PostgreSQL, with 1,000 and 10,000 in flight.

Each runs in a real django-q cluster of four workers against the same upstream, which answers after 50–200 ms
in a process of its own. Polls and lag are read from upstream's log, statements from PostgreSQL's, processor
time from the kernel. The lag is what somebody waits who looks at any moment: until the next poll of that
generation. One that was not polled again counts with what was left of the run, so long lags are lower bounds.
``IN_FLIGHT=1000`` measures one size alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import django
import requests
import urllib3
from django.core.management import call_command

from kling_platform.supervisor import Child
from tests.plugins.postgres import FOREIGN
from tests.plugins.server import Postgres, find_binaries

if TYPE_CHECKING:
    from generations.omnimaas import transport

ROOT = Path(__file__).resolve().parent.parent
HERTZ = os.sysconf("SC_CLK_TCK")
# Only the writing to disk is spared; every statement is logged, to be counted.
SETTINGS = {"fsync": "off", "synchronous_commit": "off", "log_statement": "all", "max_connections": "100"}
BOUNDS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "SET ")
START_SECONDS, WARM_UP = 4.0, 6.0
WAYS = {
    "a task per poll": "benchmarks.rivals.feed",
    "a sequential sweep": "benchmarks.rivals.sweep",
    "this engine": "generations.tasks.poll",
}


class Size(NamedTuple):
    """How many are in flight, the shortest gap of the settings in seconds, and how long it is measured.

    Half a second is added to the gap by the engine, and by the others too.
    """

    in_flight: int
    shortest: int
    seconds: float


SIZES = (Size(1_000, 10, 40), Size(10_000, 15, 55))


def say(line: str) -> None:
    print(line, flush=True)


@dataclass(frozen=True)
class Result:
    """Of one way at one size. Milliseconds of processor time, ours and PostgreSQL's, and statements, per poll."""

    polls: float
    cpu: float
    database: float
    queries: float
    lags: list[float]

    def lag(self, share: float) -> float:
        return self.lags[int(share * (len(self.lags) - 1))]


def cpu_seconds(root: int) -> float:
    """Processor time of a process and all its descendants, the dead ones included."""
    parents, used = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            parents[int(folder.name)] = int(fields[1])
            used[int(folder.name)] = sum(int(ticks) for ticks in fields[11:15]) / HERTZ
    total, waiting = 0.0, [root]
    while waiting:
        pid = waiting.pop()
        total += used.get(pid, 0.0)
        waiting += [child for child, parent in parents.items() if parent == pid]
    return total


@contextlib.contextmanager
def upstream(folder: Path, slowest_ms: int = 200) -> Iterator[tuple[str, Path]]:
    """Address and log of an upstream that runs for the length of the block."""
    log = folder / "polled"
    command = [sys.executable, "-m", "benchmarks.upstream", str(log), str(slowest_ms)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}", log
    finally:
        process.kill()
        process.wait()


def prepare(in_flight: int, gap: float) -> None:
    """Only this many running generations, due evenly over the first gap."""
    from django.utils import timezone
    from django_q.models import OrmQ

    from accounts.models import User
    from generations import dispatch
    from generations.models import Generation, Status

    OrmQ.objects.all().delete()
    Generation.objects.all().delete()
    dispatch.adopt_epoch()
    user, _ = User.objects.get_or_create(username="bench")
    recipe = {"model": "kling-v2-6", "prompt": "x", "seconds": 5, "size": "16:9", "mode": "std", "price": 1}
    now = timezone.now() + timedelta(seconds=START_SECONDS)
    Generation.objects.bulk_create(
        [
            Generation(
                **recipe,
                user=user,
                status=Status.RUNNING,
                upstream_id=uuid.uuid4().hex,
                submitted_at=now,
                next_check_at=now + timedelta(seconds=gap * number / in_flight),
            )
            for number in range(in_flight)
        ],
        batch_size=1_000,
    )


def measure(postgres: Postgres, folder: Path, log: Path, way: str, size: Size) -> Result:
    """Run one way in a cluster of its own until it has been measured."""
    from django.db import connection
    from django_q.tasks import async_task

    gap = size.shortest + 0.5
    prepare(size.in_flight, gap)
    async_task(WAYS[way], size.seconds + START_SECONDS + WARM_UP)
    connection.close()
    bounds = {"POLL_MIN_SECONDS": str(size.shortest), "POLL_MAX_SECONDS": str(size.shortest)}
    command = [sys.executable, ROOT / "manage.py", "qcluster"]
    cluster = Child("cluster", command, env=os.environ | bounds, log=folder / "cluster.log")
    cluster.start()
    statements = postgres.home / "log"
    try:
        time.sleep(START_SECONDS + WARM_UP)
        begun, place, before = time.monotonic(), statements.stat().st_size, used(cluster, postgres)
        time.sleep(size.seconds)
        ended, after = time.monotonic(), used(cluster, postgres)
        queries = count_statements(statements, place)
    finally:
        cluster.kill()
        time.sleep(1)  # upstream writes its log twice a second
    lines = (line.split() for line in log.read_text().splitlines())
    polls = [(float(at), id) for at, id in lines if begun <= float(at) < ended]
    number = len(polls)
    assert number, (folder / "cluster.log").read_text()[-3000:]
    ours, database = (1000 * (b - a) / number for a, b in zip(before, after, strict=True))
    return Result(number / (ended - begun), ours, database, queries / number, lags(polls, begun, ended, size))


def used(cluster: Child, postgres: Postgres) -> tuple[float, float]:
    """Processor time of the cluster and of PostgreSQL so far."""
    postmaster = int((postgres.home / "data" / "postmaster.pid").read_text().split()[0])
    return cpu_seconds(cluster.pid), cpu_seconds(postmaster)


def lags(polls: list[tuple[float, str]], begun: float, ended: float, size: Size) -> list[float]:
    """Sorted seconds from moments drawn for every generation to its next poll, or to the end of the run."""
    rng, times = random.Random(1), defaultdict(list)
    for at, id in polls:
        times[id].append(at)
    last = ended - 1.5 * (size.shortest + 0.5)  # later ones would mostly meet the end
    found = []
    for some in [*times.values(), *([[]] * (size.in_flight - len(times)))]:
        for _ in range(5):
            moment = rng.uniform(begun, last)
            found.append(next((at for at in some if at >= moment), ended) - moment)
    return sorted(found)


def count_statements(log: Path, place: int) -> int:
    """Statements in PostgreSQL's log from a place on, without the bounds of transactions."""
    with log.open(errors="replace") as file:
        file.seek(place)
        found = (line.partition("LOG:  ")[2] for line in file)
        texts = (text.partition(": ")[2] for text in found if text.startswith(("statement: ", "execute ")))
        return sum(not text.startswith(BOUNDS) for text in texts)


def clients(url: str) -> Iterator[tuple[str, float]]:
    """Processor milliseconds of one GET with each client that could do it, 16 threads, everything on."""
    from generations.omnimaas import transport

    session = requests.Session()
    session.trust_env = False
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=16))
    pool = urllib3.PoolManager(maxsize=16, retries=False)
    address = f"{url}/v1/video/generations/x"
    with transport.Lines(url) as lines:
        for name, get in (
            ("requests, a kept session", lambda: session.get(address, timeout=20).json()),
            ("urllib3, a PoolManager", lambda: pool.request("GET", address, timeout=20).json()),
            ("our Lines over urllib3's connections", lambda: json.loads(_get(lines, address))),
        ):
            with ThreadPoolExecutor(16) as threads:
                list(threads.map(lambda _, get=get: get(), range(200)))
                begun = time.process_time()
                list(threads.map(lambda _, get=get: get(), range(3_000)))
                yield name, (time.process_time() - begun) / 3_000 * 1_000


def _get(lines: transport.Lines, address: str) -> bytes:
    return lines.get(address, headers={"Accept": "application/json"}, seconds=20).body


def main() -> None:
    """Print the tables."""
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("This needs a PostgreSQL server. Install Debian's postgresql package.")
    postgres = Postgres(binaries, **SETTINGS)
    with tempfile.TemporaryDirectory(prefix="kling-bench-") as home, upstream(Path(home)) as (url, log):
        for name in FOREIGN:
            os.environ.pop(name, None)
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "kling_platform.settings",
            "DATABASE_URL": postgres.url.replace("/kling?", "/postgres?"),  # the one that stands already
            "VAR_DIR": home,
            "SECRET_KEY": "only-for-measuring-" * 4,
            "OMNIMAAS_BASE_URL": url,
            "OMNIMAAS_API_KEY": "sk-bench",
            "OMNIMAAS_MAX_IN_FLIGHT": "10000",
            "POLL_BUDGET": "100000",
        }
        try:
            postgres.start()
            django.setup()
            call_command("migrate", verbosity=0)
            compare(postgres, Path(home), log)
            say("\n| client | CPU ms/GET |\n|---|---|")
            for name, milliseconds in clients(url):
                say(f"| {name} | {milliseconds:.2f} |")
        finally:
            postgres.remove()


def compare(postgres: Postgres, folder: Path, log: Path) -> None:
    say(f"Load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    say(
        "| in flight, planned gap | | polls/s | CPU ms/poll | of PostgreSQL | statements/poll | lag p50 | p95 |"
    )
    say("|---|---|---|---|---|---|---|---|")
    only = os.environ.get("IN_FLIGHT", "")
    for size in SIZES:
        for way in WAYS if only in ("", str(size.in_flight)) else ():
            got = measure(postgres, folder, log, way, size)
            say(
                f"| {size.in_flight:,}, {size.shortest + 0.5} s | {way} | {got.polls:.1f} | {got.cpu:.2f} "
                f"| {got.database:.2f} | {got.queries:.3f} | {got.lag(0.5):.1f} s | {got.lag(0.95):.1f} s |"
            )


if __name__ == "__main__":
    main()
