"""R6: whatever upstream's replies look like, none goes uncaught, and none is read as a verdict that it did not give."""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from django.conf import settings as of_django
from django.db.models.functions import Now
from django.utils.module_loading import import_string

from accounts import services as people
from accounts.invariants import ALL
from accounts.invariants import INVARIANTS as OF_ACCOUNTS
from accounts.models import User
from generations.invariants import INVARIANTS as OF_GENERATIONS
from generations.models import OPEN, Generation, Status, Upstream
from tests.makers import ask, submitted
from tests.prove import liar, mutations
from tests.prove.liar import Liar

NEVER = datetime(2999, 1, 1, tzinfo=UTC)
# What a poll's reply may make of a running generation, by what it said before it was spoiled.
AFTER_POLL = {
    "running": {Status.RUNNING},
    "succeeded": {Status.RUNNING, Status.STORING},
    "failed": {Status.RUNNING, Status.FAILED},
}
GET_STATUSES = (*[200] * 20, 201, 202, 204, 302, 400, 404, 408, 418, 429, 500, 502, 503)
# What a POST's reply may make of it: its status and what it said, and never two POSTs.
AFTER_POST: tuple[tuple[int, dict[str, Any] | None, set[str]], ...] = (
    *[(200, None, {Status.RUNNING, Status.UNKNOWN})] * 6,
    (202, None, {Status.RUNNING, Status.UNKNOWN}),
    (500, None, {Status.UNKNOWN}),
    (302, None, {Status.UNKNOWN}),
    (400, {"error": {"message": "too dark", "code": "bad"}}, {Status.FAILED, Status.UNKNOWN}),
    (422, {"code": 1301, "message": "policy"}, {Status.FAILED, Status.UNKNOWN}),
    (429, {"error": {"message": "slow down"}}, {Status.QUEUED, Status.UNKNOWN}),
    (401, {"error": {"message": "bad key"}}, {Status.QUEUED, Status.UNKNOWN}),
)


class Caught(logging.Handler):
    """Every record that carries an exception: something went uncaught to where only a log line was left to do."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[0]:
            self.found.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


def polls(upstream: Liar, dice: random.Random, rows: list[Generation]) -> Counter[str]:
    """Poll each of these running rows, with a spoiled reply; how often each state came of it."""
    said: dict[str, tuple[str, int, bytes]] = {}
    for row in rows:
        verdict, status = dice.choice(list(AFTER_POLL)), dice.choice(GET_STATUSES)
        text = mutations.spoil(dice, mutations.body(dice, verdict))
        said[str(row.upstream_id)] = (verdict, status, text)
        upstream.gets[str(row.upstream_id)] = mutations.framed(dice, status, text)
    asked = Generation.objects.filter(pk__in=[row.pk for row in rows])
    asked.update(next_check_at=Now())
    while asked.filter(polls=0).exists():
        import_string("generations.tasks.poll")(seconds=0.01)
    states: Counter[str] = Counter()
    for row in asked:
        verdict, status, text = said[str(row.upstream_id)]
        allowed = AFTER_POLL[verdict] if 200 <= status < 300 else {Status.RUNNING}
        assert row.status in allowed, f"{verdict} became {row.status}: HTTP {status} {text!r}"
        states[row.status] += 1
    return states


def posts(upstream: Liar, dice: random.Random, user: User, count: int) -> Counter[str]:
    """Send this many, one at a time, each answered by a spoiled reply; how often each state came of it."""
    states: Counter[str] = Counter()
    for _ in range(count):
        row = ask(user, prompt=f"cat {Generation.objects.count()}")
        status, right, allowed = dice.choice(AFTER_POST)
        text = mutations.spoil(dice, right or mutations.created(dice)) if dice.random() < 0.9 else b""
        upstream.posts[row.prompt] = mutations.framed(dice, status, text)
        import_string("generations.tasks.dispatch")()
        row.refresh_from_db()
        assert row.status in allowed, f"{row.status} after HTTP {status} {text!r}"
        assert upstream.posted.count(row.prompt) == 1, "sent once"
        states[row.status] += 1
        _set_aside(row)
    return states


def _set_aside(row: Generation) -> None:
    """The circuit and the cap are not what is shown here; and what is queued again would be sent again."""
    Upstream.objects.update(
        circuit="closed", open_since=None, open_until=None, doubts=0, cap=0, connect_failures=0
    )
    Generation.objects.filter(pk=row.pk, status=Status.QUEUED).update(next_check_at=NEVER)


def show(dice: random.Random, *, gets: int, sends: int, settings: Any) -> str:
    """That many spoiled replies to polls and to POSTs; what came of them."""
    settings.OMNIMAAS_MAX_IN_FLIGHT, settings.POLL_BUDGET, settings.OMNIMAAS_TIMEOUT = 100_000, 10_000, 5
    caught, states = Caught(), Counter[str]()
    user = people.provision(f"listener-{User.objects.count()}", credits=10_000_000).user
    logger = logging.getLogger("generations")
    logger.addHandler(caught)
    try:
        with liar.serve() as upstream:
            settings.OMNIMAAS_BASE_URL, settings.OMNIMAAS_API_KEY = upstream.url, "sk-r6"
            states += posts(upstream, dice, user, sends)
            Generation.objects.filter(status=Status.RUNNING).update(next_check_at=NEVER)
            while gets > 0:
                rows = [submitted(user) for _ in range(min(gets, 100))]
                states += polls(upstream, dice, rows)
                gets -= len(rows)
                Generation.objects.filter(status=Status.RUNNING).update(next_check_at=NEVER)
    finally:
        logger.removeHandler(caught)
    assert not caught.found, caught.found[:3]
    assert not Generation.objects.filter(status__in=OPEN, next_check_at=None).exists()
    for invariant in (*OF_ACCOUNTS, *OF_GENERATIONS):
        assert invariant.breaches(ALL) == [], invariant.name
    return json.dumps(dict(sorted(states.items()))).replace('"', "")


def run(number: int, seed: int) -> str:
    """1,000 mutated replies."""
    states = show(random.Random(f"{seed} {number}"), gets=750, sends=250, settings=of_django)
    print(states)
    return "1,000 mutated replies, 0 uncaught, 0 wrong verdicts"
