"""A page of one's own generations: by key, narrowed, and bounded in what one call looks through."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import cast

from django.db.models import Q
from django.utils.translation import gettext as _
from rest_framework.request import Request

from accounts.models import User
from generations import searching
from generations.api.filters import condition
from generations.api.pages import descends, limit_from
from generations.models import Generation, GenerationQuerySet
from generations.polled import own_rows, place_of
from kling_platform.errors import InvalidValue, NotFound, PlatformError
from kling_platform.patience import TookTooLong, at_most

PAGING = ("limit", "after", "order")


class SearchTooSlow(PlatformError):
    """The database could not look through the window in time (503)."""

    code = "search_too_slow"
    status = 503


@dataclass(frozen=True)
class Page:
    """``stopped_at``: a search has looked through all rows down to this one; older ones are not seen yet."""

    rows: list[Generation]
    has_more: bool
    stopped_at: uuid.UUID | None = None


def nothing_here(param: str | None = None) -> NotFound:
    return NotFound(_("There is no generation with this id, or it is not yours."), param=param)


def page(request: Request, rows: GenerationQuerySet | None = None) -> Page:
    """The page that the address asks for, of one's own rows or of these of them.

    Three questions at most with the key's, a search one or two more.
    """
    query = request.query_params
    limit, down = limit_from(query), descends(query)
    wanted = condition(query, besides=PAGING)
    rows = own_rows(cast(User, request.user)) if rows is None else rows
    if "after" in query:
        rows = _behind(rows, _cursor(request, query["after"]), down)
    if "q" not in query:
        return _page(rows, wanted, limit, down)
    try:
        with at_most(searching.PATIENCE):
            return _page(rows, wanted, limit, down, search=True)
    except TookTooLong as error:
        raise SearchTooSlow(
            _(
                "The search was stopped after two seconds. Narrow it by created_after and created_before, "
                "or try again when less is going on."
            ),
            param="q",
            retry_after=5,
        ) from error


def _page(rows: GenerationQuerySet, wanted: Q, limit: int, down: bool, *, search: bool = False) -> Page:
    """The page of ``rows`` that match; a search goes no further than ``searching.WINDOW``."""
    stopped_at = None
    if search and (edge := searching.edge(_ordered(rows, down))):
        stopped_at, rows = edge[0].pk, _behind(rows, edge[1], not down)
    found = list(_ordered(rows.filter(wanted), down)[: limit + 1])
    if len(found) > limit:
        return Page(found[:limit], has_more=True)
    return Page(found, has_more=stopped_at is not None, stopped_at=stopped_at)


def _ordered(rows: GenerationQuerySet, down: bool) -> GenerationQuerySet:
    return rows.newest_first() if down else rows.newest_first().reverse()


def _behind(rows: GenerationQuerySet, row: Generation, down: bool) -> GenerationQuerySet:
    return rows.before(row) if down else rows.after(row)


def _cursor(request: Request, text: str) -> Generation:
    """The caller's own row to go on from; a deleted one still knows its place."""
    try:
        wanted = uuid.UUID(text)
    except ValueError:
        raise InvalidValue(
            _("after is the id of a generation: the last_id of a page."), param="after"
        ) from None
    cursor = place_of(cast(User, request.user), wanted)
    if cursor is None:
        raise nothing_here(param="after")
    return cursor
