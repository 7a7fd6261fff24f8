"""The schedules, by name. One row with bad arguments would stop them all, so code alone makes them."""

from __future__ import annotations

from django.db import transaction
from django_q.models import Schedule

# Name, function, minutes between two starts.
SCHEDULES = {
    "poll": ("generations.tasks.poll", 1),
    "sweep": ("generations.tasks.sweep", 1),
    "deliver": ("generations.deliveries.deliver", 1),
    "alarms": ("generations.alarm_tasks.tell", 1),
    "lapse": ("accounts.tasks.lapse", 1),
    "warn": ("accounts.tasks.warn", 5),
    "news": ("accounts.tasks.mail_news", 1),
    "sum_up": ("generations.tasks.sum_up", 15),
    "verify": ("generations.upkeep.verify", 5),
    "purge": ("generations.upkeep.purge", 10),
    "tidy": ("generations.tasks.tidy", 60),
    "forget_imports": ("accounts.tasks.forget_imports", 60),
    "forget": ("generations.deliveries.forget", 60),
}


@transaction.atomic
def ensure_schedules() -> None:
    """Make every schedule exist, once, as it is written here."""
    for name, (func, minutes) in SCHEDULES.items():
        Schedule.objects.update_or_create(
            name=name,
            defaults={
                "func": func,
                "args": None,
                "kwargs": None,
                "schedule_type": Schedule.MINUTES,
                "minutes": minutes,
                "repeats": -1,
                "cluster": None,
            },
        )
    Schedule.objects.exclude(name__in=SCHEDULES).delete()
