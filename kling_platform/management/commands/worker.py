"""``manage.py worker``: a django-q2 cluster, and somebody who watches that it really works.

A cluster can freeze for good and still call itself ready (kill -9 of the idle task process that holds
the queue's lock). So a beat goes through the queue every 15 seconds; when none has come out for a
minute, the cluster's whole process group is killed and started anew. A killed main process leaves
orphans that keep working: they go with the group as well.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection
from django_q.tasks import async_task

from generations import services
from generations.models import Alarm, Worker
from generations.schedules import ensure_schedules
from kling_platform import alarms
from kling_platform.health import is_migrated, worker_age
from kling_platform.supervisor import Child, StopSignal, stop

BEAT_EVERY = 15.0  # seconds
FROZEN_AFTER = 60.0  # seconds without a beat
LOOK_EVERY = 1.0  # seconds
PAUSE = 5.0  # seconds before a cluster that ended at once is started again
DRAIN = 80  # seconds: a POST has its 60 s and a little more; service managers wait 90 by default

logger = logging.getLogger(__name__)


class Watch:
    """Keeps one cluster alive; ``look`` is called every second or so."""

    def __init__(self, cluster: Child) -> None:
        self.cluster = cluster
        self.restarts = 0
        self.worker = Worker(host=socket.gethostname(), pid=os.getpid())
        self._polls = False  # whether a poll loop was queued, and the database has not been away since
        # Monotonic seconds, all three.
        self._next_beat = 0.0
        self._last_sign = 0.0
        self._start_at = 0.0

    def look(self) -> None:
        """Start the cluster when it is not there, send a beat when one is due, end it when it is frozen."""
        now = time.monotonic()
        if not self.cluster.alive:
            if now >= self._start_at:
                self._start(now)
            return
        silence = self._silence(now)
        if silence is None:
            self._polls = False  # its loop ended with its line; the next need not wait for the minute
        elif not self._polls:
            self._polls = enqueue("generations.tasks.poll")
        if now >= self._next_beat:
            self._next_beat = now + BEAT_EVERY
            enqueue("generations.tasks.beat")
            self._sign()
        if (status := self.cluster.poll()) is not None:
            self._end(now, f"its main process ended with status {status}")
        elif silence is not None and silence > FROZEN_AFTER:
            self._end(now, f"no beat for {FROZEN_AFTER:.0f} s")

    def _start(self, now: float) -> None:
        self.cluster.start()
        self._next_beat, self._last_sign = now, now
        self._polls = enqueue("generations.tasks.poll")

    def _end(self, now: float, reason: str) -> None:
        """Kill the whole group; the next ``look`` starts it anew, a little later if it lived only shortly."""
        self.restarts += 1
        ring(reason)
        lived = now - self.cluster.started
        self.cluster.kill()
        self._start_at = now + (0 if lived > FROZEN_AFTER else PAUSE)

    def _sign(self) -> None:
        """Say that this worker is there; the beat says that some cluster is."""
        self.worker.restarts = self.restarts
        try:
            services.worker_seen(self.worker)
        except DatabaseError as error:
            connection.close()
            logger.warning("no sign of life could be left: %s", error)

    def sign_off(self) -> None:
        """It ends as it should."""
        with contextlib.suppress(DatabaseError):
            services.worker_gone(self.worker.pk)

    def _silence(self, now: float) -> float | None:
        """Seconds since the last beat, or since the cluster started or the database came back; None: it is away.

        Asked before anything else is: a task is queued on a new line where the old one has died, and nobody would know.
        """
        try:
            age = worker_age()
        except DatabaseError:  # without it nobody can beat, and a new cluster would not help
            connection.close()
            self._last_sign = now
            return None
        if age is not None:
            self._last_sign = max(self._last_sign, now - age)
        return now - self._last_sign


def enqueue(task: str) -> bool:
    """Queue a task. False, and told, when the database is away: the next look is soon."""
    try:
        async_task(task)
    except DatabaseError as error:
        connection.close()
        logger.warning("%s could not be queued: %s", task, error)
        return False
    return True


def ring(reason: str) -> None:
    """Tell operators that a cluster was started anew; without a database in the log alone."""
    text = f"on {socket.gethostname()}: {reason}"
    try:
        alarms.ring(Alarm.Kind.WORKER, text)
    except DatabaseError as error:
        connection.close()
        logger.error("the cluster is started anew, %s; no alarm could be noted: %s", text, error)


class Command(BaseCommand):
    help = "Submits, polls and stores: runs the task cluster and starts it anew when it dies or freezes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--drain", type=int, default=DRAIN, help=f"seconds that tasks get to end (default {DRAIN})"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until SIGTERM or SIGINT; then let the running tasks end, up to ``--drain`` seconds."""
        signals = StopSignal()
        self._prepare()
        cluster = Child("cluster", [sys.executable, Path(settings.BASE_DIR, "manage.py"), "qcluster"])
        watch = Watch(cluster)
        try:
            watch.look()
            self.stdout.write("The worker runs.")
            while not signals.wait(LOOK_EVERY):
                watch.look()
            self.stdout.write("The worker lets its tasks end.")
        finally:
            stop([cluster], options["drain"])
            watch.sign_off()

    def _prepare(self) -> None:
        """Refuse in one line what would fail in every task."""
        try:
            migrated = is_migrated()
        except DatabaseError as error:
            raise CommandError(f"The database cannot be reached: {error}") from None
        if not migrated:
            raise CommandError("The database lacks migrations: run manage.py migrate first.")
        ensure_schedules()
