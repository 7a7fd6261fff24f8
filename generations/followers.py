"""Who goes on when a generation has ended: the storyboards that it is a shot of."""

from __future__ import annotations

import uuid

from django_q.tasks import async_task

from generations.models import Shot, Storyboard


def wake(generation_id: uuid.UUID) -> None:
    """Let those storyboards look at it. In the transaction of its end, so the wake-up is as sure as the end."""
    going = Shot.objects.filter(generation=generation_id, storyboard__status=Storyboard.Status.RUNNING)
    for storyboard_id in going.values_list("storyboard_id", flat=True):
        async_task("generations.film_tasks.advance_storyboard", str(storyboard_id))
