"""What people are told of their videos' ends: one notice for each, and one for all that were asked for together."""

from __future__ import annotations

import uuid

from django.db.models import Count, Exists, OuterRef
from django.utils.text import Truncator

from accounts import services as people
from accounts.models import Notice
from generations.models import OPEN, Batch, Generation, Shot, Status, Storyboard

# Of a canceled one nobody is told: a person has just done that.
KINDS = {Status.SUCCEEDED: Notice.Kind.DONE, Status.FAILED: Notice.Kind.FAILED}
# A notice keeps so many characters of a prompt.
WORDS = 120


def tell(generation_id: uuid.UUID, status: str) -> None:
    """Tell the owner that this generation has ended; in the transaction of its end, before credits move.

    Not of what a key asked for (its program hears by webhook), and not of a storyboard's shots (its film is told).
    """
    if status not in KINDS:
        return
    rows = Generation.objects.filter(pk=generation_id, api_key__isnull=True)
    told = rows.exclude(Exists(Shot.objects.filter(generation=OuterRef("pk")))).select_related("user")
    generation = told.only("prompt", "batch", "user").first()
    if generation is None:
        return
    if generation.batch_id:
        _tell_of_batch(generation, generation.batch_id)
        return
    link = path_of(generation_id)
    people.notify([generation.user], KINDS[Status(status)], link=link, prompt=_words(generation.prompt))


def _tell_of_batch(generation: Generation, batch_id: uuid.UUID) -> None:
    """Tell of the whole, by the one that ends last."""
    # Ends of one batch wait for each other here, so the last one sees all before it.
    batch = Batch.objects.select_for_update(no_key=True).get(pk=batch_id)
    rows = Generation.objects.filter(batch=batch).order_by().values_list("status")
    counts = dict(rows.annotate(Count("pk")))
    if any(status in OPEN for status in counts):
        return
    done, asked = counts.get(Status.SUCCEEDED, 0), sum(counts.values())
    people.notify(
        [generation.user],
        Notice.Kind.DONE if done else Notice.Kind.FAILED,
        link=f"/matrix/{batch.pk}",
        name=_words(batch.name or generation.prompt),
        done=done,
        asked=asked,
        **{"as": "batch" if done == asked else "batch_part"},
    )


def tell_of_film(storyboard_id: uuid.UUID, *, halted: bool = False) -> None:
    """The film is ready, or its storyboard can't go on by itself."""
    storyboard = Storyboard.objects.select_related("user").get(pk=storyboard_id)
    people.notify(
        [storyboard.user],
        Notice.Kind.FAILED if halted else Notice.Kind.DONE,
        link=f"/storyboards/{storyboard_id}",
        title=storyboard.title,
        **{"as": "halted" if halted else "film"},
    )


def path_of(generation_id: uuid.UUID) -> str:
    """Where a notice about this generation leads to."""
    return f"/g/{generation_id}"


def _words(text: str) -> str:
    return Truncator(" ".join(text.split())).chars(WORDS)
