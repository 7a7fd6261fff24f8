"""The two usual ways to poll, each as good as it gets, to be measured beside the engine.

They do what the engine does: ask for what is due, read the answer, write progress and the next time.
"""

from __future__ import annotations

import time
from datetime import timedelta

import requests
from django.conf import settings
from django.db.models.functions import Now
from django_q.tasks import async_task

from generations.models import Generation, Status
from generations.omnimaas import client, reader

session = requests.Session()  # kept, and without a look at the environment: faster than requests.get
session.trust_env = False


def gap() -> timedelta:
    """As the engine plans it with these settings."""
    return timedelta(seconds=settings.POLL_MIN_SECONDS + 0.5)


def poll_one(pk: str) -> None:
    """One poll in one task."""
    _poll(Generation.objects.get(pk=pk))


def feed(seconds: float) -> None:
    """Enqueue a task for everything that becomes due; what is queued is not due again before it was polled."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        due = list(Generation.objects.due(Status.RUNNING).values_list("pk", flat=True)[:1_000])
        Generation.objects.filter(pk__in=due).update(next_check_at=Now() + timedelta(days=1))
        for pk in due:
            async_task("benchmarks.rivals.poll_one", str(pk))
        time.sleep(1)


def sweep(seconds: float) -> None:
    """One loop that asks for one after the other, oldest due first."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for row in Generation.objects.due(Status.RUNNING)[:100]:
            _poll(row)
            if time.monotonic() > ends:
                return


def _poll(row: Generation) -> None:
    url = f"{settings.OMNIMAAS_BASE_URL}{client.PATH}/{row.upstream_id}"
    answer = session.get(url, headers={"Authorization": f"Bearer {settings.OMNIMAAS_API_KEY}"}, timeout=20)
    reading = reader.read(answer.json())
    Generation.objects.filter(pk=row.pk).update(
        progress=max(row.progress, reading.progress or 0), next_check_at=Now() + gap()
    )
