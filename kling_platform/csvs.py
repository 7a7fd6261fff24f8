"""The one writer of CSV: every export goes through it, so no cell of ours is ever run by a spreadsheet.

A spreadsheet takes a cell that begins with one of ``= + - @``, a tab or a line's end for a formula, also when
the file quotes it, and in some languages when the sign is a wide one. Such a text gets a ``'`` in front, which
spreadsheets take for "this is text". Numbers are numbers, and stay as they are.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

# Excel takes a file for UTF-8 only when it begins with this.
BOM = "\ufeff"
RUN = tuple("=+-@\t\r\n＝＋－＠")


class _Echo:
    """A file that hands back what is written to it."""

    def write(self, line: str) -> str:
        return line


def lines(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """The lines of a file, one row after the other: nothing but the row at hand is kept."""
    writer = csv.writer(_Echo())
    yield writer.writerow([cell(name) for name in header])
    for row in rows:
        yield writer.writerow([cell(value) for value in row])


def cell(value: Any) -> Any:
    """What stands in the file for a value. Spaces in front hide nothing: some programs drop them."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    text = str(value)
    return f"'{text}" if text.lstrip(" \u00a0\u3000\ufeff").startswith(RUN) else text
