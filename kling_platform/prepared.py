"""Statements written by hand and planned once for each connection, for what programs ask all day.

The ORM builds and compiles a question in about a millisecond, four fifths of what a read takes. So four of
them, a key's, a status's, and which wallets and teams a creating call is for, are kept as text on PostgreSQL, each
beside its twin of the ORM, which answers on SQLite; a test holds that both say the same.
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
        rows = _ask(line, statement, parameters)
    except AWAY:
        if proven or line.is_usable():
            raise
        line.close()
        rows = _ask(line, statement, parameters)
    line.health_check_done = True
    return rows[0] if rows else None


def every(statement: str, parameters: Mapping[str, Any]) -> list[list[Any]]:
    """All rows of a statement, few as they are, on a line that has proven to be alive; PostgreSQL only."""
    return _ask(connections[DEFAULT_DB_ALIAS], statement, parameters)


def _ask(line: Any, statement: str, parameters: Mapping[str, Any]) -> list[list[Any]]:
    """Whoever logs or counts what is asked gets a cursor of Django's, which knows what it sent."""
    line.ensure_connection()
    if line.queries_logged:
        with line.cursor() as cursor:
            cursor.execute(statement, parameters)
            rows = cursor.fetchall()
    else:
        with line.wrap_database_errors:
            rows = _cursor(line).execute(statement, parameters).fetchall()
    return [list(row) for row in rows]


def _cursor(line: Any) -> Any:
    """A line's own cursor, kept: making one takes longer than asking. Django's write the parameters into the
    text, so no plan fits twice; this one sends them beside it."""
    from django.db.backends.postgresql.base import ServerBindingCursor

    kept = getattr(line, "planned_cursor", None)
    if kept is None or kept.connection is not line.connection:
        make: Any = ServerBindingCursor  # its stubs know no arguments
        kept = line.planned_cursor = make(line.connection)
    return kept
