"""Keeping order: favourites, collections, presets, and verbs over many videos at once."""

from __future__ import annotations

import uuid
from collections.abc import Collection as Sized
from collections.abc import Iterable

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.models import User
from generations.models import SHELF_NAME_LENGTH, Collection, Favourite, Generation, Preset
from generations.services.requests import delete, undelete
from kling_platform.errors import InvalidValue, NotFound, PlatformError
from kling_platform.text import check_text

# What a person may have of each: far above use, and below what a menu could not show.
MOST_SHELVES = 200
PRESET_LENGTH = 1000


def like(generations: Iterable[Generation], *, user: User) -> None:
    """Make them this person's favourites; those that are stay so."""
    Favourite.objects.bulk_create(
        [Favourite(user=user, generation=generation) for generation in generations], ignore_conflicts=True
    )


def unlike(generations: Iterable[Generation], *, user: User) -> None:
    """Make them favourites no longer."""
    Favourite.objects.filter(user=user, generation__in=list(generations)).delete()


def make_collection(*, user: User, name: str) -> Collection:
    """A new, empty collection; ``InvalidValue`` for a name that is empty, too long or taken."""
    if Collection.objects.owned_by(user).count() >= MOST_SHELVES:
        raise InvalidValue(_("You have 200 collections. Remove one first."), param="name")
    return _named(Collection(user=user, name=_name(name)))


def rename_collection(collection: Collection, *, name: str) -> Collection:
    """Under a new name; ``InvalidValue`` as for a new one."""
    collection.name = _name(name)
    return _named(collection)


def remove_collection(collection: Collection) -> None:
    """The pile goes; its videos stay in the library."""
    collection.delete()


@transaction.atomic
def collect(
    generations: Sized[Generation], *, into: Collection, out_of: Collection | None = None
) -> Collection:
    """Put them into a collection, and take them out of the one they come from."""
    into.generations.add(*generations)
    if out_of is not None and out_of != into:
        out_of.generations.remove(*generations)
    return into


def uncollect(generations: Sized[Generation], *, out_of: Collection) -> Collection:
    """Take them out; they stay in the library."""
    out_of.generations.remove(*generations)
    return out_of


def delete_many(generations: Iterable[Generation], *, actor: User) -> tuple[list[uuid.UUID], str]:
    """Ids of those that are hidden now, and why the others are not (empty when all are)."""
    gone, refusal = [], ""
    for generation in generations:
        try:
            delete(generation, actor=actor)
        except PlatformError as why:
            refusal = str(why)
        else:
            gone.append(generation.pk)
    return gone, refusal


def undelete_many(ids: Iterable[uuid.UUID], *, user: User) -> int:
    """How many came back; one that cannot is passed over."""
    back = 0
    for generation_id in ids:
        try:
            undelete(generation_id, user=user)
        except NotFound:
            continue
        back += 1
    return back


def save_preset(*, user: User, name: str, text: str, shared: bool = False) -> Preset:
    """Keep these words under this name; one of the same name is replaced. ``InvalidValue`` when one is empty."""
    name, text = _name(name), check_text(text.strip(), param="text")
    if not text:
        raise InvalidValue(_("There are no words to keep: write or mark some in the prompt."), param="text")
    if len(text) > PRESET_LENGTH:
        raise InvalidValue(_("A preset has at most 1,000 characters. Mark the part to keep."), param="text")
    if Preset.objects.filter(~Q(name=name), user=user).count() >= MOST_SHELVES:
        raise InvalidValue(_("You have 200 presets. Remove one first."), param="name")
    preset, _made = Preset.objects.update_or_create(
        user=user, name=name, defaults={"text": text, "shared": shared}
    )
    return preset


def remove_preset(preset_id: uuid.UUID, *, user: User) -> None:
    """An own one goes, for the team too; ``NotFound`` for everybody else's."""
    if not Preset.objects.filter(pk=preset_id, user=user).delete()[0]:
        raise NotFound(_("This preset is gone already, or somebody else's."))


def _name(text: str) -> str:
    name = " ".join(check_text(text, param="name").split())
    if not name:
        raise InvalidValue(_("Give it a name."), param="name")
    if len(name) > SHELF_NAME_LENGTH:
        raise InvalidValue(_("A name has at most 60 characters."), param="name")
    return name


def _named(collection: Collection) -> Collection:
    """Saved; the database alone knows for sure that the name is free."""
    try:
        with transaction.atomic():
            collection.save()
    except IntegrityError as error:
        raise InvalidValue(
            _("You have a collection of this name already. Choose another."), param="name"
        ) from error
    return collection
