"""A quote tells the truth and leaves nothing; a call that would rather wait holds nothing meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ

from accounts.models import ApiKey, Quota, User, Wallet
from accounts.services import make_key, set_quota
from generations import services
from generations.api import waiting
from generations.models import Event, Generation
from generations.omnimaas.reader import Reading
from tests.api import GENERATIONS, TEXT, Api, error, everything, finished
from tests.makers import ask, due, submitted

pytestmark = pytest.mark.django_db

VIDEOS = "/v1/videos"
DRY = f"{GENERATIONS}?dry_run=1"


# --- quote --------------------------------------------------------------------------


@pytest.mark.sqlite
def test_a_quote_names_price_purse_and_place_and_writes_nothing(alice: User, alice_key: str) -> None:
    set_quota(ApiKey.objects.get(), credits=40, period=Quota.Period.DAY)
    ask(alice)
    before = everything(), OrmQ.objects.count(), Event.objects.count(), Session.objects.count()
    answer = Api(alice_key).post(DRY, TEXT)
    assert answer.status_code == 200
    quote = answer.json()
    assert (quote["object"], quote["possible"], quote["refusals"]) == ("quote", True, [])
    assert (quote["cost"], quote["seconds"], quote["size"], quote["mode"]) == (15, 5, "16:9", "std")
    assert [(w["scope"], w["available"], w["after"]) for w in quote["wallets"]] == [
        ("user", 985, 970),
        ("key", 40, 25),
    ]
    assert quote["queue"] == {
        "position": 2,
        "eta_seconds": None,
        "eta_seconds_at_most": None,
        "paused": False,
    }
    assert (everything(), OrmQ.objects.count(), Event.objects.count(), Session.objects.count()) == before


@pytest.mark.sqlite
def test_a_quote_in_a_new_period_opens_no_wallet(alice_key: str) -> None:
    yesterday = timezone.now() - timedelta(days=1)
    Wallet.objects.update(starts_at=yesterday - timedelta(days=1), ends_at=yesterday)
    before = everything()
    assert Api(alice_key).post(DRY, TEXT).json()["wallets"][0]["after"] == 985
    assert everything() == before


def test_without_a_quota_a_quote_has_a_price_and_says_why_not(db: None) -> None:
    key = make_key(User.objects.create_user("carol"), label="x")[1]
    quote = Api(key).post(DRY, TEXT).json()
    assert (quote["cost"], quote["wallets"], quote["possible"]) == (15, [], False)
    assert [refusal["code"] for refusal in quote["refusals"]] == ["no_quota"]


def block_nothing(alice: User) -> None:
    pass


def spend_it(alice: User) -> None:
    set_quota(alice, credits=10)


def spend_it_and_the_keys(alice: User) -> None:
    spend_it(alice)
    set_quota(ApiKey.objects.get(), credits=3)


def fill_the_key(alice: User) -> None:
    ApiKey.objects.update(most_open=1)
    services.create(user=alice, api_key=ApiKey.objects.get(), request=TEXT)


@pytest.mark.parametrize(
    ("hinder", "fields", "blocked"),
    [
        (block_nothing, {"duration": 7}, [("invalid_value", "duration")]),
        (block_nothing, {"images": ["bm90IGEgcGljdHVyZQ=="]}, [("invalid_value", "images")]),
        (spend_it, {}, [("insufficient_quota", None)]),
        (spend_it_and_the_keys, {}, [("insufficient_quota", None)] * 2),
        (fill_the_key, {}, [("too_many_open", None)]),
    ],
)
def test_a_quote_says_what_the_real_call_would_be_refused_for(
    alice: User, alice_key: str, hinder: Any, fields: dict[str, Any], blocked: list[Any]
) -> None:
    hinder(alice)
    api = Api(alice_key)
    quote, real = api.post(DRY, TEXT | fields).json(), api.create(**fields)
    assert quote["possible"] is (real.status_code == 200) is False
    assert [(refusal["code"], refusal["param"]) for refusal in quote["refusals"]] == blocked
    first = quote["refusals"][0]
    assert {name: first[name] for name in error(real)} == error(real)
    assert first["status"] == real.status_code


def test_openais_way_quotes_in_openais_words(alice_key: str) -> None:
    quote = Api(alice_key).post(f"{VIDEOS}?dry_run=true", TEXT | {"seconds": "7"}).json()
    assert [refusal["param"] for refusal in quote["refusals"]] == ["seconds"]
    assert Api(alice_key).post(f"{VIDEOS}?dry_run=true", TEXT | {"seconds": "10"}).json()["cost"] == 30
    assert not Generation.objects.exists()


def test_a_typing_error_in_dry_run_makes_nothing(alice_key: str) -> None:
    answer = Api(alice_key).post(f"{GENERATIONS}?dry_run=yes", TEXT)
    assert (answer.status_code, error(answer)["param"]) == (400, "dry_run")
    assert not Generation.objects.exists()
    assert Api(alice_key).post(f"{GENERATIONS}?dry_run=0", TEXT).json()["object"] == "video"


# --- wait ---------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.05)


@pytest.mark.parametrize("path", [GENERATIONS, VIDEOS])
def test_a_read_that_is_over_is_answered_at_once(alice: User, alice_key: str, path: str) -> None:
    began = time.monotonic()
    answer = Api(alice_key).get(f"{path}/{finished(alice).pk}", headers={"prefer": "wait=60"})
    assert answer["Preference-Applied"] == "wait=60"
    assert answer.json()["progress"] == 100
    assert time.monotonic() - began < 30


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("path", [GENERATIONS, VIDEOS])
def test_a_create_waits_no_longer_than_it_was_asked_to(alice_key: str, path: str) -> None:
    began = time.monotonic()
    answer = Api(alice_key).post(path, TEXT, headers={"prefer": "respond-async, wait=1"})
    assert time.monotonic() - began >= 1
    assert (answer.status_code, answer["Preference-Applied"]) == (200, "wait=1")
    assert answer.json()["status"] in ("processing", "queued")


@pytest.mark.parametrize(
    "words", ["", "wait", "wait=", "wait=x", "wait=-5", "nowait=5", "return=minimal", "wait=0"]
)
def test_what_is_no_wish_to_wait_is_answered_at_once(alice_key: str, words: str) -> None:
    answer = Api(alice_key).post(GENERATIONS, TEXT, headers={"prefer": words})
    assert answer.status_code == 200 and "Preference-Applied" not in answer


def test_more_than_a_minute_is_a_minute(rf: Any) -> None:
    for words, seconds in {"wait=100000": 60, 'foo; bar, Wait = "7"': 7, "wait=59,x": 59}.items():
        assert waiting.asked_seconds(rf.get("/", headers={"prefer": words})) == seconds


@pytest.mark.usefixtures("quick", "alone")
@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_who_waits_holds_no_connection_and_the_fourth_is_answered_at_once(
    alice: User, alice_key: str, live_server: Any
) -> None:
    generation = submitted(alice)
    got: list[Any] = []

    def wait() -> None:
        answer = Api(alice_key).get(f"{GENERATIONS}/{generation.pk}", headers={"prefer": "wait=60"})
        got.append(answer)
        connection.close()

    threads = [threading.Thread(target=wait) for _ in range(waiting.MOST_WAITING)]
    for thread in threads:
        thread.start()
    until(lambda: waiting._waiting._value == 0)
    fourth = Api(alice_key).get(f"{GENERATIONS}/{generation.pk}", headers={"prefer": "wait=60"})
    assert fourth.status_code == 200 and "Preference-Applied" not in fourth
    # Each looks for a moment and lets go: again and again there is no other session than ours.
    for _ in range(3):
        until(lambda: sessions() == 1)
    fail(generation)
    for thread in threads:
        thread.join(30)
    assert [answer["Preference-Applied"] for answer in got] == ["wait=60"] * waiting.MOST_WAITING
    assert {answer.json()["status"] for answer in got} == {"failed"}
    until(lambda: waiting._waiting._value == waiting.MOST_WAITING)


def fail(generation: Generation) -> None:
    assert services.record_reading(due(generation), Reading("failed", error_message="no"))


def sessions() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return cursor.fetchone()[0]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
