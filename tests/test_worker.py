"""The worker keeps a cluster that works, and lets it end in peace."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.db.models.functions import Now
from django_q.models import OrmQ, Schedule
from django_q.tasks import async_task

from generations import dispatch
from generations.models import Generation, Upstream
from kling_platform.management.commands import worker
from kling_platform.supervisor import Child
from tests import polled
from tests.makers import make_user, submitted
from tests.processes import living, wait_until
from tests.prove import r10
from tests.prove.r24 import freeze
from tests.surroundings import environment_of_this_test

ROOT = Path(__file__).parent.parent


@pytest.fixture
def watch(db: None) -> Iterator[worker.Watch]:
    """A watch over a cluster that does nothing at all."""
    cluster = Child("cluster", ["sleep", "300"])
    yield worker.Watch(cluster)
    cluster.kill()


def set_last_beat(seconds_ago: float) -> None:
    Upstream.objects.update_or_create(pk=1, defaults={"last_beat_at": Now() - timedelta(seconds=seconds_ago)})


def look_for(watch: worker.Watch, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        watch.look()
        time.sleep(0.05)


@pytest.mark.sqlite
def test_a_silent_cluster_is_killed_and_started_anew(
    watch: worker.Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "FROZEN_AFTER", 0.5)
    monkeypatch.setattr(worker, "PAUSE", 0.2)
    set_last_beat(3600)
    watch.look()
    first = watch.cluster.pid
    look_for(watch, 1.0)
    assert watch.restarts >= 1
    assert watch.cluster.pid != first
    assert not living(session=first)


@pytest.mark.sqlite
def test_a_cluster_that_beats_is_left_alone(watch: worker.Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "FROZEN_AFTER", 0.5)
    watch.look()
    first = watch.cluster.pid
    for _ in range(20):
        set_last_beat(0)
        look_for(watch, 0.1)
    assert (watch.restarts, watch.cluster.pid) == (0, first)


def test_a_cluster_that_ends_at_once_is_not_started_all_the_time(watch: worker.Watch) -> None:
    watch.cluster.command = ["false"]
    look_for(watch, 2.0)
    assert watch.restarts == 1


@pytest.mark.sqlite
def test_the_first_look_queues_a_poll_loop_and_the_second_a_beat(watch: worker.Watch) -> None:
    watch.look()
    watch.look()
    watch.look()
    assert [row.func() for row in OrmQ.objects.order_by("pk")] == [
        "generations.tasks.poll",
        "generations.tasks.beat",
    ]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_frozen_cluster_is_started_anew_and_works_on(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R24 in small. Two starts of a real cluster: nothing less can freeze."""
    command = [sys.executable, ROOT / "manage.py", "qcluster"]
    environment = environment_of_this_test(settings)
    cluster = Child("cluster", command, env=environment, log=tmp_path / "cluster.log")
    watch, done = worker.Watch(cluster), tmp_path / "done"
    monkeypatch.setattr(worker, "BEAT_EVERY", 0.5)
    monkeypatch.setattr(worker, "FROZEN_AFTER", 1e9)

    def look_until(condition: Callable[[], object]) -> None:
        wait_until(lambda: watch.look() or condition(), 90)

    try:
        look_until(Upstream.objects.filter(last_beat_at__isnull=False).exists)
        while not freeze(cluster.pid):
            cluster.kill()
            Upstream.objects.update(last_beat_at=None)
            look_until(Upstream.objects.filter(last_beat_at__isnull=False).exists)
        # The frozen one still takes tasks into its hand, and nobody gets those from there before their ``retry``.
        for _number in range(settings.Q_CLUSTER["queue_limit"] + settings.Q_CLUSTER["bulk"]):
            async_task("generations.tasks.beat")
        async_task("tests.slow.write_later", str(done), 0)
        monkeypatch.setattr(worker, "FROZEN_AFTER", 1.0)
        look_until(lambda: watch.restarts)
        assert not done.exists()
        monkeypatch.setattr(worker, "FROZEN_AFTER", 1e9)
        look_until(done.exists)
    finally:
        cluster.kill()


@pytest.fixture
def running(transactional_db: None, settings: Any, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real worker process with a real cluster on this test's database."""
    log = (tmp_path / "worker.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, ROOT / "manage.py", "worker", "--drain", "15"],
        cwd=ROOT,
        env=environment_of_this_test(settings),
        stdout=log,
        stderr=log,
    )
    yield process
    process.kill()
    process.wait()
    wait_until(lambda: not living(mark=f"VAR_DIR={tmp_path}\0"), 20)  # its children die with it


@pytest.mark.long
@pytest.mark.sqlite
def test_a_real_worker_beats_and_lets_its_tasks_end(running: subprocess.Popen[bytes], tmp_path: Path) -> None:
    wait_until(lambda: Upstream.objects.filter(last_beat_at__isnull=False).exists(), 90)
    assert set(Schedule.objects.values_list("name", flat=True)) >= {"poll", "sweep"}
    ended = tmp_path / "ended"
    async_task("tests.slow.write_later", str(ended), 2)
    wait_until((tmp_path / "ended.began").exists, 20)
    assert len(living(mark=f"VAR_DIR={tmp_path}\0")) > 5, "worker, watcher, main, sentinel and so on"
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 0, (tmp_path / "worker.log").read_text()
    assert ended.exists(), "the task was cut off"
    assert not living(mark=f"VAR_DIR={tmp_path}\0")


@pytest.mark.long
@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_polls_go_on_when_the_database_is_back(settings: Any, tmp_path: Path) -> None:
    """Slow: a server of its own, with which it may do what it likes, and a real cluster that loses its lines."""
    settings.VAR_DIR, settings.OMNIMAAS_API_KEY = tmp_path, "sk-of-the-worker-tests"
    with polled.serve() as upstream, r10.database() as server:
        settings.OMNIMAAS_BASE_URL = upstream.url
        dispatch.fence(same_account=True)
        submitted(make_user("alice"))
        with r10.cluster(settings, tmp_path):
            Schedule.objects.all().delete()  # the minute's loop would go on as well, in its time
            Generation.objects.update(next_check_at=Now())
            wait_until(lambda: upstream.asked, 60)
            server.stop(signal.SIGQUIT)
            connections.close_all()
            log = tmp_path / "worker.log"
            wait_until(lambda: "the queue waits for the database" in log.read_text(), 30)
            server.start()
            asked = len(upstream.asked)
            Generation.objects.update(next_check_at=Now())
            print(f"again after {wait_until(lambda: len(upstream.asked) > asked, 30):.1f} s")
            assert "reincarnated pusher" not in log.read_text(), "it waits for as long as ten seconds"
