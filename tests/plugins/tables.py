"""The tables of every test's database: the migrations run once, and each process gets a copy of what they made.

``python -m tests.plugins.tables`` runs them, while the processes of xdist are still busy with collecting.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
HOME = "KLING_TEST_HOME"  # set by the first process; those that it starts inherit it with the rest


@contextmanager
def made() -> Iterator[None]:
    """The database of DATABASE_URL has its tables, and nobody is connected to it."""
    from django.core.management import call_command
    from django.db import connection

    done = Path(os.environ[HOME], "migrated")
    with done.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            if connection.vendor == "postgresql":
                with connection._nodb_cursor() as cursor:
                    cursor.execute(f'CREATE DATABASE "{connection.settings_dict["NAME"]}"')
            call_command("migrate", verbosity=0)
            done.touch()
        connection.close()
        yield


def copy() -> None:
    """This process gets its own database, under the name that Django has for it."""
    from django.db import connection

    with made():
        original = connection.settings_dict["NAME"]
        name = connection.creation._get_test_db_name()
        if connection.vendor == "sqlite":
            shutil.copy(original, name)
        else:
            with connection._nodb_cursor() as cursor:
                cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{original}"')


def begin() -> subprocess.Popen[bytes]:
    """Another process makes them meanwhile; where it fails, the first one that needs them tries again."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.plugins.tables"], cwd=ROOT, stderr=subprocess.DEVNULL
    )


LARGE = 2 * 1024 * 1024  # bytes
KEPT = {"django_content_type", "auth_permission"}  # as the migrations left them


def emptied(operations: Any, _style: object, names: list[str], **_options: object) -> list[str]:
    """What empties these tables on PostgreSQL, in place of Django's ``sql_flush``: from the few that have rows these
    are deleted, past every trigger; a TRUNCATE makes the files of all of them anew, which takes a tenth of a second.
    Where one is large all are truncated, because deleted rows stay in the way.
    """
    names = sorted({*names} - KEPT)
    rows = " UNION ALL ".join(
        f"(SELECT '{name}', pg_relation_size('{name}') FROM \"{name}\" LIMIT 1)" for name in names
    )
    with operations.connection.cursor() as cursor:
        cursor.execute(rows)
        full = dict(cursor.fetchall())
    if any(size > LARGE for size in full.values()):
        return [f"TRUNCATE {', '.join(operations.quote_name(name) for name in names)}"]
    deletes = [f"DELETE FROM {operations.quote_name(name)}" for name in full]
    return ["SET LOCAL session_replication_role = replica", *deletes] if deletes else []


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kling_platform.settings")
    django.setup()
    with made():
        pass
