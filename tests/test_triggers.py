"""The journal is append-only in the database itself."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from accounts import ledger, quotas, services, triggers
from accounts.models import AuditEntry, Transfer, User

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


@pytest.mark.parametrize("model", [Transfer, AuditEntry])
def test_a_line_cannot_be_deleted(alice: User, model: type[Transfer] | type[AuditEntry]) -> None:
    before = model.objects.count()
    assert before
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        model.objects.all().delete()
    assert model.objects.count() == before


@pytest.mark.parametrize(
    ("model", "change"),
    [
        (Transfer, {"amount": 1_000_000}),
        (Transfer, {"available_after": 0}),
        (Transfer, {"kind": "grant"}),
        (Transfer, {"reason": "it never happened"}),
        (AuditEntry, {"action": "nothing"}),
        (AuditEntry, {"detail": {}}),
    ],
)
def test_a_line_cannot_be_changed(
    alice: User, model: type[Transfer] | type[AuditEntry], change: dict[str, object]
) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        model.objects.update(**change)


def test_raw_sql_is_refused_too(alice: User) -> None:
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE accounts_transfer SET amount = amount + 1")


def test_who_did_it_can_be_forgotten_but_not_rewritten(alice: User, boss: User) -> None:
    with transaction.atomic():
        ledger.grant(quotas.current_wallet(alice.quotas.get()).pk, 5, reason="sorry", actor=boss)
    line = Transfer.objects.get(kind="grant")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Transfer.objects.filter(pk=line.pk).update(actor=alice)
    Transfer.objects.filter(pk=line.pk).update(actor=None)
    assert Transfer.objects.get(pk=line.pk).actor is None


def test_a_new_database_has_them_all() -> None:
    assert triggers.missing() == []


def test_installing_twice_is_harmless() -> None:
    triggers.install()
    triggers.install()
    assert triggers.missing() == []


def test_a_missing_trigger_is_noticed(alice: User) -> None:
    table = "ON accounts_transfer" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER accounts_transfer_no_delete {table}")
    assert triggers.missing() == ["accounts_transfer_no_delete"]
    triggers.install()
    assert triggers.missing() == []


def test_a_trigger_that_was_hollowed_out_is_noticed(alice: User) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "CREATE OR REPLACE FUNCTION accounts_append_only() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RETURN NEW; END $$"
            )
        else:
            for name in ("accounts_transfer_no_update", "accounts_auditentry_no_update"):
                table = name.removesuffix("_no_update")
                cursor.execute(f"DROP TRIGGER {name}")
                cursor.execute(f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} BEGIN SELECT 1; END")
    assert {"accounts_transfer_no_update", "accounts_auditentry_no_update"} <= set(triggers.missing())
    triggers.install()
    assert triggers.missing() == []


@pytest.mark.django_db(transaction=True)
def test_a_flush_between_tests_leaves_them_standing(alice: User) -> None:
    """Run before the next one, whose database was flushed by this one's end."""
    services.grant(alice.quotas.get(), credits=5, reason="", actor=None)


@pytest.mark.django_db(transaction=True)
def test_after_a_flush_they_stand(alice: User) -> None:
    assert Transfer.objects.count() == 1
    assert triggers.missing() == []
