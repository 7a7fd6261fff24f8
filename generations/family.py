"""Where a generation came from and what came of it, as one person may see it. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from generations.models import Derivation, Generation

# A page has room for so many; the library has the rest.
MOST_SHOWN = 24
# Continuations show another scene: there is nothing to compare.
COMPARABLE = ("", Derivation.VARIATION, Derivation.MODEL, Derivation.EDIT)


@dataclass(frozen=True)
class Kin:
    """Relatives of one kind, oldest first."""

    title: str
    members: list[Generation]


def family(generation: Generation, user: Any) -> list[Kin]:
    """Its source first, then what was made of it, by kind; two queries beside the posters' facts."""
    seen = Generation.objects.for_user(user).select_related("video").prefetch_related("images")
    children = list(
        seen.filter(Q(derived_from=generation.pk) | Q(retry_of=generation.pk)).order_by("created_at", "id")[
            :MOST_SHOWN
        ]
    )
    source = generation.derived_from_id or generation.retry_of_id
    found = [Kin(_source_title(generation), list(seen.filter(pk=source)) if source else [])]
    found += [
        Kin(title, [child for child in children if child.derivation == kind])
        for kind, title in (
            ("", _("Retried as")),
            (Derivation.VARIATION, _("Variations")),
            (Derivation.MODEL, _("On other models")),
            (Derivation.EDIT, _("Changed into")),
            (Derivation.CONTINUATION, _("Continued as")),
        )
    ]
    return [kin for kin in found if kin.members]


def _source_title(generation: Generation) -> str:
    return {
        Derivation.VARIATION: _("Variation of"),
        Derivation.MODEL: _("Same prompt as"),
        Derivation.CONTINUATION: _("Continues"),
    }.get(Derivation(generation.derivation) if generation.derivation else Derivation.EDIT, _("Made from"))


def comparable(generation: Generation, kin: Iterable[Kin], most: int) -> list[Generation]:
    """The generation and the relatives that one would hold beside it, in the order of the page."""
    beside = [
        member
        for group in kin
        for member in group.members
        if (generation if _is_source(member, generation) else member).derivation in COMPARABLE
    ]
    sources = [member for member in beside if _is_source(member, generation)]
    return [*sources, generation, *(member for member in beside if member not in sources)][:most]


def _is_source(member: Generation, generation: Generation) -> bool:
    return member.pk in (generation.derived_from_id, generation.retry_of_id)
