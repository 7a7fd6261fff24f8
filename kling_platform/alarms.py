"""Alarms for operators: a line in the log at once, a number for Prometheus, and an e-mail by a task.

``ring`` is database only, so services and the engine call it inside the transaction of what happened.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Sum
from django.db.models.functions import Now
from django_q.tasks import async_task

from generations.models import Alarm

log = logging.getLogger(__name__)

# Admins hear of one kind no more often than this; what comes meanwhile is told together.
QUIET = timedelta(hours=1)
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
    async_task("generations.upkeep.tell_admins")


def _again(kind: Alarm.Kind, text: str) -> bool:
    same = Alarm.objects.filter(kind=kind.value, text=text, told_at__isnull=True)
    return same.update(times=F("times") + 1, last_at=Now()) == 1


def untold() -> list[Alarm]:
    """What admins should hear now, by kind and time: kinds of which they heard within the hour wait."""
    lately = Alarm.objects.filter(kind=OuterRef("kind"), told_at__gt=Now() - QUIET)
    rows = Alarm.objects.filter(~Exists(lately), told_at__isnull=True)
    return list(rows.order_by("kind", "first_at"))


def note_told(alarms: Iterable[Alarm]) -> None:
    """They were told. What rings from now on is new."""
    Alarm.objects.filter(pk__in=[alarm.pk for alarm in alarms]).update(told_at=Now())


def counts() -> dict[str, int]:
    """How often each kind rang within the last day, zeros included."""
    rows = Alarm.objects.filter(last_at__gt=Now() - COUNTED).order_by().values_list("kind")
    return dict.fromkeys(Alarm.Kind.values, 0) | dict(rows.annotate(Sum("times")))


def forget() -> int:
    """Delete what is long over; how many there were."""
    return Alarm.objects.filter(last_at__lt=Now() - KEPT).delete()[0]
