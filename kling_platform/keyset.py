"""The rows of an order that lie behind one of them: as fast at row 500,000 as at row 1.

A row of columns is compared as a whole, which an index on the same columns answers from where it stands.
"""

from __future__ import annotations

from django.db.models import Func, Model, TextField, Value
from django.db.models.lookups import GreaterThan, LessThan


class _Row(Func):
    template = "(%(expressions)s)"
    output_field = TextField()  # Django wants one to compare; nothing is read as it


def less(row: Model, *fields: str) -> LessThan:
    """The condition for what comes before ``row`` where these fields rise, and so behind it where they fall."""
    return LessThan(_Row(*fields), _values(row, fields))


def greater(row: Model, *fields: str) -> GreaterThan:
    """The condition for what comes behind ``row`` where these fields rise."""
    return GreaterThan(_Row(*fields), _values(row, fields))


def _values(row: Model, fields: tuple[str, ...]) -> _Row:
    return _Row(*(Value(getattr(row, name)) for name in fields))
