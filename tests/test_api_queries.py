"""How often a call asks the database: a bound that no history can raise. BEGIN, COMMIT and SAVEPOINT aside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import ApiKey, User
from accounts.services import set_quota
from generations import services
from generations.models import Generation
from generations.services import catalogues
from tests.api import GENERATIONS, Api, finished
from tests.makers import ask

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]


@pytest.fixture(autouse=True)
def _rules_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process asks for the rules in force once a second; these tests may take longer than that."""
    monkeypatch.setattr(catalogues, "KEPT_SECONDS", 3600.0)


ASIDE = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK")


@contextmanager
def at_most(limit: int) -> Iterator[None]:
    with CaptureQueriesContext(
        connection,
    ) as seen:
        yield
    asked = [query["sql"] for query in seen if not query["sql"].startswith(ASIDE)]
    assert len(asked) <= limit, json.dumps(asked, indent=1)


def test_a_create_asks_ten_times_at_most(alice: User, alice_key: str) -> None:
    api = Api(alice_key)
    with at_most(10):  # the very first call of a key, which notes that it is used, and of a process
        assert api.create().status_code == 200
    with at_most(10):
        assert api.create(images=["https://example.com/a.jpg"]).status_code == 200
    ApiKey.objects.update(most_open=5)
    with at_most(10):  # and its videos in the making are counted
        assert api.create().status_code == 200


def test_a_create_with_a_picture_asks_no_more(alice_key: str, picture: Callable[[int, int], str]) -> None:
    api = Api(alice_key)
    api.get("/v1/models")
    with at_most(10):
        assert api.create(images=[picture(640, 360)]).status_code == 200


def test_a_second_wallet_costs_two_more(alice: User, alice_key: str) -> None:
    set_quota(ApiKey.objects.get(), credits=100)
    api = Api(alice_key)
    with at_most(12):
        assert api.create().status_code == 200


def _know_the_queue(generation: Generation) -> None:
    """A process reads the queue once in two seconds, and a kind's past once a minute, whoever asks."""
    if generation.is_open:
        with at_most(2):
            services.forecast(generation)


@pytest.mark.parametrize("make", [ask, finished])
def test_a_status_asks_twice_at_most(alice: User, alice_key: str, make: Any) -> None:
    api, generation = Api(alice_key), make(alice)
    _know_the_queue(generation)
    with at_most(2):  # the very first call of a key, too
        assert api.get(f"{GENERATIONS}/{generation.pk}").status_code == 200


@pytest.mark.parametrize("history", [3, 2_000])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_page_asks_three_times_at_most_however_long_the_history(
    alice: User, alice_key: str, history: int, order: str
) -> None:
    last = ask(alice)
    names = (
        "model",
        "prompt",
        "seconds",
        "size",
        "mode",
        "price",
        "price_version",
        "user_id",
        "next_check_at",
    )
    recipe = {name: getattr(last, name) for name in names}
    Generation.objects.bulk_create(
        Generation(**recipe, created_at=last.created_at - timedelta(seconds=n)) for n in range(1, history)
    )
    api = Api(alice_key)
    _know_the_queue(last)
    middle = Generation.objects.order_by("created_at")[history // 2]
    with at_most(3):
        assert api.get(f"{GENERATIONS}?limit=100&order={order}").status_code == 200
    with at_most(3):
        page = api.get(f"{GENERATIONS}?limit=100&order={order}&after={middle.pk}").json()
    assert page["data"]


def test_the_bytes_and_the_quota_are_cheap_too(alice: User, alice_key: str) -> None:
    api, generation = Api(alice_key), finished(alice)
    url = api.get(f"{GENERATIONS}/{generation.pk}").json()["url"].removeprefix("http://127.0.0.1:8000")
    with at_most(1):
        assert Api().get(url).status_code == 200
    with at_most(2):
        assert api.get(f"{GENERATIONS}/{generation.pk}/content").status_code == 200
    with at_most(3):
        assert api.get("/v1/quota").status_code == 200
    with at_most(2):  # of these one in a second, for the rules in force
        assert api.get("/v1/models").status_code == 200
