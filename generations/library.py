"""What the library shows: which videos, in which order, and how far one look goes. Reads only."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.db.models import CharField, Exists, F, FilteredRelation, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from generations import searching
from generations.models import OPEN, TERMINAL, Collection, Favourite, Generation, InputImage, Status, Tag
from kling_platform.patience import TookTooLong, at_most

PAGE = 30
# What a page brings back at once for somebody who had scrolled on and returns.
MOST_CARDS = 600
LONGEST_SEARCH = 200  # characters

SHOWN: dict[str, tuple[Any, tuple[str, ...]]] = {
    "": (_("All"), OPEN + TERMINAL),
    "open": (_("In the making"), OPEN),
    "ready": (_("Ready"), (Status.SUCCEEDED,)),
    "failed": (_("Failed"), (Status.FAILED, Status.CANCELED)),
}
KINDS = {"text": _("From text"), "image": _("From a picture")}
MINE = "mine"
_TEAM = re.compile("[1-9][0-9]{0,8}")
SORTS = {"": _("Newest first"), "old": _("Oldest first")}


@dataclass(frozen=True)
class Wish:
    """What somebody wants to see; every field is a parameter of the page's address, empty where all is wanted."""

    show: str = ""
    of: str = ""  # whose: “mine”, or the number of a team
    q: str = ""
    model: str = ""
    kind: str = ""
    liked: str = ""
    collection: str = ""
    tag: str = ""
    sort: str = ""

    @classmethod
    def read(cls, sent: Mapping[str, str]) -> Wish:
        """From the address. What is not one of the choices is no wish."""
        wish = cls(**{name: sent.get(name, "").strip() for name in cls.__dataclass_fields__})
        return replace(
            wish,
            show=wish.show if wish.show in SHOWN else "",
            of=wish.of if wish.of == MINE or _TEAM.fullmatch(wish.of) else "",
            q=wish.q.replace("\x00", "")[:LONGEST_SEARCH],
            kind=wish.kind if wish.kind in KINDS else "",
            liked="1" if wish.liked else "",
            collection=str(as_uuid(wish.collection) or ""),
            tag=wish.tag.replace("\x00", "")[:LONGEST_SEARCH],
            sort=wish.sort if wish.sort in SORTS else "",
        )

    def address(self, **changes: str) -> str:
        """The query of the address of this wish with some changes: ``?q=fox&sort=old``, or nothing."""
        named = {name: getattr(self, name) for name in self.__dataclass_fields__} | changes
        told = {name: value for name, value in named.items() if value}
        return f"?{urlencode(told)}" if told else ""

    @property
    def narrows(self) -> bool:
        """Whether less than everything is wanted."""
        return self != Wish(sort=self.sort)

    @property
    def scans(self) -> bool:
        """Whether rows have to be looked at one by one: what was put somewhere is found by itself."""
        named = self.q or self.show or self.model or self.kind
        return bool(named) and not (self.liked or self.collection or self.tag)


@dataclass(frozen=True)
class Look:
    """One page. ``next``: it goes on after this one. ``older``: everything down to this one was looked at."""

    page: list[Generation] = field(default_factory=list)
    next: Generation | None = None
    older: Generation | None = None
    too_slow: bool = False

    @property
    def open(self) -> list[Generation]:
        return [generation for generation in self.page if generation.is_open]


def as_uuid(text: str) -> uuid.UUID | None:
    """None for whatever is no UUID."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def cards(rows: QuerySet[Generation], user: User) -> QuerySet[Generation]:
    """With all that a card shows, so that thirty of them are one question."""
    liked = Favourite.objects.filter(user=user, generation=OuterRef("pk"))
    frame = FilteredRelation("images", condition=Q(images__position=0))
    return (
        rows.select_related("video", "user", "team")
        .annotate(liked=Exists(liked), frame=frame)
        .annotate(first_width=F("frame__width"), first_height=F("frame__height"))
    )


def look(user: User, wish: Wish, *, after: Generation | None = None, until: uuid.UUID | None = None) -> Look:
    """The page of ``wish`` after a row, or all pages from the start down to the row ``until``."""
    mine = Generation.objects.for_user(user)
    scope = _beyond(mine, after, wish) if after else mine
    older = None
    if wish.scans and not until and (edge := searching.edge(_sorted(scope, wish))):
        older, scope = edge[0], _beyond(scope, edge[1], wish, back=True)
    rows = _sorted(cards(_matching(scope, wish, user), user), wish)
    try:
        with at_most(searching.PATIENCE) if wish.narrows else nullcontext():
            found = list(rows[: (MOST_CARDS if until else PAGE) + 1])
    except TookTooLong:
        return Look(older=older, too_slow=True)
    return _cut(found, until, older)


def _cut(found: list[Generation], until: uuid.UUID | None, older: Generation | None) -> Look:
    ids = [generation.pk for generation in found]
    size = ids.index(until) + 1 if until in ids else PAGE
    page = found[:size]
    if len(found) > size:
        return Look(page, next=page[-1])
    return Look(page, older=older)


def _sorted(rows: QuerySet[Generation], wish: Wish) -> QuerySet[Generation]:
    return rows.order_by("created_at", "id") if wish.sort == "old" else rows.order_by("-created_at", "-id")


def _beyond(rows: Any, row: Generation, wish: Wish, *, back: bool = False) -> QuerySet[Generation]:
    """What comes after a row in the wanted order, or (``back``) what comes before it."""
    return rows.after(row) if (wish.sort == "old") != back else rows.before(row)


def _matching(rows: QuerySet[Generation], wish: Wish, user: User) -> QuerySet[Generation]:
    if wish.show:
        rows = rows.filter(status__in=SHOWN[wish.show][1])
    if wish.of == MINE:
        rows = rows.filter(user=user)
    elif wish.of:
        rows = rows.filter(team=int(wish.of), visibility=Generation.Visibility.TEAM)
    if wish.q:
        rows = rows.filter(prompt__icontains=wish.q)
    if wish.model:
        rows = rows.filter(model=wish.model)
    if wish.kind:
        pictured = Exists(InputImage.objects.filter(generation=OuterRef("pk")))
        rows = rows.filter(pictured if wish.kind == "image" else ~pictured)
    if wish.liked:
        rows = rows.filter(pk__in=Favourite.objects.filter(user=user).values("generation"))
    if wish.collection:
        pile = Collection.generations.through.objects.filter(
            collection_id=wish.collection, collection__user=user
        )
        rows = rows.filter(pk__in=pile.values("generation"))
    if wish.tag:
        tagged = Generation.tags.through.objects.filter(tag__user=user, tag__name=wish.tag)
        rows = rows.filter(pk__in=tagged.values("generation"))
    return rows


class Shelves(NamedTuple):
    """What the library can be narrowed to: id and name of collections and of teams that share, and names of tags."""

    collections: list[tuple[uuid.UUID, str]]
    teams: list[tuple[int, str]]
    tags: list[str]


def shelves(user: User) -> Shelves:
    """The user's own, by name, in one question."""
    arms = (
        ("collection", Collection.objects.owned_by(user)),
        ("team", user.teams.filter(sharing=True)),
        ("tag", Tag.objects.filter(user=user)),
    )
    found = [
        rows.order_by().values_list(Value(kind, CharField()), Cast("pk", CharField()), "name")
        for kind, rows in arms
    ]
    named: dict[str, list[tuple[str, str]]] = {kind: [] for kind, _rows in arms}
    for kind, key, name in sorted(found[0].union(*found[1:], all=True), key=lambda row: row[2].casefold()):
        named[kind].append((key, name))
    return Shelves(
        [(uuid.UUID(key), name) for key, name in named["collection"]],
        [(int(key), name) for key, name in named["team"]],
        [name for _key, name in named["tag"]],
    )
