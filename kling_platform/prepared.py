"""Statements written by hand and planned once for each connection, for what programs ask all day.

The ORM builds and compiles a question in about a millisecond, four fifths of what a read takes. So the few that
clients ask all day (a key's, a status's, a cursor's, and which wallets and teams a creating call is for) are kept
as text on PostgreSQL, each beside its twin of the ORM, which answers on SQLite; a test holds that both say the
same. What a creating call writes goes through ``insert``, for which the models say what there is to write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import Model
from django.db.models.base import ModelState

from kling_platform.away import AWAY

M = TypeVar("M", bound=Model)
Parameters = Mapping[str, Any] | Sequence[Any]


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
        """The object of the first values, which are taken away: what ``from_db`` makes of them, without its look
        at every column that was not asked for and its signals, which nobody hears."""
        mine, values[:] = values[: len(self.names)], values[len(self.names) :]
        for place, read in self._readers:
            mine[place] = read(mine[place], None, connection)
        made = self.model.__new__(self.model)
        made._state = ModelState()
        made._state.adding, made._state.db = False, DEFAULT_DB_ALIAS
        vars(made).update(zip(self.names, mine, strict=True))
        return made


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


def every(statement: str, parameters: Parameters) -> list[list[Any]]:
    """All rows of a statement, few as they are."""
    return _ask(_living(), statement, parameters)


def insert(*rows: Model) -> None:
    """Write new rows: what ``save(force_insert=True)`` of one after the other writes, in one statement.

    Each gets its key from the database, or has it. Signals are not sent.
    """
    if not is_possible():
        for row in rows:
            row.save(force_insert=True)
        return
    line = _living()
    values: list[Any] = []
    shape: list[tuple[type[Model], tuple[str, ...]]] = []
    for row in rows:
        taken = [
            (str(field.column), value)
            for field in row._meta.concrete_fields
            if (value := field.get_db_prep_save(field.pre_save(row, True), line)) is not None
        ]
        shape.append((type(row), tuple(column for column, _value in taken)))
        values += [value for _column, value in taken]
    (keys,) = _ask(line, _insertion(*shape), values)
    for row, key in zip(rows, keys, strict=True):
        row.pk, row._state.adding, row._state.db = key, False, DEFAULT_DB_ALIAS


@lru_cache
def _insertion(*shape: tuple[type[Model], tuple[str, ...]]) -> str:
    """The statement for rows of these models, with these columns; what is not named stays NULL."""
    written, asked, quoted = [], [], connection.ops.quote_name
    for number, (model, columns) in enumerate(shape):
        pk: Any = model._meta.pk
        names, places = ", ".join(map(quoted, columns)), ", ".join(["%s"] * len(columns))
        written.append(
            f"row{number} AS (INSERT INTO {quoted(model._meta.db_table)} ({names}) VALUES ({places}) "  # noqa: S608
            f"RETURNING {quoted(pk.column)} AS key)"
        )
        asked.append(f"(SELECT key FROM row{number})")  # noqa: S608
    return f"WITH {', '.join(written)} SELECT {', '.join(asked)}"


def _living() -> Any:
    """The line, after Django's own question whether it is still alive, where nobody has asked yet."""
    line: Any = connections[DEFAULT_DB_ALIAS]
    line.close_if_health_check_failed()
    return line


def _ask(line: Any, statement: str, parameters: Parameters) -> list[list[Any]]:
    """Whoever logs or counts what is asked gets a cursor of Django's, which knows what it sent."""
    line.ensure_connection()
    if line.queries_logged or not is_possible():
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
