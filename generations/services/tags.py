"""The words that people give to their generations. They are ours alone: upstream never hears of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import Count
from django.utils.translation import gettext as _

from accounts.models import User
from generations.models import Generation, Tag
from generations.models.groups import TAG_LENGTH
from kling_platform.errors import InvalidValue

MOST_TAGS = 20


def read_tags(value: Any) -> list[str]:
    """The names that a request gives, each once; ``InvalidValue`` names ``tags``."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InvalidValue(_("tags is a list of texts."), param="tags")
    names = list(dict.fromkeys(name.strip() for name in value))
    if len(names) > MOST_TAGS:
        raise InvalidValue(_("A video has up to %(most)d tags.") % {"most": MOST_TAGS}, param="tags")
    if not all(name.isprintable() and 0 < len(name) <= TAG_LENGTH and "," not in name for name in names):
        raise InvalidValue(
            _("A tag has 1 to %(most)d printable characters, and no comma.") % {"most": TAG_LENGTH},
            param="tags",
        )
    return names


@transaction.atomic
def set_tags(generation: Generation, *, names: Iterable[str]) -> Generation:
    """Give it these tags of its owner's, and no others."""
    generation.tags.set(tags_of(generation.user, names))
    return generation


def tags_of(user: User, names: Iterable[str]) -> list[Tag]:
    """The user's tags of these names; those that are new are made. Two questions, none for no names."""
    wanted = list(names)
    if not wanted:
        return []
    Tag.objects.bulk_create([Tag(user=user, name=name) for name in wanted], ignore_conflicts=True)
    return list(Tag.objects.filter(user=user, name__in=wanted))


@transaction.atomic
def add_tags(generations: Iterable[Generation], *, user: User, names: Iterable[str]) -> None:
    """Give the user's own generations these tags as well; ``InvalidValue`` if one would have too many."""
    own = list(generations)
    for tag in tags_of(user, names):
        tag.generations.add(*own)
    counted = Generation.objects.filter(pk__in=[row.pk for row in own]).annotate(n=Count("tags"))
    if counted.filter(n__gt=MOST_TAGS).exists():
        raise InvalidValue(_("A video has up to %(most)d tags.") % {"most": MOST_TAGS}, param="tags")


def remove_tag(generations: Iterable[Generation], *, user: User, name: str) -> None:
    """Take one of the user's tags off them."""
    for tag in Tag.objects.filter(user=user, name=name):
        tag.generations.remove(*generations)
