"""Storyboards: shots that each begin where the last one ended, made one after the other, then joined.

A storyboard moves by compare-and-set on its status and on its shots. Every step may be tried twice: what
pays is guarded by the shot's row, and the loser undoes all of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from accounts.models import User
from generations import catalogue, news
from generations.models import Derivation, Generation, Shot, Status, Storyboard
from generations.services.access import check_model
from generations.services.again import check_affordable
from generations.services.catalogues import current_rules
from generations.services.requests import create
from kling_platform.errors import InsufficientQuota, InvalidValue, NoQuota, PlatformError, WrongState
from kling_platform.text import check_text

MOST_SHOTS = 12
TITLE_LENGTH = 120
# A running one is looked at this often although nobody woke it; a joining one has so long for one try.
LOOK_AGAIN = timedelta(minutes=2)
JOIN_LEASE = timedelta(minutes=5)
JOIN_ATTEMPTS = 3
BATCH = 100

S, P = Storyboard.Status, Storyboard.Problem


@dataclass(frozen=True)
class Planned:
    """One shot as it is wished for."""

    prompt: str
    seconds: int | str


@dataclass(frozen=True)
class Step:
    """The shot to be made now, and the generation on whose last picture it begins."""

    storyboard: Storyboard
    shot: Shot
    after: Generation | None


class Overtaken(PlatformError):
    """Somebody else has made this shot, or stopped the storyboard, a moment ago. Never shown."""


def plan_storyboard(
    *,
    user: User,
    title: str,
    shots: Sequence[Planned],
    model: str,
    mode: str = "",
    size: str = "",
    sound: bool = False,
    begins_with: Generation | None = None,
) -> Storyboard:
    """Keep a plan; nothing is made or paid yet. ``InvalidValue`` names a shot's field as ``shots.0.prompt``.

    ``begins_with`` is a finished video that becomes the first shot, before ``shots``.
    """
    if begins_with is not None and begins_with.status != Status.SUCCEEDED:
        raise WrongState(_("A storyboard begins with a video that is ready."))
    most = MOST_SHOTS - (begins_with is not None)
    if not 1 <= len(shots) <= most:
        raise InvalidValue(_("Plan 1 to %(most)d shots.") % {"most": most}, param="shots")
    check_text(title, param="title")
    storyboard = Storyboard(
        user=user, title=title.strip()[:TITLE_LENGTH], model=model, mode=mode, size=size, sound=sound
    )
    recipes = [_check(storyboard, shot, number) for number, shot in enumerate(shots)]
    check_model(user, recipes[0].model, rules=current_rules())
    storyboard.model, storyboard.mode, storyboard.size = recipes[0].model, recipes[0].mode, recipes[0].size
    storyboard.title = storyboard.title or (begins_with or recipes[0]).prompt[:TITLE_LENGTH]
    rows = [Shot(prompt=recipe.prompt, seconds=recipe.seconds) for recipe in recipes]
    if begins_with is not None:
        rows.insert(0, Shot(prompt=begins_with.prompt, seconds=begins_with.seconds, generation=begins_with))
    with transaction.atomic():
        storyboard.save(force_insert=True)
        for position, row in enumerate(rows):
            row.storyboard, row.position = storyboard, position
        Shot.objects.bulk_create(rows)
    return storyboard


def _check(storyboard: Storyboard, shot: Planned, number: int) -> catalogue.Recipe:
    try:
        return catalogue.validate(_request(storyboard, shot.prompt, shot.seconds), current_rules())
    except InvalidValue as error:
        shared = error.param not in ("prompt", "duration")
        raise InvalidValue(
            error.message, param=error.param if shared else f"shots.{number}.{error.param}"
        ) from error


def _request(storyboard: Storyboard, prompt: str, seconds: int | str, frame: bytes = b"") -> dict[str, Any]:
    model = current_rules().model(storyboard.model)
    metadata: dict[str, Any] = {}
    if storyboard.mode and (model is None or len(model.modes) > 1):
        metadata["mode"] = storyboard.mode
    if storyboard.sound:
        metadata["sound"] = "on"
    request: dict[str, Any] = {
        "model": storyboard.model,
        "prompt": prompt,
        "duration": seconds,
        "metadata": metadata,
    }
    if storyboard.size:
        request["size"] = storyboard.size
    return request | ({"images": [frame]} if frame else {})


def shot_price(storyboard: Storyboard, shot: Shot) -> int:
    """Today's price of one shot, in credits. ``InvalidValue`` where the catalogue no longer has it."""
    rules = current_rules()
    return catalogue.price(catalogue.validate(_request(storyboard, shot.prompt, shot.seconds), rules), rules)


def price_left(storyboard: Storyboard) -> int:
    """What the shots that are still to be made cost, in credits; those in the making are paid already."""
    return sum(shot_price(storyboard, shot) for shot in storyboard.shots.all() if _is_to_be_made(shot))


def _is_to_be_made(shot: Shot) -> bool:
    generation = shot.generation
    return generation is None or not (generation.is_open or _is_usable(generation))


def _is_usable(generation: Generation) -> bool:
    return generation.status == Status.SUCCEEDED and generation.deleted_at is None


def change_shot(shot: Shot, *, prompt: str, seconds: int | str) -> Shot:
    """Other words or another length for a shot that is still to be made. ``WrongState`` for others."""
    storyboard = shot.storyboard
    if storyboard.is_going or storyboard.status == S.DONE or not _is_to_be_made(shot):
        raise WrongState(_("Only a shot that is still to be made can be changed. Stop the storyboard first."))
    recipe = _check(storyboard, Planned(prompt, seconds), shot.position)
    shot.prompt, shot.seconds = recipe.prompt, recipe.seconds
    shot.save(update_fields=["prompt", "seconds"])
    return shot


def start_storyboard(storyboard: Storyboard) -> Storyboard:
    """Make what is still to be made, from here to the end; also after a stop or a failure.

    Refused where the credits for all of it are not there now. Each shot is paid when it begins.
    """
    if price := price_left(storyboard):
        check_affordable(storyboard.user, price)
    failed = [shot.pk for shot in storyboard.shots.all() if shot.generation_id and _is_to_be_made(shot)]
    fresh = {"due_at": Now(), "problem": "", "join_attempts": 0}
    with transaction.atomic():
        if not _move(storyboard.pk, (S.DRAFT, S.STOPPED), S.RUNNING, **fresh):
            raise WrongState(_("It is in the making already."))
        Shot.objects.filter(pk__in=failed).update(generation=None)
        wake_storyboard(storyboard.pk)
    storyboard.refresh_from_db()
    return storyboard


def stop_storyboard(storyboard: Storyboard) -> Storyboard:
    """Begin no further shot. The one in the making is finished and stays paid."""
    if not _move(storyboard.pk, (S.RUNNING, S.JOINING), S.STOPPED, due_at=None, problem=""):
        raise WrongState(_("It stands still already."))
    storyboard.refresh_from_db()
    return storyboard


@transaction.atomic
def delete_storyboard(storyboard: Storyboard) -> None:
    """Forget the plan and its joined film; the shots stay in the library."""
    rows = Storyboard.objects.filter(pk=storyboard.pk, due_at__isnull=True).select_for_update()
    if not rows.exists():
        raise WrongState(_("It is in the making. Stop it first, then delete it."))
    if storyboard.film:
        film = storyboard.film
        transaction.on_commit(lambda: film.storage.delete(film.name or ""))
    rows.delete()


# --- what tasks do ------------------------------------------------------------


def next_step(storyboard_id: uuid.UUID) -> Step | None:
    """The shot to be made now; None while one is in the making, at the end, and where it can't go on."""
    storyboard = Storyboard.objects.filter(pk=storyboard_id, status=S.RUNNING).select_related("user").first()
    if storyboard is None:
        return None
    after = None
    for shot in storyboard.shots.select_related("generation__video"):
        if shot.generation is None:
            return Step(storyboard, shot, after)
        if shot.generation.is_open:
            return None  # its end wakes us
        if not _is_usable(shot.generation):
            halt_storyboard(storyboard_id, P.SHOT_FAILED)
            return None
        after = shot.generation
    with transaction.atomic():
        if _move(storyboard_id, (S.RUNNING,), S.JOINING, due_at=Now()):
            wake_join(storyboard_id)
    return None


def make_shot(step: Step, frame: bytes) -> Generation | None:
    """Create a step's generation from the picture ``frame``; None where it stands still or is made already."""

    def take_place(generation: Generation) -> None:
        # Locked, and asked by itself: in one UPDATE over both tables PostgreSQL would look at the shot as it was
        # before another's commit, and eight at once would make six (seen).
        going = Storyboard.objects.select_for_update().filter(pk=step.storyboard.pk, status=S.RUNNING)
        free = Shot.objects.filter(pk=step.shot.pk, generation=None)
        if not going.exists() or free.update(generation=generation) != 1:
            raise Overtaken("")

    try:
        return create(
            user=step.storyboard.user,
            request=_request(step.storyboard, step.shot.prompt, step.shot.seconds, frame),
            derived_from=step.after,
            derivation=Derivation.CONTINUATION if step.after else "",
            also=take_place,
        )
    except Overtaken:
        return None
    except (InsufficientQuota, NoQuota):
        halt_storyboard(step.storyboard.pk, P.UNPAID)
    except PlatformError:
        halt_storyboard(step.storyboard.pk, P.REFUSED)
    return None


def halt_storyboard(storyboard_id: uuid.UUID, problem: str) -> bool:
    """It can't go on by itself; its owner is told, and sees why."""
    with transaction.atomic():
        halted = _move(storyboard_id, (S.RUNNING, S.JOINING), S.STOPPED, due_at=None, problem=problem)
        if halted:
            news.tell_of_film(storyboard_id, halted=True)
    return halted


def claim_join(storyboard_id: uuid.UUID) -> Storyboard | None:
    """The storyboard, if it is due to be joined and nobody else is at it; leased for ``JOIN_LEASE``."""
    due = Storyboard.objects.filter(pk=storyboard_id, status=S.JOINING, due_at__lte=Now())
    if due.update(due_at=Now() + JOIN_LEASE, join_attempts=F("join_attempts") + 1) != 1:
        return None
    storyboard = Storyboard.objects.get(pk=storyboard_id)
    if storyboard.join_attempts > JOIN_ATTEMPTS:
        halt_storyboard(storyboard_id, P.UNJOINED)
        return None
    return storyboard


def record_joined(storyboard_id: uuid.UUID, *, film: str, seconds: float, size: int, sha256: str) -> bool:
    """The one film is in storage. False where it was stopped meanwhile: then nobody will ask for the file."""
    facts = {"film": film, "film_seconds": seconds, "film_bytes": size, "film_sha256": sha256}
    with transaction.atomic():
        joined = _move(storyboard_id, (S.JOINING,), S.DONE, due_at=None, **facts)
        if joined:
            news.tell_of_film(storyboard_id)
    return joined


def wake_storyboard(storyboard_id: uuid.UUID) -> None:
    """Something may go on. Waking twice is harmless."""
    async_task("generations.film_tasks.advance_storyboard", str(storyboard_id))


def wake_join(storyboard_id: uuid.UUID) -> None:
    """Its film may be joined."""
    async_task("generations.film_tasks.join_storyboard", str(storyboard_id))


def wake_storyboards() -> int:
    """Every minute: whoever should have gone on and did not."""
    due = Storyboard.objects.filter(due_at__lte=Now()).values_list("pk", "status")[:BATCH]
    for pk, status in due:
        if status == S.RUNNING:
            Storyboard.objects.filter(pk=pk, status=S.RUNNING).update(due_at=Now() + LOOK_AGAIN)
            wake_storyboard(pk)
        else:
            wake_join(pk)
    return len(due)


def _move(storyboard_id: uuid.UUID, source: Sequence[str], target: str, **changes: Any) -> bool:
    """Compare-and-set; the only writer of a storyboard's status."""
    rows: QuerySet[Storyboard] = Storyboard.objects.filter(pk=storyboard_id, status__in=source)
    return rows.update(status=target, **changes) == 1
