"""R13: half an hour without upstream costs a handful of doubts, no failure, and nothing after it."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings as of_django
from django.utils.module_loading import import_string

from accounts import services as people
from accounts.models import User
from generations.models import OPEN, Generation, Status
from generations.omnimaas.sandbox import SandboxServer
from tests import crashes
from tests.makers import ask
from tests.prove.outage import pass_time, proxy

KEY = "sk-r13"
# Half a minute at a time, so that a circuit which opens for five seconds to a minute is tried again each time.
STEP = timedelta(seconds=30)
MOST_DOUBTS = 4


def survive(*, queued: int, minutes: int, seed: int, settings: Any) -> str:
    """An outage of so many simulated minutes that begins while upstream is at work; what was left of it."""
    user = people.provision(f"patient-{User.objects.count()}", credits=10_000_000).user
    settings.POLL_MIN_SECONDS, settings.POLL_BUDGET = 0, 1_000
    with (
        tempfile.TemporaryDirectory() as home,
        SandboxServer(Path(home, "sandbox"), key=KEY, speed=200, scale=0.125) as sandbox,
        proxy(int(sandbox.url.rpartition(":")[2]), seed) as line,
    ):
        settings.OMNIMAAS_BASE_URL, settings.OMNIMAAS_API_KEY = line.url, KEY
        settings.EGRESS_ALLOW = frozenset({line.url.removeprefix("http://")})
        running = [ask(user, prompt="cat [slow=1]") for _ in range(5)]
        import_string("generations.tasks.dispatch")()
        rows = [ask(user, prompt="cat") for _ in range(queued)]
        line.down = True
        for _ in range(int(timedelta(minutes=minutes) / STEP)):
            for task in ("sweep", "dispatch"):
                import_string(f"generations.tasks.{task}")()
            import_string("generations.tasks.poll")(seconds=0.01)
            pass_time(STEP)
        posted = len(sandbox.journal())
        assert posted == len(running), "upstream heard nothing"
        during = Counter(Generation.objects.values_list("status", flat=True))
        assert set(during) <= {Status.QUEUED, Status.RUNNING, Status.UNKNOWN}, during
        assert during[Status.UNKNOWN] <= MOST_DOUBTS, during
        assert during[Status.RUNNING] == len(running), during
        line.down = False
        _finish()
        after = Counter(Generation.objects.values_list("status", flat=True))
        doubts = after[Status.UNKNOWN]
        assert doubts == during[Status.UNKNOWN], f"{during}, then {after}"
        assert after == {Status.SUCCEEDED: len(rows) + len(running) - doubts, Status.UNKNOWN: doubts}, after
        crashes.judge(sandbox.journal())
    return f"{queued} queued, {minutes} minutes, {doubts} new unknowns, 0 failed, all others done"


def _finish(rounds: int = 500) -> None:
    """Let the engine run, a step of time after the other, until nothing more can happen."""
    waiting = Generation.objects.filter(status__in=OPEN).exclude(status=Status.UNKNOWN)
    for _ in range(rounds):
        import_string("generations.tasks.sweep")()
        crashes.run_queued()
        import_string("generations.tasks.poll")(seconds=0.01)
        if not waiting.exists():
            return
        pass_time(STEP)
    raise AssertionError(f"not over: {Counter(waiting.values_list('status', flat=True))}")


def run(number: int, seed: int) -> str:
    return survive(queued=200, minutes=30, seed=seed + number, settings=of_django)
