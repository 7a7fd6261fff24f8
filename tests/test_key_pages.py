"""The pages about API keys over HTTP: made, shown once, bounded, renewed, revoked; a stranger's is 404."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey, User
from accounts.services import Limits, limits_of, make_key, rotate_key
from tests.api import Api
from tests.portal import signed_in

pytestmark = pytest.mark.django_db

TYPED: dict[str, Any] = {"label": "Render", "scopes": ["read", "create"]}


def secret_in(answer: Any) -> str:
    shown = re.search(r'value="(klp_\w+)"', answer.content.decode())
    assert shown, answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    return shown[1]


@pytest.fixture
def member(alice: User) -> Client:
    return signed_in(alice)


def test_a_key_is_shown_once(member: Client) -> None:
    text = secret_in(member.post("/account/keys/new", TYPED))
    key = ApiKey.objects.get()
    for path in ("/account", f"/account/keys/{key.pk}"):
        page = member.get(path).content.decode()
        assert key.lookup in page and text not in page
    assert Api(text).get("/v1/models").status_code == 200


def test_a_key_is_made_with_its_limits(member: Client) -> None:
    today = timezone.localdate()
    limits = {
        "model_names": ["kling-v2-6"],
        "most_open": "3",
        "day": "100",
        "week": "500",
        "last_day": today.isoformat(),
    }
    member.post("/account/keys/new", {**TYPED, **limits})
    key = ApiKey.objects.get()
    assert key.scopes == ["create", "read"]
    made = limits_of(key)
    assert (made.model_names, made.most_open) == (("kling-v2-6",), 3)
    assert made.credits == {"day": 100, "week": 500}
    assert made.expires_at and timezone.localdate(made.expires_at) == today + timedelta(days=1)
    page = member.get(f"/account/keys/{key.pk}").content.decode()
    assert (
        f'value="{today.isoformat()}"' in page
        and "0</strong> of 100 a day" in page
        and "0</strong> of 500 a week" in page
    )


def test_limits_are_changed_and_taken_away(member: Client, alice: User) -> None:
    limits = Limits(model_names=("kling-v2-6",), most_open=3, credits={"month": 100})
    key, _text = make_key(alice, label="Render", limits=limits)
    answer = member.post(f"/account/keys/{key.pk}", {**TYPED, "label": "Night"}, follow=True)
    assert "Saved." in answer.content.decode()
    key.refresh_from_db()
    assert (key.label, key.scopes, limits_of(key)) == ("Night", ["create", "read"], Limits())
    member.post(f"/account/keys/{key.pk}", {**TYPED, "day": "20", "month": "300", "total": "0"})
    member.post(f"/account/keys/{key.pk}", {**TYPED, "day": "20", "month": "200"})
    assert limits_of(key).credits == {"day": 20, "month": 200}
    page = member.get(f"/account/keys/{key.pk}").content.decode()
    assert 'name="day" type="number" min="0" inputmode="numeric" value="20"' in page


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"label": " "}, "Give the key a name"),
        ({"scopes": []}, "Choose what the key may do"),
        ({"scopes": ["admin"]}, "not one of the available choices"),
        ({"model_names": ["kling-v9"]}, "not one of the available choices"),
        ({"most_open": "0"}, "a number from 1 to"),
        ({"most_open": "many"}, "Enter a whole number"),
        ({"week": "-1"}, "a whole number from 0"),
        ({"last_day": "2020-01-01"}, "That moment is over"),
        ({"last_day": "9999-12-31"}, "within ten years"),
        ({"last_day": "soon"}, "Enter a valid date"),
    ],
)
def test_what_cannot_be_is_refused_in_the_form(
    member: Client, alice: User, typed: dict[str, Any], said: str
) -> None:
    answer = member.post("/account/keys/new", {**TYPED, **typed})
    assert answer.status_code == 400
    assert said in answer.content.decode() and not ApiKey.objects.exists()
    key, _text = make_key(alice, label="Kept")
    answer = member.post(f"/account/keys/{key.pk}", {**TYPED, **typed})
    assert answer.status_code == 400 and said in answer.content.decode()
    key.refresh_from_db()
    assert (key.label, limits_of(key)) == ("Kept", Limits())


def test_a_model_that_is_gone_stays_chosen(member: Client, alice: User) -> None:
    """Without it the list would be empty, and an empty list means all of them."""
    key, _text = make_key(alice, label="x", limits=Limits(model_names=("kling-v1",)))
    page = member.get(f"/account/keys/{key.pk}").content.decode()
    assert re.search(r'value="kling-v1" checked', page)
    member.post(f"/account/keys/{key.pk}", {**TYPED, "model_names": ["kling-v1"]})
    key.refresh_from_db()
    assert key.model_names == ["kling-v1"]


def test_a_renewed_key_is_shown_once_and_the_old_one_can_be_ended(member: Client, alice: User) -> None:
    key, old = make_key(alice, label="Render")
    new = secret_in(member.post(f"/account/keys/{key.pk}/rotate", {"overlap_hours": "24"}))
    assert Api(old).get("/v1/models").status_code == Api(new).get("/v1/models").status_code == 200
    page = member.get(f"/account/keys/{key.pk}").content.decode()
    assert new not in page and "The old key works for another" in page and "It was last used" in page
    answer = member.post(f"/account/keys/{key.pk}/end-old", follow=True)
    assert "The old key no longer opens anything" in answer.content.decode()
    assert (Api(old).get("/v1/models").status_code, Api(new).get("/v1/models").status_code) == (401, 200)


@pytest.mark.parametrize("hours", ["", "-1", "1e9", "٣", "100000"])
def test_a_strange_overlap_renews_nothing(member: Client, alice: User, hours: str) -> None:
    key, text = make_key(alice, label="Render")
    member.post(f"/account/keys/{key.pk}/rotate", {"overlap_hours": hours})
    assert Api(text).get("/v1/models").status_code == 200
    key.refresh_from_db()
    assert key.old_until is None


def test_the_list_says_how_each_stands(member: Client, alice: User) -> None:
    make_key(alice, label="fine")
    now = timezone.now()
    for label, moment in (("ending", now + timedelta(days=3, hours=1)), ("ended", now - timedelta(days=2))):
        key, _text = make_key(alice, label=label)
        ApiKey.objects.filter(pk=key.pk).update(expires_at=moment)
    rotate_key(alice, make_key(alice, label="renewed")[0].pk, overlap_hours=24)
    page = re.sub(r"\s+", " ", member.get("/account").content.decode().replace("\xa0", " "))
    for words in ("ends in 3 days", "ended 2 days ago", "the old one works for 23 hours", ">on</span>"):
        assert words in page, words


def test_a_revoked_key_is_gone(member: Client, alice: User) -> None:
    key, _text = make_key(alice, label="Render")
    page = member.post(f"/account/keys/{key.pk}/revoke", follow=True).content.decode()
    assert "no longer opens anything" in page and key.lookup not in page
    assert member.get(f"/account/keys/{key.pk}").status_code == 404


@pytest.mark.parametrize("path", ["", "/rotate", "/end-old", "/revoke"])
def test_a_strangers_key_is_404(alice: User, bob: User, path: str) -> None:
    key, text = make_key(alice, label="Render")
    client = signed_in(bob)
    answers = [client.post(f"/account/keys/{key.pk}{path}", {**TYPED, "overlap_hours": "1"})]
    if not path:
        answers.append(client.get(f"/account/keys/{key.pk}"))
    assert {answer.status_code for answer in answers} == {404}
    key.refresh_from_db()
    assert key.label == "Render" and Api(text).get("/v1/models").status_code == 200


def test_nobody_in_particular_is_asked_to_sign_in(alice: User) -> None:
    key, _text = make_key(alice, label="Render")
    for path in ("/account/keys/new", f"/account/keys/{key.pk}"):
        assert Client().get(path)["Location"].startswith("/signin?next=/account/keys")
