"""Alarms for operators: a line in the log at once, a number for Prometheus, and a message by a task.

``ring`` is database only, so services and the engine call it inside the transaction of what happened.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Sum
from django.db.models.functions import Now
from django_q.tasks import async_task

from generations.models import Alarm

log = logging.getLogger(__name__)

KEPT = timedelta(days=90)
COUNTED = timedelta(days=1)
MOST_TEXT = 300


@transaction.atomic
def ring(kind: Alarm.Kind, text: str) -> None:
    """Note trouble that an operator should know of. The same words again, before they were told, are counted."""
    text = " ".join(text.split())[:MOST_TEXT]
    log.error("alarm, %s: %s", kind.value, text)
    if _again(kind, text):
        return
    try:
        with transaction.atomic():
            Alarm.objects.create(kind=kind.value, text=text)
    except IntegrityError:  # another process was faster by a moment
        _again(kind, text)
        return
    wake()


def wake() -> None:
    """Something may have to be told. Waking twice is harmless."""
    async_task("generations.alarm_tasks.tell")


def _again(kind: Alarm.Kind, text: str) -> bool:
    same = Alarm.objects.filter(kind=kind.value, text=text, told_at__isnull=True)
    return same.update(times=F("times") + 1, last_at=Now()) == 1


def counts() -> dict[str, int]:
    """How often each kind rang within the last day, zeros included."""
    rows = Alarm.objects.filter(last_at__gt=Now() - COUNTED).order_by().values_list("kind")
    return dict.fromkeys(Alarm.Kind.values, 0) | dict(rows.annotate(Sum("times")))


def forget() -> int:
    """Delete what is long over; how many there were."""
    return Alarm.objects.filter(last_at__lt=Now() - KEPT).delete()[0]
