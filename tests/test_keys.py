"""API keys: shown once, hashed at rest, dead at once."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from django.test import RequestFactory
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts import keys, services
from accounts.authentication import KeyAuthentication
from accounts.models import ApiKey, AuditEntry, Quota, User
from kling_platform.errors import InvalidValue, NotFound, Suspended
from tests.prove.forged import refused

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
    key = alice.api_keys.get()
    keys.find(alice_key)
    key.refresh_from_db()
    first = key.last_used_at
    keys.find(alice_key)
    key.refresh_from_db()
    assert key.last_used_at == first is not None
    ApiKey.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    keys.find(alice_key)
    key.refresh_from_db()
    assert key.last_used_at is not None and key.last_used_at >= first


def test_what_opens_nothing_notes_nothing(alice: User, alice_key: str) -> None:
    body = alice_key[:14] + keys.make().text[14:-6]
    keys.find(body + keys._checksum(body))
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    keys.find(alice_key)
    assert alice.api_keys.get().last_used_at is None


@pytest.mark.postgres
def test_the_use_of_each_of_two_secrets_is_noted_apart(alice: User, alice_key: str) -> None:
    """PostgreSQL notes in the statement that finds; SQLite in one more, which must say the same."""
    _key, new = services.rotate_key(alice, alice.api_keys.get().pk, overlap_hours=1)
    now, long_ago = timezone.now(), timezone.now() - timedelta(minutes=2)
    for text, noted in ((alice_key, (True, True)), (new, (True, False))):
        for last, old in product((None, long_ago, now), repeat=2):
            is_due = (old if text == alice_key else last) != now
            for way in (keys.find, keys._note):
                ApiKey.objects.update(last_used_at=last, old_used_at=old)
                way(text)
                key = alice.api_keys.get()
                changed = (key.last_used_at != last, key.old_used_at != old)
                assert changed == (noted if is_due else (False, False)), (way, last, old)


# --- an end, and a new secret ------------------------------------------------------


def test_a_key_ends_by_itself(alice: User, alice_key: str) -> None:
    ApiKey.objects.update(expires_at=timezone.now() + timedelta(minutes=1))
    assert keys.find(alice_key)
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert keys.find(alice_key) is None
    assert "has ended" in keys.why_ended(alice_key)


def test_a_renewed_key_opens_with_both_secrets_for_a_while(alice: User, alice_key: str) -> None:
    key, new = services.rotate_key(alice, alice.api_keys.get().pk, overlap_hours=24)
    assert new != alice_key and new[:14] == alice_key[:14]
    assert keys.find(new) == keys.find(alice_key) == key
    ApiKey.objects.update(old_until=timezone.now() - timedelta(seconds=1))
    assert keys.find(alice_key) is None and keys.find(new)
    assert "replaced by a new one" in keys.why_ended(alice_key)
    assert keys.why_ended("klp_" + "0" * 48) == ""


def test_of_three_secrets_the_first_ends_at_once(alice: User, alice_key: str) -> None:
    key_id = alice.api_keys.get().pk
    second = services.rotate_key(alice, key_id, overlap_hours=24)[1]
    third = services.rotate_key(alice, key_id, overlap_hours=24)[1]
    assert [bool(keys.find(text)) for text in (alice_key, second, third)] == [False, True, True]


def test_the_old_secret_can_be_ended_at_once(alice: User, alice_key: str) -> None:
    key_id = alice.api_keys.get().pk
    new = services.rotate_key(alice, key_id, overlap_hours=0)[1]
    assert keys.find(alice_key) is None and keys.find(new)
    newer = services.rotate_key(alice, key_id, overlap_hours=24)[1]
    services.end_old_secret(alice, key_id)
    assert keys.find(new) is None and keys.find(newer)
    services.end_old_secret(alice, key_id)
    assert AuditEntry.objects.filter(action="key.end_old").count() == 1


def test_a_dead_key_is_not_renewed_and_revoking_ends_both_secrets(alice: User, alice_key: str) -> None:
    key_id = alice.api_keys.get().pk
    new = services.rotate_key(alice, key_id, overlap_hours=24)[1]
    services.revoke_key(alice, key_id)
    assert keys.find(alice_key) is keys.find(new) is None
    assert "revoked" in keys.why_ended(new)
    for change in (services.rotate_key, services.end_old_secret):
        with pytest.raises(NotFound):
            change(alice, key_id, **({"overlap_hours": 1} if change is services.rotate_key else {}))


@pytest.mark.parametrize("hours", [-1, 7 * 24 + 1])
def test_the_overlap_is_a_week_at_most(alice: User, alice_key: str, hours: int) -> None:
    with pytest.raises(InvalidValue) as refused:
        services.rotate_key(alice, alice.api_keys.get().pk, overlap_hours=hours)
    assert refused.value.param == "overlap_hours"


# --- what a key may --------------------------------------------------------------------


def test_nobody_gives_a_key_more_than_both_may(alice: User, bob: User) -> None:
    services.set_active(bob, False, actor=None)
    bob.refresh_from_db()
    with pytest.raises(Suspended):
        services.make_key(bob, label="x")
    with pytest.raises(InvalidValue, match="which its owner may not do"):
        services.make_key(alice, label="x", actor=bob)


def test_a_change_is_audited_with_before_and_after(alice: User) -> None:
    key, _text = services.make_key(alice, label="Render")
    limits = services.Limits(model_names=("kling-v2-6",), most_open=3, credits={"month": 100})
    services.change_key(alice, key.pk, label="Night", scopes=("read", "create"), limits=limits)
    key.refresh_from_db()
    assert services.limits_of(key) == limits and key.label == "Night"
    entries = AuditEntry.objects.filter(action__in=["key.change", "key.bound", "quota.set"])
    told = {entry.action: entry.detail for entry in entries}
    assert told["key.change"]["before"]["label"] == "Render"
    assert told["key.bound"]["after"] == {"model_names": ["kling-v2-6"], "most_open": 3}
    assert Quota.objects.get(api_key=key).credits == 100
    services.change_key(alice, key.pk, label="Night", scopes=("read", "create"), limits=limits)
    assert AuditEntry.objects.filter(action__in=told).count() == 4, "the quota of alice, and these three"


@pytest.mark.parametrize(
    ("limits", "param"),
    [
        ({"most_open": 0}, "most_open"),
        ({"most_open": 10_001}, "most_open"),
        ({"credits": {"month": -1}}, "month"),
        ({"credits": {"year": 5}}, "period"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expires_at"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_and_changes_nothing(
    alice: User, limits: dict[str, Any], param: str
) -> None:
    key, _text = services.make_key(alice, label="x")
    with pytest.raises(InvalidValue) as refused:
        services.change_key(alice, key.pk, label="y", scopes=("read",), limits=services.Limits(**limits))
    assert refused.value.param == param
    key.refresh_from_db()
    assert (key.label, services.limits_of(key)) == ("x", services.Limits())


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


def test_forged_keys_are_refused_without_a_question_to_the_database() -> None:
    """The full figure is ``make prove R=forged``."""
    assert refused(200, seed=20261124) == 200
