"""One's own generation as programs poll it: the question that they ask all day, and its twin."""

from __future__ import annotations

import uuid

from accounts.models import User
from generations.models import Generation, GenerationQuerySet
from generations.public import COLUMNS
from kling_platform import prepared

_COLUMNS = prepared.Columns(Generation, "g", COLUMNS)
# What ``own_rows`` asks for one of them.
_ONE = f"""
SELECT {_COLUMNS.sql}, coalesce(
         (SELECT string_agg(t.name, ',')
            FROM generations_generation_tags gt JOIN generations_tag t ON t.id = gt.tag_id
           WHERE gt.generation_id = g.id), '')
  FROM generations_generation g
 WHERE g.id = %(id)s AND g.user_id = %(user)s AND g.deleted_at IS NULL
"""  # noqa: S608


def own_rows(user: User) -> GenerationQuerySet:
    """The person's own, with no more columns than an answer needs."""
    return Generation.objects.owned_by(user).only(*COLUMNS).with_tags()


def own_row(user: User, generation_id: uuid.UUID) -> Generation | None:
    """One of ``own_rows``."""
    if not prepared.is_possible():
        return own_rows(user).filter(pk=generation_id).first()
    row = prepared.first(_ONE, {"id": generation_id, "user": user.pk})
    if row is None:
        return None
    found = _COLUMNS.take(row)
    found.tag_names = row[0]  # type: ignore[attr-defined]
    return found
