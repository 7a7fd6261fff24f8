"""What a load balancer, an orchestrator and Prometheus are told."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.functions import Now
from django.test import Client

from generations import tasks
from generations.models import Upstream
from kling_platform import health

ROOT = Path(__file__).parent.parent


def test_a_living_process_says_so_without_a_database(client: Client) -> None:
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok"}
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.sqlite
@pytest.mark.django_db
def test_it_is_ready_although_no_worker_ever_ran(client: Client) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "database": True, "migrated": True, "worker_age_seconds": None}


@pytest.mark.sqlite
@pytest.mark.django_db
def test_the_workers_age_is_told(client: Client) -> None:
    tasks.beat()
    assert 0 <= client.get("/readyz").json()["worker_age_seconds"] < 5
    Upstream.objects.update(last_beat_at=Now() - timedelta(minutes=10))
    answer = client.get("/readyz")
    assert answer.status_code == 200, "people can still look and queue"
    assert 599 < answer.json()["worker_age_seconds"] < 605


@pytest.mark.django_db
def test_it_is_not_ready_with_a_pending_migration(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_migrated", False)
    MigrationRecorder.Migration.objects.filter(app="generations").delete()
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["migrated"] is False


def test_it_is_not_ready_without_a_database(tmp_path: Path) -> None:
    script = """
import django; django.setup()
from django.test import Client
for path in ("/readyz", "/healthz"):
    answer = Client().get(path, headers={"host": "localhost"})
    print(answer.status_code, answer.json()["status"])
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "kling_platform.settings",
            "VAR_DIR": str(tmp_path),
            "DATABASE_URL": f"postgresql://nobody@/nothing?host={tmp_path}",
        },
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.stdout.splitlines() == ["503 unavailable", "200 ok"], done.stderr


@pytest.mark.sqlite
@pytest.mark.django_db
def test_prometheus_reads_the_numbers_from_this_machine(client: Client) -> None:
    tasks.beat()
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    text = answer.content.decode()
    assert text.endswith("\n")
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert samples['kling_generations_open{status="queued"}'] == "0"
    assert samples["kling_upstream_circuit_open"] == "0"
    assert float(samples["kling_worker_age_seconds"]) < 5
    assert all(float(value) >= 0 for value in samples.values())


@pytest.mark.django_db
@pytest.mark.parametrize(
    "request_from",
    [
        {"REMOTE_ADDR": "203.0.113.7"},
        {"HTTP_X_FORWARDED_FOR": "203.0.113.7"},
        {"HTTP_FORWARDED": "for=203.0.113.7"},
        {"HTTP_AUTHORIZATION": "Bearer wrong"},
    ],
)
def test_strangers_do_not_see_the_numbers(
    client: Client, settings: Any, request_from: dict[str, str]
) -> None:
    settings.METRICS_TOKEN = "right"
    assert client.get("/metrics", **request_from).status_code == 403


@pytest.mark.django_db
def test_the_token_opens_the_numbers_from_anywhere(client: Client, settings: Any) -> None:
    settings.METRICS_TOKEN = "right"
    answer = client.get("/metrics", REMOTE_ADDR="203.0.113.7", HTTP_AUTHORIZATION="Bearer right")
    assert answer.status_code == 200


@pytest.mark.django_db
def test_an_empty_token_opens_nothing(client: Client, settings: Any) -> None:
    settings.METRICS_TOKEN = ""
    assert client.get("/metrics", REMOTE_ADDR="203.0.113.7", HTTP_AUTHORIZATION="Bearer ").status_code == 403


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_nobody_can_post_there(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405
