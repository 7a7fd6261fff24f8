"""``manage.py provision``: one line of JSON, safe to repeat."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from accounts import keys, quotas, services
from accounts.models import AuditEntry, Quota, Transfer, User, Wallet
from tests.makers import make_user

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def provision(*words: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("provision", *words, stdout=out)
    (line,) = out.getvalue().splitlines()
    return json.loads(line)


def test_a_new_user_gets_a_password_a_quota_and_the_key_that_was_asked_for() -> None:
    answer = provision("eve", "--api-key", "ci")
    assert list(answer) == ["username", "password", "api_key"]
    eve = User.objects.get(username="eve")
    assert eve.check_password(answer["password"]) and eve.role == "member"
    key = keys.find(answer["api_key"])
    assert key is not None and (key.user, key.label) == (eve, "ci")
    (balance,) = quotas.balances(eve)
    assert (balance.quota.credits, balance.quota.period, balance.wallet.available) == (1000, "month", 1000)


@pytest.mark.parametrize("role", User.Role.values)
@pytest.mark.parametrize("credits", [0, 70])
def test_the_tests_make_the_same_somebody(role: str, credits: int) -> None:
    words: dict[str, Any] = {"role": role, "credits": credits, "password": "a-long-password"}
    left = []
    for make in (services.provision, make_user):
        with transaction.atomic():
            make("eve", email="eve@example.com", **words)
            left.append(rows())
            transaction.set_rollback(True)
    assert left[0] == left[1]


def rows() -> list[dict[str, Any]]:
    """All that there is of people and quotas, but for ids, salts and moments."""
    moments = {"date_joined", "at", "created_at", "updated_at"}
    return [
        {
            name: value
            for name, value in row.items()
            if name not in moments | {"id", "password"} and name[-3:] != "_id"
        }
        for rows in (
            User.objects,
            Quota.objects,
            Wallet.objects,
            Transfer.objects,
            AuditEntry.objects.order_by("at"),
        )
        for row in rows.values()
    ]


def test_again_it_makes_nothing_new() -> None:
    provision("eve")
    assert provision("eve") == {"username": "eve", "password": None, "api_key": None}
    assert User.objects.count() == 1


def test_credits_set_the_quota() -> None:
    provision("eve", "--credits", "50")
    provision("eve", "--credits", "80", "--period", "day")
    (balance,) = quotas.balances(User.objects.get())
    assert (balance.wallet.available, balance.quota.period) == (80, "day")


def test_no_credits_are_credits_too() -> None:
    provision("eve", "--credits", "0")
    (balance,) = quotas.balances(User.objects.get())
    assert balance.wallet.available == 0


def test_a_password_is_set_and_said() -> None:
    provision("eve")
    assert provision("eve", "--password", "a-long-password")["password"] == "a-long-password"
    assert User.objects.get().check_password("a-long-password")


def test_an_admin_enters_the_admin() -> None:
    provision("eve", "--role", "admin", "--email", "eve@example.com")
    eve = User.objects.get()
    assert (eve.is_staff, eve.email) == (True, "eve@example.com")


def test_each_key_is_another() -> None:
    assert provision("eve", "--api-key", "a")["api_key"] != provision("eve", "--api-key", "a")["api_key"]


@pytest.mark.parametrize(
    "words",
    [
        ("eve", "--credits", "-1"),
        ("eve", "--credits", "many"),
        ("eve", "--period", "year"),
        ("eve", "--role", "king"),
        ("eve", "--password", "123"),
        ("eve", "--email", "eve"),
        ("e v e",),
        (),
    ],
)
def test_a_bad_word_is_one_line_and_makes_nobody(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as refused:
        provision(*words)
    assert "\n" not in str(refused.value)
    assert not User.objects.exists()
