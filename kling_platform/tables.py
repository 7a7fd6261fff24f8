"""Tables that people search, sort and page through: what the address says, as a queryset and as links.

Pages are bounded: no table is read further than ``PAGES`` pages deep, because whoever wants more wants an
export or a better search, and a deep offset is a slow query.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import F, Q, QuerySet
from django.http import QueryDict, StreamingHttpResponse

from kling_platform import csvs

ROWS, PAGES = 50, 40
LONGEST_SEARCH = 100


class Column(NamedTuple):
    """``order`` are the fields that it sorts by, from small to large; a column without them does not sort."""

    key: str
    label: Any
    order: tuple[str, ...] = ()
    numeric: bool = False
    wide: bool = False  # left out on a phone


class Head(NamedTuple):
    """A column's head: ``url`` sorts by it, ``sorted`` is aria-sort's word for how it is sorted now."""

    column: Column
    url: str
    sorted: str


@dataclass(frozen=True)
class Table:
    """One page of rows and the links around it; ``query`` is what was searched for."""

    rows: list[Any]
    heads: list[Head]
    query: str
    page: int
    newer: str
    older: str


def table(asked: QueryDict, rows: QuerySet[Any], columns: Sequence[Column], *, first: str) -> Table:
    """The page that ``?sort=…&page=…`` asks for; nonsense counts as not said. ``first`` sorts unasked.

    A minus before the key of a column sorts from large to small.
    """
    order = _order(asked.get("sort", ""), columns) or first
    page = _page(asked.get("page", ""))
    shown = list(_sorted(rows, order, columns)[(page - 1) * ROWS : page * ROWS + 1])
    more = len(shown) > ROWS and page < PAGES
    return Table(
        rows=shown[:ROWS],
        heads=[_head(column, order, asked) for column in columns],
        query=asked.get("q", "").strip()[:LONGEST_SEARCH],
        page=page,
        newer=_link(asked, page=page - 1 if page > 2 else None) if page > 1 else "",
        older=_link(asked, page=page + 1) if more else "",
    )


def searched(rows: QuerySet[Any], asked: Mapping[str, str], fields: Sequence[str]) -> QuerySet[Any]:
    """Rows that have each word of ``?q=`` in one of the fields."""
    for word in asked.get("q", "").replace("\x00", "")[:LONGEST_SEARCH].split():
        hit = Q()
        for field in fields:
            hit |= Q(**{f"{field}__icontains": word})
        rows = rows.filter(hit)
    return rows


def download(name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> StreamingHttpResponse:
    """Rows as a CSV file that a spreadsheet reads as UTF-8, sent as they come."""

    def parts() -> Iterable[str]:
        yield csvs.BOM
        yield from csvs.lines(header, rows)

    response = StreamingHttpResponse(parts(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def _order(text: str, columns: Sequence[Column]) -> str:
    key = text.removeprefix("-")
    return text if any(column.key == key and column.order for column in columns) else ""


def _sorted(rows: QuerySet[Any], order: str, columns: Sequence[Column]) -> QuerySet[Any]:
    column = next(column for column in columns if column.key == order.removeprefix("-"))
    down = order.startswith("-")
    keys = [F(field) for field in column.order]  # what is not known stands last, either way
    by = [key.desc(nulls_last=True) if down else key.asc(nulls_last=True) for key in keys]
    return rows.order_by(*by, "-pk" if down else "pk")


def _page(text: str) -> int:
    return min(max(int(text), 1), PAGES) if text.isascii() and text.isdecimal() and len(text) < 6 else 1


def _head(column: Column, order: str, asked: QueryDict) -> Head:
    now = {column.key: "ascending", f"-{column.key}": "descending"}.get(order, "")
    if not column.order:
        return Head(column, "", "")
    # Numbers and times are looked at from the large end first.
    start, other = (f"-{column.key}", column.key) if column.numeric else (column.key, f"-{column.key}")
    return Head(column, _link(asked, sort=other if order == start else start, page=None), now)


def _link(asked: QueryDict, **changes: Any) -> str:
    query = asked.copy()
    for name, value in changes.items():
        query.pop(name, None)
        if value is not None:
            query[name] = str(value)
    return f"?{query.urlencode()}"
