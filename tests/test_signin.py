"""Five tries to sign in a minute per name and address, for portal and admin together."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F
from django.test import Client

from accounts import services, throttle
from accounts.models import SignInTry, User
from tests.conftest import PASSWORD
from tests.prove.race import race

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def allowed(name: str = "alice", address: str = "192.0.2.1", tries: int = 10) -> int:
    """How many of so many tries pass."""
    passed = 0
    for _ in range(tries):
        try:
            throttle.check(name, address)
        except throttle.TooManyTries as refusal:
            assert refusal.retry_after is not None and 1 <= refusal.retry_after <= 60
        else:
            passed += 1
    return passed


def age(seconds: float) -> None:
    SignInTry.objects.update(at=F("at") - timedelta(seconds=seconds))


def test_five_tries_pass() -> None:
    assert allowed() == 5


def test_another_name_or_address_has_tries_of_its_own() -> None:
    assert [allowed(), allowed(name="bob"), allowed(address="192.0.2.2")] == [5, 5, 5]


@pytest.mark.parametrize("name", ["ALICE", "alice", "ａｌｉｃｅ"])
def test_one_name_in_other_letters_is_one_name(name: str) -> None:
    allowed()
    assert allowed(name=name) == 0


def test_a_subscriber_with_a_whole_ipv6_network_is_one_address() -> None:
    assert allowed(address="2001:db8:1:2::1") == 5
    assert allowed(address="2001:db8:1:2:ffff::9") == 0
    assert allowed(address="2001:db8:1:3::1") == 5


def test_the_minute_slides() -> None:
    allowed(tries=3)
    age(40)
    assert allowed() == 2
    age(21)  # the first three are 61 s old
    assert allowed() == 3


def test_a_refused_try_does_not_lengthen_the_wait() -> None:
    allowed()
    age(50)
    assert allowed(tries=20) == 0
    with pytest.raises(throttle.TooManyTries) as refused:
        throttle.check("alice", "192.0.2.1")
    assert refused.value.retry_after is not None and refused.value.retry_after <= 11
    age(11)
    assert allowed() == 5


def test_who_knows_the_password_starts_afresh() -> None:
    allowed(tries=4)
    throttle.forget("Alice", "192.0.2.1")
    assert allowed() == 5


def test_old_tries_go_and_names_are_not_kept() -> None:
    allowed(name="my secret password")
    assert not SignInTry.objects.filter(who__contains="secret").exists()
    age(61)
    allowed(name="bob", tries=1)
    assert SignInTry.objects.count() == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_forty_tries_at_once_at_most_five_pass() -> None:
    assert sum(race([lambda: allowed(tries=1)] * 40, threads=20)) <= 5  # none, when all see each other
    age(61)
    assert allowed() == 5


# --- at the two doors ---------------------------------------------------------------


DOORS = ["/signin", "/admin/login/"]


def knock(door: str, name: str, password: str, client: Client | None = None):  # type: ignore[no-untyped-def]
    return (client or Client()).post(door, {"username": name, "password": password})


@pytest.mark.parametrize("door", DOORS)
def test_the_sixth_wrong_password_is_refused_even_if_right(boss: User, door: str) -> None:
    for _ in range(5):
        answer = knock(door, "boss", "wrong")
        assert answer.status_code == 200 and b"do not match" in answer.content
    answer = knock(door, "boss", PASSWORD)
    assert answer.status_code == 429
    assert 1 <= int(answer["Retry-After"]) <= 60
    assert b"Too many tries" in answer.content
    age(61)
    assert knock(door, "boss", PASSWORD).status_code == 302


def test_the_doors_share_one_count(boss: User) -> None:
    for door in [*DOORS, *DOORS, DOORS[0]]:
        knock(door, "boss", "wrong")
    assert [knock(door, "boss", PASSWORD).status_code for door in DOORS] == [429, 429]


def test_signing_in_often_with_the_right_password_is_fine(boss: User) -> None:
    assert [knock(door, "boss", PASSWORD).status_code for door in DOORS * 4] == [302] * 8


@pytest.mark.parametrize("role", ["member", "manager"])
def test_only_admins_sign_in_at_the_admin_door(alice: User, role: str, boss: User) -> None:
    services.set_role(alice, role, actor=boss)
    answer = knock("/admin/login/", "alice", PASSWORD)
    assert answer.status_code == 200
    assert b"This part is for admins" in answer.content
    assert "_auth_user_id" not in answer.wsgi_request.session


@pytest.mark.parametrize("door", DOORS)
def test_unknown_wrong_and_suspended_sound_the_same(boss: User, alice: User, door: str) -> None:
    services.set_active(alice, False, actor=boss)
    for name, password in [("nobody", "x"), ("boss", "x"), ("alice", PASSWORD)]:
        assert (
            b"Name and password do not match, or the account is suspended."
            in knock(door, name, password).content
        )


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", ["nul\x00", "", "  "])
def test_a_name_that_cannot_be_is_refused_without_a_try(db: None, door: str, name: str) -> None:
    assert knock(door, name, "x").status_code == 200
    assert not SignInTry.objects.exists()
