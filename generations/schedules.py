"""The schedules, by name. One row with bad arguments would stop them all, so code alone makes them."""

from __future__ import annotations

from django.db import transaction
from django_q.models import Schedule

SCHEDULES = {
    "poll": "generations.tasks.poll",
    "sweep": "generations.tasks.sweep",
}


@transaction.atomic
def ensure_schedules() -> None:
    """Make every schedule exist, once, as it is written here; all run every minute."""
    for name, func in SCHEDULES.items():
        Schedule.objects.update_or_create(
            name=name,
            defaults={
                "func": func,
                "args": None,
                "kwargs": None,
                "schedule_type": Schedule.MINUTES,
                "minutes": 1,
                "repeats": -1,
                "cluster": None,
            },
        )
    Schedule.objects.exclude(name__in=SCHEDULES).delete()
