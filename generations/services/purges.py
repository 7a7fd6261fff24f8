"""The end of content: what was deleted is purged after seven days, and what leavers made.

Files are removed by a task (they may lie in a storage elsewhere), and only then forgotten here: killed between
the two, it removes nothing twice. Events, ledger and the row itself stay.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from accounts import services as people
from accounts.models import User
from generations import news
from generations.models import (
    TERMINAL,
    Collection,
    Favourite,
    Generation,
    InputImage,
    Preset,
    ShareLink,
    Status,
    Storyboard,
    Tag,
    Video,
    WebhookEndpoint,
)
from generations.services.requests import UNDO_DELETE, cancel
from generations.services.storyboards import delete_storyboard
from generations.services.webhooks import remove_webhook
from kling_platform.errors import Forbidden, WrongState

# Nobody can bring it back any more, not even a request that began in time.
MARGIN = timedelta(hours=1)
BATCH = 200


@dataclass(frozen=True)
class PurgeDue:
    """A generation whose content goes, and the names of its files in the storage."""

    generation_id: uuid.UUID
    files: tuple[str, ...]


def due_purges() -> list[PurgeDue]:
    """The longest deleted ones that nobody can bring back any more; of those who left, all."""
    over = Q(deleted_at__lt=Now() - UNDO_DELETE - MARGIN) | Q(user__retired_at__isnull=False)
    rows = Generation.objects.filter(over, deleted_at__isnull=False, purged_at__isnull=True)
    found = rows.order_by("deleted_at").select_related("video").prefetch_related("images")[:BATCH]
    return [PurgeDue(row.pk, _files(row)) for row in found]


def _files(generation: Generation) -> tuple[str, ...]:
    video: Video | None = getattr(generation, "video", None)
    stored = [video.file.name, video.poster.name, video.last_frame.name] if video else []
    return tuple(name for name in (*stored, *(image.file.name for image in generation.images.all())) if name)


@transaction.atomic
def record_purged(due: PurgeDue) -> bool:
    """The files are gone: forget them, and the words. False when somebody was faster."""
    rows = Generation.objects.filter(pk=due.generation_id, purged_at__isnull=True, deleted_at__isnull=False)
    words = dict.fromkeys(("prompt", "error_message", "result_url", "upstream_reply"), "")
    if not rows.update(purged_at=Now(), metadata={}, **words):
        return False
    Video.objects.filter(generation_id=due.generation_id).delete()
    InputImage.objects.filter(generation_id=due.generation_id).delete()
    owner = Generation.objects.filter(pk=due.generation_id).values_list("user", flat=True)
    people.forget_notices(owner, link=news.path_of(due.generation_id))
    ShareLink.objects.filter(generation_id=due.generation_id).delete()
    return True


# --- leavers ----------------------------------------------------------------


@transaction.atomic
def retire_user(user: User, *, actor: User, reason: str) -> int:
    """Somebody leaves, for good. Sessions, keys and webhooks end at once, queued generations are canceled; what
    is in the making is followed to its end, then all content is purged and a pseudonym takes the name's place.

    Returns how many were canceled. Only an admin may; ``WrongState`` for oneself.
    """
    if actor.role != User.Role.ADMIN or not actor.is_active:
        raise Forbidden(_("Only an admin may retire somebody."))
    if not people.close_account(user, actor=actor, reason=reason):
        return 0
    for endpoint in WebhookEndpoint.objects.filter(user=user, deleted_at__isnull=True):
        remove_webhook(endpoint)
    canceled = 0
    for waiting in Generation.objects.filter(user=user, status=Status.QUEUED):
        try:
            cancel(waiting, actor=actor)
            canceled += 1
        except WrongState:  # it was sent at this moment, and is followed to its end
            continue
    async_task("generations.upkeep.purge")
    return canceled


def hide_content_of_leavers() -> int:
    """What leavers' generations came to goes with them as soon as it is over; how many."""
    over = Generation.objects.filter(
        user__retired_at__isnull=False, deleted_at__isnull=True, status__in=TERMINAL
    )
    return over.update(deleted_at=Now())


def forget_leavers() -> int:
    """Delete leavers' plans; a pseudonym for those of whom nothing is left but the ledger. How many of these."""
    forgotten = 0
    for user in people.retired_users():
        for resting in Storyboard.objects.filter(user=user, due_at__isnull=True):
            delete_storyboard(resting)
        content = Generation.objects.filter(user=user, purged_at__isnull=True)
        if not content.exists() and not Storyboard.objects.filter(user=user).exists():
            for own in (Tag, Collection, Preset, Favourite):
                own.objects.filter(user=user).delete()
            people.forget_name(user)
            forgotten += 1
    return forgotten
