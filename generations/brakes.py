"""A batch that fails too often pauses itself, before it has tried everything."""

from __future__ import annotations

import uuid

from django.db.models import Q
from django.db.models.functions import Now

from generations.models import Batch, Generation, Status

# One failure among one is no rate yet: those that are over count as so many at least.
LEAST = 5


def pull(generation_id: uuid.UUID) -> bool:
    """Pause the batch of a generation that has just failed, if its failures have passed the rate.

    To be called in the failure's transaction, before credits move. Failures of one batch wait for each other
    here, so the one that passes the rate sees all before it. Returns whether the batch was paused now.
    """
    braked = Batch.objects.filter(
        generations=generation_id, stop_at_failure_rate__isnull=False, paused_at__isnull=True
    )
    batch = braked.select_for_update(no_key=True, of=("self",)).first()
    if batch is None or batch.stop_at_failure_rate is None:
        return False
    since = Q(finished_at__gte=batch.counted_from) if batch.counted_from else Q()
    ends = Generation.objects.filter(since, batch=batch, status__in=[Status.FAILED, Status.SUCCEEDED])
    over = list(ends.values_list("status", flat=True))
    if over.count(Status.FAILED) <= batch.stop_at_failure_rate * max(len(over), LEAST):
        return False
    return Batch.objects.filter(pk=batch.pk, paused_at__isnull=True).update(paused_at=Now()) == 1
