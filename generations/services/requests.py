"""The verbs of people: create, cancel, retry, delete. Each is called from every door."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import ledger, quotas
from accounts.models import ApiKey, User
from generations import catalogue, images, lifecycle
from generations.models import TERMINAL, Event, Generation, InputImage, Status
from generations.services import access, key_limits, teams
from generations.services.catalogues import current_rules, rules_of
from generations.services.once import Once, take
from generations.services.tags import tags_of
from generations.services.wakeups import wake_dispatch
from kling_platform import prepared
from kling_platform.errors import NotFound, Suspended, WrongState

UNSENT_LIMIT = timedelta(hours=24)
UNDO_DELETE = timedelta(days=7)


@dataclass(frozen=True)
class Frame:
    """A picture that passed: a URL to hand on, or our own re-encoded file."""

    url: str = ""
    file: images.PreparedImage | None = None


def create(
    *,
    user: User,
    request: Mapping[str, Any],
    api_key: ApiKey | None = None,
    retry_of: Generation | None = None,
    tags: Sequence[str] = (),
    once: Once | None = None,
    derived_from: Generation | None = None,
    derivation: str = "",
    also: Callable[[Generation], None] | None = None,
) -> Generation:
    """Queue one generation and hold its price, or raise a ``PlatformError`` and change nothing.

    ``request`` has the fields of the gateway's wire (see ``catalogue.validate``); ``tags``, ``team`` and
    ``visibility`` are ours alone (see ``teams``).
    ``once`` belongs to a call that may come twice, and comes through ``make_once``. ``derived_from`` and
    ``derivation`` (a ``Derivation``) go together, and not with ``retry_of``. ``also`` is done in the same
    transaction; a ``PlatformError`` of it undoes everything.
    """
    generation, frames = drafted(user=user, request=request, api_key=api_key)
    generation.retry_of, generation.request_digest = retry_of, once.digest if once else ""
    generation.derived_from, generation.derivation = derived_from, derivation
    with kept_files(generation.pk, frames) as names:
        create_paid(generation, frames=frames, names=names, tags=tags, once=once, also=also)
    return generation


def drafted(
    *,
    user: User,
    request: Mapping[str, Any],
    api_key: ApiKey | None,
    rules: catalogue.Rules | None = None,
    audience: teams.Audience | None = None,
) -> tuple[Generation, list[Frame]]:
    """What a request would make, with its price and its pictures, written nowhere; or a ``PlatformError``.

    Whoever drafts many looks up ``rules`` and ``audience`` once for all.
    """
    if not user.is_active:
        raise Suspended(_("This account is suspended. Ask an admin."))
    rules = rules or current_rules()
    audience = audience or teams.audience_of(user, request)
    recipe = catalogue.validate(teams.on_the_wire(request), rules)
    access.check_model(user, recipe.model, rules=rules, team=audience.team, api_key=api_key)
    frames = [_frame(image, field) for image, field in zip(recipe.images, _fields(request), strict=False)]
    generation = Generation(
        user=user,
        made_for=audience.team,
        team=audience.team,
        visibility=audience.visibility,
        api_key=api_key,
        model=recipe.model,
        prompt=recipe.prompt,
        seconds=recipe.seconds,
        size=recipe.size,
        mode=recipe.mode,
        sound=recipe.sound,
        metadata=recipe.metadata,
        price=catalogue.price(recipe, rules),
        price_version=rules.version,
        next_check_at=timezone.now(),
        give_up_at=timezone.now() + UNSENT_LIMIT,
    )
    return generation, frames


def create_paid(
    generation: Generation,
    *,
    frames: Sequence[Frame] = (),
    names: Sequence[str] = (),
    tags: Sequence[str] = (),
    once: Once | None = None,
    also: Callable[[Generation], None] | None = None,
) -> None:
    """Write a draft down and hold its price in every wallet that pays; a ``PlatformError``, or all of it."""
    wallets = {}
    try:
        with transaction.atomic():
            take(once, generation)
            wallets = quotas.paying_wallets(
                user=generation.user, team=generation.team, api_key=generation.api_key
            )
            queued = Event(generation=generation, to_status=Status.QUEUED, actor=generation.user)
            prepared.insert(generation, queued)
            if frames:
                InputImage.objects.bulk_create(image_rows(generation, frames, names))
            if tags:
                generation.tags.set(tags_of(generation.user, tags))
            if also:
                also(generation)
            wake_dispatch()
            # Last, because it holds the wallet's row until the commit.
            ledger.reserve(wallets, generation.price, generation_id=generation.pk)
            if generation.api_key is not None:
                key_limits.check_open(generation.api_key)
    except ledger.CannotPay as error:
        raise quotas.refusal(error.wallet_id, wallets[error.wallet_id], generation.price) from error


def _fields(request: Mapping[str, Any]) -> tuple[str, str]:
    """Which field the first and the last frame came from, so that a refusal names what was sent."""
    listed = request.get("images") or ()
    return "images" if listed else "image", "images" if len(listed) > 1 else "metadata.image_tail"


def _frame(image: str | bytes, field: str) -> Frame:
    if isinstance(image, str) and images.is_url(image):
        images.check_image_url(image, param=field)
        return Frame(url=image)
    data = images.decode(image, param=field) if isinstance(image, str) else image
    return Frame(file=images.prepare(data, param=field))


@contextlib.contextmanager
def kept_files(generation_id: uuid.UUID, frames: list[Frame]) -> Any:
    """Names of the frames' files in storage (empty for a URL); none stays behind when the block fails."""
    names: list[str] = []
    try:
        for position, frame in enumerate(frames):
            if frame.file is None:
                names.append("")
                continue
            ending = "png" if frame.file.content_type == "image/png" else "jpg"
            path = f"inputs/{timezone.now():%Y/%m}/{generation_id}-{position}.{ending}"
            names.append(default_storage.save(path, ContentFile(frame.file.data)))
        yield names
    except BaseException:
        for name in filter(None, names):
            default_storage.delete(name)
        raise


def image_rows(generation: Generation, frames: Sequence[Frame], names: Sequence[str]) -> list[InputImage]:
    rows = []
    for position, (frame, name) in enumerate(zip(frames, names, strict=True)):
        row = InputImage(generation=generation, position=position, url=frame.url, file=name)
        if frame.file is not None:
            row.content_type, row.sha256 = frame.file.content_type, frame.file.sha256
            row.width, row.height = frame.file.width, frame.file.height
        rows.append(row)
    return rows


def names_mode(generation: Generation) -> bool:
    """Whether the mode has to be said: a model with one mode has it in its name."""
    model = rules_of(generation.price_version).model(generation.model)
    return model is not None and len(model.modes) > 1


def recipe_request(
    generation: Generation, *, pictures: Sequence[str | bytes] | None = None
) -> dict[str, Any]:
    """The request that makes this generation again, in the words of the wire; our own files as bytes.

    ``pictures`` stand in for the real ones, which then are not read.
    """
    metadata = dict(generation.metadata)
    if names_mode(generation):
        metadata["mode"] = generation.mode
    if generation.sound:
        metadata["sound"] = "on"
    request: dict[str, Any] = {
        "model": generation.model,
        "prompt": generation.prompt,
        "duration": generation.seconds,
        "size": generation.size,
        "metadata": metadata,
    }
    if pictures is None:
        pictures = [row.url or row.file.read() for row in generation.images.all()]
    return request | ({"images": list(pictures)} if pictures else {})


def retry(
    generation: Generation, *, user: User, api_key: ApiKey | None = None, once: Once | None = None
) -> Generation:
    """A new generation from the same recipe, at today's price, for the same team."""
    again = recipe_request(generation) | teams.same_audience(generation, user)
    return create(user=user, request=again, api_key=api_key, retry_of=generation, once=once)


def may_change(user: User, generation: Generation) -> bool:
    """Whether this person, who sees it, may also cancel or delete it: the owner, an admin, or a manager of
    the team that shares it."""
    if generation.user_id == user.pk or user.role == User.Role.ADMIN:
        return True
    return user.role == User.Role.MANAGER and generation.visibility == Generation.Visibility.TEAM


@transaction.atomic
def cancel(generation: Generation, *, actor: User) -> Generation:
    """Take back what was not sent yet and return its credits; ``WrongState`` once upstream may have it."""
    if lifecycle.transition(generation.pk, Status.QUEUED, Status.CANCELED, actor=actor, note="canceled"):
        ledger.release(generation.pk)
        generation.refresh_from_db()
        return generation
    generation.refresh_from_db()
    if generation.status in TERMINAL:
        raise WrongState(_("It is over already: there is nothing to cancel."))
    raise WrongState(
        _(
            "It has been sent, and upstream can't take it back. It will be finished and charged, "
            "or returned if it fails."
        )
    )


@transaction.atomic
def delete(generation: Generation, *, actor: User) -> None:
    """Hide it from every door, for good after seven days. Queued ones are canceled first."""
    if generation.status == Status.QUEUED:
        cancel(generation, actor=actor)
    hidden = Generation.objects.filter(pk=generation.pk, status__in=TERMINAL, deleted_at__isnull=True)
    if not hidden.update(deleted_at=Now()):
        raise WrongState(_("It is still in the making. Delete it when it is over."))


@transaction.atomic
def undelete(generation_id: uuid.UUID, *, user: User) -> Generation:
    """Bring back what was deleted within seven days. ``NotFound`` for all else."""
    mine = Generation.objects.filter(pk=generation_id, user=user, deleted_at__gte=Now() - UNDO_DELETE)
    if not mine.update(deleted_at=None):
        raise NotFound(_("There is nothing to bring back."))
    return Generation.objects.get(pk=generation_id)
