"""API keys: shown once, hashed at rest, dead at once."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import RequestFactory
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts import keys, services
from accounts.authentication import KeyAuthentication
from accounts.models import ApiKey, AuditEntry, User
from kling_platform.errors import InvalidValue, NotFound, Suspended

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def test_a_key_opens_and_is_nowhere_in_the_database(alice: User) -> None:
    key, text = services.make_key(alice, label="laptop")
    assert re.fullmatch(r"klp_[0-9A-Za-z]{48}", text)
    found = keys.find(text)
    assert found == key and found.user == alice
    secret = text[len("klp_") + 10 :]
    stored = str(ApiKey.objects.values().get(pk=key.pk)) + str(list(AuditEntry.objects.values()))
    assert secret not in stored and secret[:16] not in stored


def test_no_two_keys_are_alike() -> None:
    assert len({keys.make().text for _ in range(500)}) == 500


def test_a_mistyped_key_costs_no_query(alice_key: str, django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    swapped = alice_key[:20] + alice_key[21] + alice_key[20] + alice_key[22:]
    wrong = [swapped, alice_key[:-1], alice_key + "0", "klp_", "", "klp_" + "é" * 48, "sk-" + alice_key[3:]]
    with django_assert_num_queries(0):
        assert [keys.find(text) for text in wrong if text != alice_key] == [None] * len(wrong)


def test_the_right_start_with_another_secret_opens_nothing(alice_key: str) -> None:
    body = alice_key[:14] + keys.make().text[14:-6]
    assert keys.well_formed(forged := body + keys._checksum(body))
    assert keys.find(forged) is None


def test_a_revoked_key_is_dead_at_once_and_twice_is_harmless(alice: User, alice_key: str) -> None:
    key = alice.api_keys.get()
    assert services.revoke_key(alice, key.pk).revoked_at
    assert keys.find(alice_key) is None
    services.revoke_key(alice, key.pk)
    assert AuditEntry.objects.filter(action="key.revoke").count() == 1


def test_nobody_revokes_a_strangers_key(alice: User, alice_key: str, bob: User) -> None:
    with pytest.raises(NotFound):
        services.revoke_key(bob, alice.api_keys.get().pk)
    assert keys.find(alice_key)


@pytest.mark.parametrize("label", ["", "   ", "x" * 101, "a\x00b", "line\nbreak", "\ud800"])
def test_a_key_needs_a_name_that_can_be_shown(alice: User, label: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        services.make_key(alice, label=label)
    assert refused.value.param == "label"


@pytest.mark.parametrize("scopes", [(), ("admin",), ("read", "delete")])
def test_a_key_may_read_create_or_both(alice: User, scopes: tuple[str, ...]) -> None:
    with pytest.raises(InvalidValue, match="Choose what the key may do: read, create"):
        services.make_key(alice, label="x", scopes=scopes)


def test_use_is_noted_at_most_once_a_minute(alice: User, alice_key: str) -> None:
    key = keys.find(alice_key)
    assert key is not None
    keys.touch(key)
    key.refresh_from_db()
    first = key.last_used_at
    keys.touch(key)
    key.refresh_from_db()
    assert key.last_used_at == first is not None
    ApiKey.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    key.refresh_from_db()
    keys.touch(key)
    key.refresh_from_db()
    assert key.last_used_at is not None and key.last_used_at >= first


# --- at the door -----------------------------------------------------------------


def enter(header: str | None) -> tuple[User, ApiKey] | None:
    headers = {} if header is None else {"HTTP_AUTHORIZATION": header}
    return KeyAuthentication().authenticate(Request(RequestFactory().get("/v1/models", **headers)))  # type: ignore[arg-type]


def test_a_bearer_key_lets_its_owner_in(alice: User, alice_key: str) -> None:
    assert enter(f"Bearer {alice_key}") == (alice, alice.api_keys.get())
    assert enter(f"bearer  {alice_key} ") == (alice, alice.api_keys.get())


def test_without_a_header_nobody_is_meant(db: None) -> None:
    assert enter(None) is None


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer nonsense", "Basic YTpi", "Token x", "Bearer \xff\xfe", "x"]
)
def test_anything_else_is_refused_in_words(db: None, header: str) -> None:
    with pytest.raises(AuthenticationFailed, match="not known here"):
        enter(header)


def test_a_suspended_owners_key_says_so(alice: User, alice_key: str, boss: User) -> None:
    services.set_active(alice, False, actor=boss)
    with pytest.raises(Suspended, match="suspended"):
        enter(f"Bearer {alice_key}")
    services.set_active(alice, True, actor=boss)
    assert enter(f"Bearer {alice_key}")
