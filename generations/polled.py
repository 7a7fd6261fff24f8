"""One's own generation as programs poll it: the question that they ask all day, in two forms, and its twins."""

from __future__ import annotations

import uuid
from typing import Any

from accounts import keys
from accounts.models import ApiKey, User
from generations.models import Generation, GenerationQuerySet
from generations.public import COLUMNS
from kling_platform import prepared

_COLUMNS = prepared.Columns(Generation, "g", COLUMNS)
_TAGS = """coalesce(
         (SELECT string_agg(t.name, ',')
            FROM generations_generation_tags gt JOIN generations_tag t ON t.id = gt.tag_id
           WHERE gt.generation_id = g.id), '')"""
# What ``own_rows`` asks for one of them.
_ONE = f"""
SELECT {_COLUMNS.sql}, {_TAGS}
  FROM generations_generation g
 WHERE g.id = %(id)s AND g.user_id = %(user)s AND g.deleted_at IS NULL
"""  # noqa: S608
# What ``keys.find`` and ``_ONE`` ask, at once, and of the key no more than a poll has to know.
_KEY = prepared.Columns(ApiKey, "k", ("id", "user_id", "lookup", "scopes"))
_OWNER = prepared.Columns(User, "u", ("id", "is_active"))
_KEY_AND_ONE = f"""
{keys.NOTED}
SELECT {_COLUMNS.sql}, {_TAGS}, {_KEY.sql}, {_OWNER.sql}
  FROM accounts_apikey k
  JOIN accounts_user u ON u.id = k.user_id
  JOIN generations_generation g ON g.user_id = u.id
 WHERE g.id = %(id)s AND g.deleted_at IS NULL AND {keys.OPENED}
"""  # noqa: S608


def own_rows(user: User) -> GenerationQuerySet:
    """The person's own, with no more columns than an answer needs."""
    return Generation.objects.owned_by(user).only(*COLUMNS).with_tags()


def own_row(user: User, generation_id: uuid.UUID) -> Generation | None:
    """One of ``own_rows``."""
    if not prepared.is_possible():
        return own_rows(user).filter(pk=generation_id).first()
    row = prepared.first(_ONE, {"id": generation_id, "user": user.pk})
    return None if row is None else _taken(row)


def key_and_row(text: str, generation_id: uuid.UUID) -> tuple[ApiKey, Generation] | None:
    """The living key and, of its owner's rows, the one: one question. None where there is not both.

    Notes the use of the key as ``keys.find`` does.
    """
    if not keys.well_formed(text):
        return None
    if not prepared.is_possible():
        key = keys.find(text)
        found = own_row(key.user, generation_id) if key else None
        return (key, found) if key and found else None
    row = prepared.first(_KEY_AND_ONE, keys.asked_for(text) | {"id": generation_id})
    if row is None:
        return None
    found, key = _taken(row), _KEY.take(row)
    key.user = _OWNER.take(row)
    return key, found


_PLACE = prepared.Columns(Generation, "g", ("id", "created_at"))
_PLACE_OF = f"""
SELECT {_PLACE.sql} FROM generations_generation g WHERE g.id = %(id)s AND g.user_id = %(user)s
"""  # noqa: S608


def place_of(user: User, generation_id: uuid.UUID) -> Generation | None:
    """One of the person's own, with its place in the history alone; a deleted one has it still."""
    if not prepared.is_possible():
        rows = Generation.objects.filter(user=user, pk=generation_id)
        return rows.only("created_at").first()
    row = prepared.first(_PLACE_OF, {"id": generation_id, "user": user.pk})
    return None if row is None else _PLACE.take(row)


def _taken(row: list[Any]) -> Generation:
    found = _COLUMNS.take(row)
    found.tag_names = row.pop(0)  # type: ignore[attr-defined]
    return found
