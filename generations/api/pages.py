"""What all lists of ``/v1`` share: how many rows a page has, and the envelope around them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from kling_platform.errors import InvalidValue

PAGE, MOST_A_PAGE = 20, 100


def limit_from(query: Mapping[str, str]) -> int:
    """How many rows are asked for; ``InvalidValue`` for what is no number from 1 to 100."""
    text = query.get("limit")
    if text is None:
        return PAGE
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= MOST_A_PAGE:
        raise InvalidValue(
            _("limit is a whole number from 1 to %(most)d.") % {"most": MOST_A_PAGE}, param="limit"
        )
    return int(text)


def descends(query: Mapping[str, str]) -> bool:
    """Whether the newest comes first, as it does when nothing is said."""
    text = query.get("order")
    if text not in (None, "desc", "asc"):
        raise InvalidValue(_("order is desc (newest first) or asc."), param="order")
    return text != "asc"


def as_list(
    data: list[dict[str, Any]], *, has_more: bool = False, last_id: str | None = None
) -> dict[str, Any]:
    """A page of things that have an ``id``; ``last_id`` is the ``after`` of the next one.

    It is named where a search stopped behind the last thing that it found.
    """
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": last_id or (data[-1]["id"] if data else None),
        "has_more": has_more,
    }
