"""The journal is append-only in the database itself, on PostgreSQL and on SQLite.

There is deliberately no TRUNCATE trigger: emptying a test database is not a change of history.
"""

from __future__ import annotations

from typing import Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

TABLES = ("accounts_transfer", "accounts_auditentry")


def _names(table: str) -> tuple[str, str]:
    return f"{table}_no_update", f"{table}_no_delete"


def install(using: str = "default", **_: Any) -> None:
    """Put every trigger in place, as it is written here; harmless when they stand already."""
    connection = connections[using]
    existing = set(connection.introspection.table_names())
    with transaction.atomic(using), connection.cursor() as cursor:
        for table in TABLES:
            if table in existing:
                for statement in _statements(connection, table):
                    cursor.execute(statement)


def remove(using: str = "default") -> None:
    """Take the triggers away, for a flush between tests and for nothing else."""
    connection = connections[using]
    existing = set(connection.introspection.table_names())
    suffix = "ON {table}" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        for table in TABLES:
            if table in existing:
                for name in _names(table):
                    cursor.execute(f"DROP TRIGGER IF EXISTS {name} {suffix.format(table=table)}")


def missing(using: str = "default") -> list[str]:
    """Names of triggers that should stand and do not, or do not do what is written here."""
    connection = connections[using]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # "O" and "A" fire in normal sessions; a body that no longer raises is as good as none.
            cursor.execute(
                "SELECT t.tgname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
                "JOIN pg_class c ON c.oid = t.tgrelid WHERE pg_table_is_visible(c.oid) "
                "AND t.tgname = ANY(%s) AND t.tgname LIKE c.relname || '%%' "
                "AND t.tgenabled IN ('O', 'A') AND p.prosrc LIKE '%%RAISE EXCEPTION%%'",
                [[name for table in TABLES for name in _names(table)]],
            )
            standing = {row[0] for row in cursor.fetchall()}
        else:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            written = {s for table in TABLES for s in _statements(connection, table)}
            standing = {name for name, sql in cursor.fetchall() if sql in written}
    return [name for table in TABLES for name in _names(table) if name not in standing]


def _statements(connection: BaseDatabaseWrapper, table: str) -> list[str]:
    no_update, no_delete = _names(table)
    # SET NULL on a deleted actor is the one change that Django itself may make to a line.
    columns = {"accounts_transfer": _TRANSFER, "accounts_auditentry": _AUDIT}[table]
    if connection.vendor == "postgresql":
        changed = " OR ".join(f"NEW.{c} IS DISTINCT FROM OLD.{c}" for c in columns)
        return [
            "CREATE OR REPLACE FUNCTION accounts_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME "
            "USING ERRCODE = 'integrity_constraint_violation'; END $$",
            f"CREATE OR REPLACE TRIGGER {no_update} BEFORE UPDATE ON {table} FOR EACH ROW "
            f"WHEN ({changed} OR NEW.actor_id IS NOT NULL) EXECUTE FUNCTION accounts_append_only()",
            f"CREATE OR REPLACE TRIGGER {no_delete} BEFORE DELETE ON {table} FOR EACH ROW "
            "EXECUTE FUNCTION accounts_append_only()",
        ]
    changed = " OR ".join(f"NEW.{c} IS NOT OLD.{c}" for c in columns)
    return [
        # SQLite can't replace a trigger, and IF NOT EXISTS would keep one of an older release.
        f"DROP TRIGGER IF EXISTS {no_update}",
        f"DROP TRIGGER IF EXISTS {no_delete}",
        f"CREATE TRIGGER {no_update} BEFORE UPDATE ON {table} "
        f"WHEN {changed} OR NEW.actor_id IS NOT NULL "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END",
        f"CREATE TRIGGER {no_delete} BEFORE DELETE ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END",
    ]


_TRANSFER = [
    "id",
    "wallet_id",
    "seq",
    "kind",
    "amount",
    "available_after",
    "generation_id",
    "reservation_id",
    "reason",
    "created_at",
]
_AUDIT = ["id", "at", "action", "subject", "address", "detail"]
