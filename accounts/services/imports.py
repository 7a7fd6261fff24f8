"""A table of people that was looked at and confirmed: handed to a task, done as a whole or not at all.

A thousand letters and accounts are too much for one request, and what is true for many is true for few: there
is one way.
"""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now
from django.utils import translation
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from accounts import rosters
from accounts.models import LOST_AFTER, PeopleImport, User
from accounts.services.importing import CHANGED, NEW, apply_import
from kling_platform import origin
from kling_platform.errors import NotFound, PlatformError, WrongState

KEPT = timedelta(days=1)

State, Error = PeopleImport.State, PeopleImport.Error


@transaction.atomic
def begin_import(text: str, *, digest: str, actor: User) -> PeopleImport:
    """Have a worker do what was looked at; ``digest`` is that of the plan which was shown.

    ``InvalidValue`` where it is no table of people. Whether it still means the same is judged when it is done.
    """
    begun = PeopleImport.objects.create(
        actor=actor,
        table=text,
        digest=digest[:64],
        lines=len(rosters.read(text)),
        language=get_language() or "en",
        address=origin.address(),
    )
    async_task("accounts.tasks.import_people", begun.pk.hex)
    return begun


def run_import(import_id: uuid.UUID) -> bool:
    """Do it, once, with its letters and its audit; False where it was refused, or is somebody else's by now."""
    waiting = PeopleImport.objects.filter(pk=import_id, state=State.WAITING)
    if waiting.update(state=State.RUNNING, started_at=Now()) != 1:
        return False
    begun = PeopleImport.objects.select_related("actor").get(pk=import_id)
    with translation.override(begun.language), origin.coming_from(begun.address or ""):
        try:
            _do(begun)
        except PlatformError:
            _end(import_id, State.REFUSED, error=Error.CHANGED)
            return False
        except Exception:
            _end(import_id, State.REFUSED, error=Error.LOST)
            raise
    return True


@transaction.atomic
def _do(begun: PeopleImport) -> None:
    counts = apply_import(begun.table, digest=begun.digest, actor=begun.actor).counts
    if not _end(begun.pk, State.DONE, table="", new=counts[NEW], changed=counts[CHANGED]):
        raise WrongState(Error.LOST.label)  # it was given up meanwhile, and somebody has read so


def _end(import_id: uuid.UUID, state: str, **changes: object) -> bool:
    rows = PeopleImport.objects.filter(pk=import_id, state=State.RUNNING)
    return rows.update(state=state, ended_at=Now(), **changes) == 1


def import_of(actor: User, import_id: uuid.UUID) -> PeopleImport:
    """One of the actor's own, as it stands; ``NotFound`` for every other."""
    mine = PeopleImport.objects.filter(pk=import_id, actor=actor)
    dead = mine.filter(state=State.RUNNING, started_at__lt=Now() - LOST_AFTER)
    dead.update(state=State.REFUSED, ended_at=Now(), error=Error.LOST)
    found = mine.first()
    if found is None:
        raise NotFound(_("There is no such import any more. What it did is in the audit."))
    return found


def forget_imports() -> int:
    """Remove those that are older than a day, whatever became of them, with the addresses in them; how many."""
    return PeopleImport.objects.filter(created_at__lt=Now() - KEPT).delete()[0]
