"""``make bench B=api``: what a call of ``/v1`` costs, beside FastAPI with the same statements and LiteLLM's proxy.

Everybody runs in two processes on this machine, one after the other in each round, under the same load
(``benchmarks.load``). PostgreSQL is one of our own that spares the writing to disk, and no worker runs. Trust
the ratios; milliseconds belong to the machine and to what else it does.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks import contenders
from benchmarks.contenders import ROOT, Contender, Rejected
from benchmarks.load import Plan, Report
from tests.plugins.postgres import FOREIGN
from tests.plugins.server import Postgres, find_binaries

ROUNDS = int(os.environ.get("ROUNDS", "7"))
USERS, OF_EACH, READY = 8, 25, 5
PATH = "/v1/video/generations"
BODY = {"model": "kling-v2-5-turbo-std", "prompt": "a cat in the snow"}
SHORT, LONG, DEEP = 1_000, 1_000_000, 500_000
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "max_connections": "100",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
}
LIKE_FASTAPI, LIKE_LITELLM, CREATES_LIKE_LITELLM, SPREAD, DEEPER = 0.8, 10.0, 1.5, 3.0, 1.2


def say(line: str) -> None:
    print(line, flush=True)


def manage(*words: str, environment: dict[str, str]) -> str:
    """What a command of the platform says; raises where it fails."""
    done = subprocess.run(
        [sys.executable, "manage.py", *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"manage.py {' '.join(words)}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def load(plan: Plan) -> Report:
    """Load a server from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        cwd=ROOT,
        input=json.dumps(asdict(plan)),
        capture_output=True,
        text=True,
        check=True,
    )
    return Report(**json.loads(done.stdout))


@contextlib.contextmanager
def database(postgres: Postgres, name: str, home: Path) -> Iterator[dict[str, str]]:
    """The environment of a platform with an empty database of its own."""
    folder = home / name
    folder.mkdir()
    postgres._run("createdb", "-h", postgres.home, "-U", "kling", name)
    environment = {key: value for key, value in os.environ.items() if key not in FOREIGN} | {
        "DATABASE_URL": postgres.url.replace("/kling?", f"/{name}?"),
        "VAR_DIR": str(folder),
        "SECRET_KEY": "only-for-measuring-" * 4,
        "OMNIMAAS_BASE_URL": "http://127.0.0.1:9",
        "OMNIMAAS_API_KEY": "sk-bench",
        "OMNIMAAS_MAX_IN_FLIGHT": "10000",
    }
    manage("migrate", "--verbosity=0", environment=environment)
    yield environment


def people(environment: dict[str, str]) -> list[tuple[str, list[str]]]:
    """Users' keys, with the ids of what each has: most of it in the making, some ready."""
    program = f"from benchmarks.people import fill; fill({USERS}, {OF_EACH}, {READY})"
    lines = manage("shell", "--verbosity=0", "-c", program, environment=environment).splitlines()
    return [(made["key"], made["ids"]) for made in map(json.loads, lines)]


def measured(contestants: list[Contender]) -> dict[str, dict[str, list[Report]]]:
    """Reports by contestant and call, of rounds in which everybody has a turn."""
    found = {one.name: {"status": [], "create": []} for one in contestants}
    for number in range(ROUNDS):
        for one in contestants[number % len(contestants) :] + contestants[: number % len(contestants)]:
            for call in ("status", "create"):
                report = load(Plan(one.port, getattr(one, call)))
                assert not report.errors, (one.name, call, report)
                found[one.name][call].append(report)
    return found


def median(reports: list[Report], name: str) -> float:
    return statistics.median(getattr(report, name) for report in reports)


def verdict(what: str, value: float, bound: float, *, least: bool) -> None:
    met = value >= bound if least else value <= bound
    say(f"| {what} | {value:.2f} | {'≥' if least else '≤'} {bound:g} | {'met' if met else '**missed**'} |")


def compare(contestants: list[Contender]) -> None:
    """Print the table of all, and the ratios to the first one."""
    found = measured(contestants)
    say(f"\nMedians of {ROUNDS} rounds, 16 kept connections\n")
    say(
        "| | status/s | p50 | p99 | p99/p50 | create/s | p50 | p99 | p99/p50 |\n|---|---|---|---|---|---|---|---|---|"
    )
    for name, calls in found.items():
        cells = []
        for reports in calls.values():
            p50, p99 = median(reports, "p50"), median(reports, "p99")
            spread = statistics.median(report.p99 / report.p50 for report in reports)
            cells += [f"{median(reports, 'rate'):.0f}", f"{p50:.1f} ms", f"{p99:.1f} ms", f"{spread:.1f}"]
        say(f"| {name} | {' | '.join(cells)} |")
    say("\n| ratio, by round, median | seen | aim | |\n|---|---|---|---|")
    mine, *others = found.values()
    for one, calls in zip(contestants[1:], others, strict=True):
        for call, bound in bounds(one.name).items():
            pairs = zip(mine[call], calls[call], strict=True)
            value = statistics.median(a.rate / b.rate for a, b in pairs)
            verdict(f"{call}, × {one.name}", value, bound, least=True) if bound else say(
                f"| {call}, × {one.name} | {value:.2f} | – | |"
            )
    for call, reports in mine.items():
        spread = statistics.median(report.p99 / report.p50 for report in reports)
        verdict(f"{call}, p99 / p50", spread, SPREAD, least=False)


def bounds(name: str) -> dict[str, float]:
    if "LiteLLM" in name:
        return {"status": LIKE_LITELLM, "create": CREATES_LIKE_LITELLM}
    return {"status": LIKE_FASTAPI, "create": 0.0}


def crowd(one: Contender) -> None:
    """64 clients at once: slower, and never an error."""
    for call in ("status", "create"):
        report = load(Plan(one.port, getattr(one, call), connections=64))
        verdict(
            f"{call}, errors of {report.answers:,} at 64 connections",
            sum(report.errors.values()),
            0,
            least=False,
        )


def calls(postgres: Postgres, home: Path) -> None:
    """The platform and its rivals, under load in turns; then ``verify``."""
    with database(postgres, "calls", home) as environment, contextlib.ExitStack() as stack:
        made = people(environment)
        status = [
            contenders.get(f"{PATH}/{id}", key)
            for ids in zip(*(ids for _, ids in made), strict=True)
            for (key, _), id in zip(made, ids, strict=True)
        ]
        create = [contenders.post(PATH, key, BODY) for key, _ in made]
        contestants = []
        for name, start in (("this platform", contenders.ours), ("FastAPI, asyncpg", contenders.fastapi)):
            port, child = start(environment, home / "servers.log")
            stack.callback(child.kill)
            contestants.append(Contender(name, port, status, create, [child]))
        same = [contenders.asked(one.port, status[0]) for one in contestants]
        for one in contestants:
            contenders.asked(one.port, create[0])
        assert all(one | {"url": ""} == same[0] | {"url": ""} for one in same), same
        try:
            rival = contenders.litellm(home / "litellm.log")
            stack.callback(rival.stop)
            contestants.append(rival)
        except Rejected as reason:
            say(f"!!! LITELLM IS NOT MEASURED. {reason}")
        compare(contestants)
        crowd(contestants[0])
        say(f"\nverify: {manage('verify', environment=environment).splitlines()[-1]}")


def history(postgres: Postgres, home: Path) -> None:
    """A page of a thousand rows and pages of a million, in turns, on one connection."""
    with contextlib.ExitStack() as stack:
        plans = {}
        for rows in (SHORT, LONG):
            environment = stack.enter_context(database(postgres, f"rows{rows}", home))
            program = f"from benchmarks.people import remember; remember({rows}, {min(DEEP, rows // 2)})"
            made = json.loads(manage("shell", "--verbosity=0", "-c", program, environment=environment))
            port, child = contenders.ours(environment, home / f"history{rows}.log")
            stack.callback(child.kill)
            for what, query in (("first page", ""), ("in the middle", f"?after={made['middle']}")):
                plans[rows, what] = Plan(port, [contenders.get(PATH + query, made["key"])], connections=1)
        found: dict[tuple[int, str], list[Report]] = {which: [] for which in plans}
        for _ in range(ROUNDS):
            for which, plan in plans.items():
                found[which].append(load(plan))
        assert not any(report.errors for reports in found.values() for report in reports), found
    say("\n| history, 20 of | | p50 | p99 |\n|---|---|---|---|")
    for (rows, what), reports in found.items():
        say(f"| {rows:,} rows | {what} | {median(reports, 'p50'):.2f} ms | {median(reports, 'p99'):.2f} ms |")
    say("\n| ratio, by round, median | seen | aim | |\n|---|---|---|---|")
    for what in ("first page", "in the middle"):
        pairs = zip(found[LONG, what], found[SHORT, "first page"], strict=True)
        value = statistics.median(a.p50 / b.p50 for a, b in pairs)
        verdict(f"{what} of {LONG:,} / first page of {SHORT:,}", value, DEEPER, least=False)


def main() -> None:
    """Print the tables; ``python -m benchmarks.api calls`` or ``history`` for one of them."""
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("This needs a PostgreSQL server. Install Debian's postgresql package.")
    parts = sys.argv[1:] or ["calls", "history"]
    postgres = Postgres(binaries, **SETTINGS)
    with tempfile.TemporaryDirectory(prefix="kling-bench-") as home:
        try:
            postgres.start()
            say(f"Load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
            for part in parts:
                {"calls": calls, "history": history}[part](postgres, Path(home))
        finally:
            postgres.remove()


if __name__ == "__main__":
    main()
