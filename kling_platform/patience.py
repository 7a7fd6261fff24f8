"""How long a person may be kept waiting by one question to the database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction

# What SQLite does between two looks at the clock; a step is some tens of nanoseconds.
STEPS = 20_000


class TookTooLong(Exception):
    """The database was stopped in the middle of a question. Nothing was changed."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Stop each question of this block after so long; reads only. Raises ``TookTooLong``."""
    bound = _on_postgres if connection.vendor == "postgresql" else _on_sqlite
    with bound(seconds):
        yield


@contextmanager
def _on_postgres(seconds: float) -> Iterator[None]:
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT set_config('statement_timeout', %s, true)", [str(round(seconds * 1000))]
                )
            yield
    except OperationalError as error:
        # 57014, query_canceled: all else is a fault of the line, which others know how to answer.
        if getattr(error.__cause__, "sqlstate", "") != "57014":
            raise
        raise TookTooLong from error


@contextmanager
def _on_sqlite(seconds: float) -> Iterator[None]:
    connection.ensure_connection()
    raw, deadline = connection.connection, time.monotonic() + seconds
    raw.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
    try:
        yield
    except OperationalError as error:
        if str(error) != "interrupted":
            raise
        raise TookTooLong from error
    finally:
        raw.set_progress_handler(None, 0)
