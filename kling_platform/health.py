"""Whether the process lives, whether it may be sent requests, and its numbers for Prometheus."""

from __future__ import annotations

import hmac
from typing import NamedTuple

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Count
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_q.models import OrmQ

from generations.models import OPEN, Generation, Upstream
from kling_platform import alarms

_migrated = False  # once nothing is pending, nothing will be as long as this code runs


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers at all; asks nothing of anybody else."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200, or 503 without database or with pending migrations.

    The worker's age (seconds since its last beat, null before the first) is told, and decides nothing:
    without a worker people can still sign in, look and queue.
    """
    state: dict[str, object] = {
        "status": "ok",
        "database": True,
        "migrated": True,
        "worker_age_seconds": None,
    }
    try:
        state["migrated"] = is_migrated()
        state["worker_age_seconds"] = worker_age() if state["migrated"] else None
    except DatabaseError:
        connection.close()  # the next look shall try a new one
        state["database"] = state["migrated"] = False
    if not state["migrated"]:
        state["status"] = "unavailable"
    return JsonResponse(state, status=200 if state["migrated"] else 503)


def worker_age() -> float | None:
    """Seconds since a worker last ran a beat, by the database's clock; None when none ever did."""
    row = Upstream.objects.filter(last_beat_at__isnull=False).values_list("last_beat_at", Now()).first()
    return round((row[1] - row[0]).total_seconds(), 1) if row else None


def is_migrated() -> bool:
    """Whether the database has every migration of this code; raises DatabaseError without one."""
    global _migrated
    if not _migrated:
        executor = MigrationExecutor(connection)
        _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    else:
        connection.ensure_connection()
    return _migrated


class Number(NamedTuple):
    """One gauge in Prometheus' words; ``samples`` maps labels, as they are written, to values."""

    name: str
    help: str
    samples: dict[str, float]


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format 0.0.4, for this machine or with ``Authorization: Bearer METRICS_TOKEN``."""
    if not _may_see_metrics(request):
        return HttpResponse(
            "From this machine only, or with METRICS_TOKEN as a Bearer token.\n",
            status=403,
            content_type="text/plain; charset=utf-8",
        )
    lines = []
    for number in _numbers():
        lines += [f"# HELP {number.name} {number.help}", f"# TYPE {number.name} gauge"]
        lines += [f"{number.name}{labels} {value:g}" for labels, value in number.samples.items()]
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4; charset=utf-8")


def _may_see_metrics(request: HttpRequest) -> bool:
    given = request.headers.get("Authorization", "")
    if settings.METRICS_TOKEN and given:
        return hmac.compare_digest(given.encode(), f"Bearer {settings.METRICS_TOKEN}".encode())
    # Behind a proxy on this machine everybody comes from loopback; the proxy says that it is one.
    forwarded = "X-Forwarded-For" in request.headers or "Forwarded" in request.headers
    return request.META.get("REMOTE_ADDR") in ("127.0.0.1", "::1") and not forwarded


def _numbers() -> list[Number]:
    """A handful of cheap questions: the finished rows, which may be millions, are never counted."""
    by_status = dict.fromkeys(OPEN, 0) | dict(
        Generation.objects.filter(status__in=OPEN).values_list("status").annotate(Count("pk"))
    )
    due = Generation.objects.filter(status__in=OPEN).order_by("next_check_at")
    first = due.values_list("next_check_at", Now()).first()
    overdue = max(0.0, (first[1] - first[0]).total_seconds()) if first else 0.0
    upstream = Upstream.objects.first() or Upstream()
    age = worker_age()
    return [
        Number(
            "kling_generations_open",
            "Generations that are not finished, by status.",
            {f'{{status="{status}"}}': count for status, count in by_status.items()},
        ),
        Number("kling_overdue_seconds", "How late the most overdue generation is.", {"": overdue}),
        Number("kling_tasks_queued", "Tasks waiting or running.", {"": OrmQ.objects.count()}),
        Number(
            "kling_worker_age_seconds",
            "Seconds since a worker last ran a beat.",
            {} if age is None else {"": age},
        ),
        Number("kling_upstream_cap", "How many generations may be in flight now.", {"": upstream.cap}),
        Number(
            "kling_upstream_circuit_open",
            "1 while nothing is submitted, because upstream failed.",
            {"": float(upstream.circuit != Upstream.Circuit.CLOSED)},
        ),
        Number(
            "kling_alarms",
            "Alarms of the last 24 hours, by kind.",
            {f'{{kind="{kind}"}}': count for kind, count in alarms.counts().items()},
        ),
    ]
