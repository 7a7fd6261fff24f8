"""Statements written by hand and planned once for each connection, for what programs ask all day.

The ORM builds and compiles a question in about a millisecond, four fifths of what a read takes. So two of
them, a key's and a status's, are kept as text on PostgreSQL, each beside its twin of the ORM, which answers on
SQLite; a test holds that both say the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import Model

from kling_platform.away import AWAY

M = TypeVar("M", bound=Model)


class Columns(Generic[M]):
    """Columns of a model in a statement, all of them or the named ones, and the object that they make."""

    def __init__(self, model: type[M], alias: str, names: Sequence[str] = ()) -> None:
        fields = [one for one in model._meta.concrete_fields if not names or one.attname in names]
        self.model, self.names = model, [one.attname for one in fields]
        self.sql = ", ".join(f'{alias}."{one.column}"' for one in fields)
        self._readers = [
            (place, one.from_db_value) for place, one in enumerate(fields) if hasattr(one, "from_db_value")
        ]

    def take(self, values: list[Any]) -> M:
        """The object of the first values, which are taken away."""
        mine, values[:] = values[: len(self.names)], values[len(self.names) :]
        for place, read in self._readers:
            mine[place] = read(mine[place], None, connection)
        return self.model.from_db(connection.alias, self.names, mine)


def is_possible() -> bool:
    """Whether this database keeps plans for us."""
    return connection.vendor == "postgresql"


def first(statement: str, parameters: Mapping[str, Any]) -> list[Any] | None:
    """The first row of a statement with named parameters, as the driver reads it; PostgreSQL only.

    It comes first in its request, so it finds out by itself whether the kept line to the database is still
    alive, which spares Django's question for that; on a dead one it is asked once more, on a new line.
    """
    line: Any = connections[
        DEFAULT_DB_ALIAS
    ]  # looked up once: ``connection`` does it at each of its attributes
    proven = line.health_check_done or line.in_atomic_block or line.connection is None
    try:
        row = _ask(line, statement, parameters)
    except AWAY:
        if proven or line.is_usable():
            raise
        line.close()
        row = _ask(line, statement, parameters)
    line.health_check_done = True
    return row


def _ask(line: Any, statement: str, parameters: Mapping[str, Any]) -> list[Any] | None:
    """Whoever logs or counts what is asked gets a cursor of Django's, which knows what it sent."""
    line.ensure_connection()
    if line.queries_logged:
        with line.cursor() as cursor:
            cursor.execute(statement, parameters)
            row = cursor.fetchone()
    else:
        with line.wrap_database_errors:
            row = _cursor(line).execute(statement, parameters).fetchone()
    return None if row is None else list(row)


def _cursor(line: Any) -> Any:
    """A line's own cursor, kept: making one takes longer than asking. Django's write the parameters into the
    text, so no plan fits twice; this one sends them beside it."""
    from django.db.backends.postgresql.base import ServerBindingCursor

    kept = getattr(line, "planned_cursor", None)
    if kept is None or kept.connection is not line.connection:
        make: Any = ServerBindingCursor  # its stubs know no arguments
        kept = line.planned_cursor = make(line.connection)
    return kept
