"""R14: after a long downtime everybody is asked in turn, within the budget, and nobody is given up unasked.

The budget bounds what is *sent* in any second, wherever it begins; how the network and a busy upstream bunch what
arrives is not ours to promise, and told beside it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from django.conf import settings as of_django
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.utils.module_loading import import_string

from accounts.models import User
from generations.models import Generation, Status
from generations.services import paces
from generations.services.sweep import BATCH
from tests import polled
from tests.makers import make_user, submitted

KEY = "sk-r14"
AGE = timedelta(hours=30)  # five more than the limit
MIN_SECONDS = 2.0


def overdue(user: User, count: int) -> None:
    """Running rows that nobody has asked about for hours, made from one that went the whole way."""
    first = submitted(user)
    recipe = {
        name: getattr(first, name) for name in ("user_id", "model", "seconds", "size", "mode", "prompt")
    }
    since = first.submitted_at - AGE
    Generation.objects.bulk_create(
        [
            Generation(
                **recipe,
                price=0,
                status=Status.RUNNING,
                upstream_id=f"id-{number}",
                submitted_at=since,
                polled_at=since + timedelta(hours=20),
                next_check_at=since + timedelta(hours=20, milliseconds=number),
            )
            for number in range(count)
        ],
        batch_size=1_000,
    )
    Generation.objects.filter(pk=first.pk).update(next_check_at=Now() + timedelta(days=1))


def catch_up(*, count: int, budget: int, loops: int, settings: Any) -> str:
    """Let several loops work off what is overdue while the sweep looks for what is too old; upstream judges."""
    paces.forget()
    settings.POLL_BUDGET, settings.POLL_MIN_SECONDS, settings.OMNIMAAS_API_KEY = budget, MIN_SECONDS, KEY
    overdue(make_user(f"patient-{User.objects.count()}"), count)
    over = threading.Event()
    with polled.serve() as upstream, polled.sending() as sent, ThreadPoolExecutor(loops) as pool:
        settings.OMNIMAAS_BASE_URL = upstream.url
        import_string("generations.dispatch.fence")(same_account=True)
        poll = import_string("generations.tasks.poll")
        running = [pool.submit(_closing, _again, poll, over) for _ in range(loops)]
        try:
            _watch(upstream, count)
        finally:
            over.set()
        for one in running:
            one.result(60)
    for _ in range(math.ceil(count / BATCH)):
        Generation.objects.filter(status=Status.RUNNING).update(
            polled_at=F("polled_at") - timedelta(minutes=1)
        )
        parked = _sweep_and_judge(upstream)
    assert parked == count, "and then they are"
    assert len(sent) == len(upstream.asked)
    fullest = polled.most_within(1, sent)
    assert fullest <= budget, f"{fullest} sent in a second"
    assert upstream.shortest_gap() >= MIN_SECONDS, f"asked again after {upstream.shortest_gap()} s"
    assert not Generation.objects.filter(status__in=[Status.FAILED, Status.CANCELED]).exists()
    return (
        f"{count} overdue, {len(upstream.asked)} polls, at most {fullest} of {budget} sent in a second, "
        f"{upstream.most_in_a_second()} seen, "
        f"two of one generation at least {min(upstream.shortest_gap(), 999):.1f} s apart, none given up unasked"
    )


def _watch(upstream: polled.Polled, count: int) -> None:
    """Until everybody has been asked about."""
    ends = time.monotonic() + 600
    while len({id for _at, id in list(upstream.asked)}) < count:
        assert time.monotonic() < ends, "not over after ten minutes"
        _sweep_and_judge(upstream)
        time.sleep(0.5)


def _again(poll: Callable[..., int], over: threading.Event) -> None:
    """One loop after another, as the minute schedule starts them; each takes the lane from the other."""
    while not over.is_set():
        poll(seconds=3)


def _sweep_and_judge(upstream: polled.Polled) -> int:
    """The sweep may park those that are too old; each of them has been asked about by then. How many there are."""
    import_string("generations.tasks.sweep")()
    parked = set(Generation.objects.filter(status=Status.UNKNOWN).values_list("upstream_id", flat=True))
    unasked = parked - {id for _at, id in list(upstream.asked)}
    assert not unasked, f"{len(unasked)} were given up without a fresh poll"
    return len(parked)


def _closing(function: Callable[..., None], *arguments: Any) -> None:
    try:
        function(*arguments)
    finally:
        connection.close()


def run(number: int, seed: int) -> str:
    return catch_up(count=5_000, budget=50, loops=2, settings=of_django)
