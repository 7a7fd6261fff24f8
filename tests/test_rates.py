"""How often a key may call: exact for creating calls, in words and headers that say what is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from accounts import keys, rates
from accounts.models import ApiKey, User
from generations.models import Generation
from tests.api import GENERATIONS, Api, error
from tests.makers import ask
from tests.prove.race import race

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def test_calls_come_back_evenly_and_never_more_than_the_limit_at_once() -> None:
    """An hour of hurry and rest, call by call, against the plainest model of the same promise."""
    allowance, whole_at, tokens, last = rates.Allowance("x", 7), 0, 7.0, 0
    for step in range(4_000):
        now = step * 900_000 + (step % 13) * 3_000_000
        now = max(now, last)
        tokens = min(7.0, tokens + (now - last) / allowance.each)
        ahead = max(0, whole_at - now)
        fits = ahead <= allowance.most_ahead
        assert fits == (tokens > 1 - 1e-6), step
        if fits:
            tokens -= 1
            whole_at = now + ahead + allowance.each
            left = allowance._replace(ahead=whole_at - now)
            assert left.remaining == int(tokens + 1e-6), step
        last = now


def test_too_many_creating_calls_are_429_and_made_nothing(alice: User, alice_key: str, settings: Any) -> None:
    settings.API_CREATES_PER_MINUTE = 3
    api = Api(alice_key)
    assert [api.create().status_code for _ in range(3)] == [200, 200, 200]
    answer = api.create()
    refusal = error(answer)
    assert (answer.status_code, refusal["type"], refusal["code"]) == (
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
    )
    assert 1 <= int(answer["Retry-After"]) <= 20, "one of three calls a minute comes back in 20 s"
    assert "nothing was charged" in refusal["message"]
    assert Generation.objects.count() == 3
    assert api.get("/v1/models").status_code == 200, "looking is another matter"
    ApiKey.objects.update(creates_whole_at=0)
    assert api.create().status_code == 200


def test_a_key_of_ones_own_is_counted_alone(alice_key: str, bob_key: str, settings: Any) -> None:
    settings.API_CREATES_PER_MINUTE = 1
    assert [Api(key).create().status_code for key in (alice_key, bob_key, alice_key)] == [200, 200, 429]


def test_every_answer_says_what_is_left(alice: User, alice_key: str, settings: Any) -> None:
    settings.API_CREATES_PER_MINUTE, settings.API_CALLS_PER_MINUTE = 60, 120
    api = Api(alice_key)
    made = api.create()
    assert made["RateLimit-Policy"] == '"creates";q=60;w=60'
    assert made["RateLimit"] == '"creates";r=59;t=1'
    assert made["x-ratelimit-limit-requests"] == "60"
    assert made["x-ratelimit-remaining-requests"] == "59"
    assert made["x-ratelimit-reset-requests"] == "1s"
    for answer in (api.get(GENERATIONS), api.get(f"{GENERATIONS}/{made.json()['id']}/content")):
        assert answer["RateLimit-Policy"] == '"calls";q=120;w=60', answer.content
    refused = api.create(duration=7)
    assert (refused.status_code, refused["x-ratelimit-remaining-requests"]) == (400, "58")
    assert "RateLimit" not in Api().get("/v1/models").headers


def test_a_refusal_says_that_nothing_is_left(alice_key: str, settings: Any) -> None:
    settings.API_CREATES_PER_MINUTE = 1
    Api(alice_key).create()
    answer = Api(alice_key).create()
    assert answer["RateLimit"].startswith('"creates";r=0;t=')
    assert answer["x-ratelimit-remaining-requests"] == "0"


def test_other_calls_are_counted_in_the_process(alice: User, alice_key: str, settings: Any) -> None:
    settings.API_CALLS_PER_MINUTE = 4
    api = Api(alice_key)
    path = f"{GENERATIONS}/{ask(alice).pk}"
    assert [api.get(path).status_code for _ in range(4)] == [200] * 4
    assert (answer := api.get(path)).status_code == 429
    assert error(answer)["code"] == "rate_limit_exceeded" and "Retry-After" in answer
    assert api.post(f"{path}/cancel").status_code == 429, "to cancel is no creating call"
    assert api.create().status_code == 200


def test_nought_is_no_limit(alice_key: str, settings: Any) -> None:
    settings.API_CREATES_PER_MINUTE = settings.API_CALLS_PER_MINUTE = 0
    answers = [Api(alice_key).create(), Api(alice_key).get("/v1/models")]
    assert all(answer.status_code == 200 and "RateLimit" not in answer for answer in answers)


def test_the_memory_of_calls_stays_small(settings: Any) -> None:
    settings.API_CALLS_PER_MINUTE = 1_000_000  # each is back after 60 microseconds
    memory = rates.Memory()
    for number in range(rates.MOST_REMEMBERED + 2):
        memory.take(ApiKey(lookup=str(number)))
    time.sleep(0.001)
    memory.take(ApiKey(lookup="last"))
    assert len(memory._whole_at) <= rates.MOST_REMEMBERED


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_exactly_the_allowance_comes_through(
    alice_key: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.API_CREATES_PER_MINUTE = 20

    def call() -> bool:
        key = keys.find(alice_key)
        assert key is not None
        try:
            rates.take_create(key)
        except rates.RateLimited:
            return False
        return True

    started = time.monotonic()
    came_through = sum(race([call] * 160, threads=16))
    back_meanwhile = int((time.monotonic() - started) / 3) + 1
    assert 20 <= came_through <= 20 + back_meanwhile


def test_forged_keys_cost_no_query(alice_key: str, django_assert_num_queries: Callable[[int], Any]) -> None:
    """10,000 of them: each 200th through the whole door, all through its lock."""
    body = alice_key[:-6]
    with django_assert_num_queries(0):
        for number in range(10_000):
            forged = f"{body[:-5]}{number:05}{alice_key[-6:]}"
            if forged != alice_key:
                assert keys.find(forged) is None
                if number % 200 == 0:
                    assert Api(forged).get("/v1/models").status_code == 401
