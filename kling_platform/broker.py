"""The queue as the cluster reads it. A database that is away is waited for.

django-q2's own reader ends itself for ten seconds whenever a look into the queue fails, and what is queued waits as
long after the database is back; and it asks before each look whether its line still works.
"""

from __future__ import annotations

import time

from django.db.models import QuerySet
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ

from kling_platform import prepared
from kling_platform.away import AWAY, pause


class Broker(ORM):
    """Of ``Q_CLUSTER``."""

    def enqueue(self, task: str) -> int:
        """Queue what is signed; its id. Each creating call does."""
        queued = OrmQ(key=self.list_key, payload=task, lock=timezone.now())
        prepared.insert(queued)
        return queued.pk

    def dequeue(self) -> list[tuple[int, str]]:
        """The next task, if there is one: its id and what is signed. Waits a little where there is none."""
        try:
            if (task := self._oldest_free()) is None:
                time.sleep(Conf.POLL)
            elif self._claim(task):
                return [(task.pk, task.payload)]
        except AWAY as error:
            pause(error, "the queue waits")
        return []

    def _free(self) -> QuerySet[OrmQ]:
        return OrmQ.objects.filter(key=self.list_key, lock__lt=timezone.now())

    def _oldest_free(self) -> OrmQ | None:
        return self._free().order_by("pk").first()

    def _claim(self, task: OrmQ) -> bool:
        """False when another cluster was faster."""
        return self._free().filter(pk=task.pk).update(lock=self.timeout(task)) == 1
