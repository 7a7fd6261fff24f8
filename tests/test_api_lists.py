"""Lists of the wire: pages by key, in either direction, of one's own rows."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from generations import services
from generations.models import Generation
from tests.api import GENERATIONS, Api, error, finished
from tests.makers import ask

pytestmark = pytest.mark.django_db


def listed(key: str, query: str = "") -> dict[str, Any]:
    answer = Api(key).get(f"{GENERATIONS}{query}")
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert list(body) == ["object", "data", "first_id", "last_id", "has_more"]
    return body


def test_an_empty_list_has_no_ends(alice_key: str) -> None:
    assert listed(alice_key) == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


def test_a_list_says_the_same_words_as_a_read(alice: User, alice_key: str) -> None:
    generations = [finished(alice), services.cancel(ask(alice), actor=alice), ask(alice)]
    found = {video["id"]: video for video in listed(alice_key)["data"]}
    for generation in generations:
        one = Api(alice_key).get(f"{GENERATIONS}/{generation.pk}").json()
        same = found[str(generation.pk)]
        assert one.pop("url", "").partition("?")[0] == same.pop("url", "").partition("?")[0]
        assert one == same


@pytest.mark.sqlite
@pytest.mark.parametrize("order", ["desc", "asc"])
@pytest.mark.parametrize("at_once", [False, True])
def test_pages_by_key_show_each_once_in_order(alice: User, alice_key: str, order: str, at_once: bool) -> None:
    made = [str(ask(alice).pk) for _ in range(7)]
    if at_once:  # a batch made within one tick of the clock is told apart by id
        Generation.objects.update(created_at=timezone.now())
        made.sort()
    wanted = made if order == "asc" else made[::-1]
    seen: list[str] = []
    after = ""
    while True:
        page = listed(alice_key, f"?limit=3&order={order}{after}")
        ids = [video["id"] for video in page["data"]]
        assert (page["first_id"], page["last_id"]) == (ids[0], ids[-1])
        seen += ids
        after = f"&after={page['last_id']}"
        if not page["has_more"]:
            break
    assert seen == wanted
    assert listed(alice_key, f"?limit=3&order={order}{after}")["data"] == []


def test_twenty_come_by_default_and_a_hundred_at_most(alice: User, alice_key: str) -> None:
    first = ask(alice)
    rows = [Generation(**_copy(first, seconds_ago)) for seconds_ago in range(1, 111)]
    Generation.objects.bulk_create(rows)
    assert len(listed(alice_key)["data"]) == 20
    page = listed(alice_key, "?limit=100")
    assert (len(page["data"]), page["has_more"]) == (100, True)


def _copy(row: Generation, seconds_ago: int) -> dict[str, Any]:
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
    created = {"created_at": row.created_at - timedelta(seconds=seconds_ago)}
    return {name: getattr(row, name) for name in names} | created


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=", "limit"),
        ("limit=ten", "limit"),
        ("limit=1.5", "limit"),
        ("limit=%D9%A5", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("limit=%00", "limit"),
        ("order=up", "order"),
        ("order=", "order"),
        ("order=DESC", "order"),
        ("after=", "after"),
        ("after=1", "after"),
        ("after=%00", "after"),
        ("after=%ED%A0%80", "after"),
    ],
)
def test_a_bad_parameter_is_400_and_named(alice_key: str, query: str, param: str) -> None:
    answer = Api(alice_key).get(f"{GENERATIONS}?{query}")
    assert (answer.status_code, error(answer)["param"]) == (400, param)


def test_somebody_elses_cursor_looks_like_none(alice: User, bob: User, alice_key: str, bob_key: str) -> None:
    ask(bob)
    foreign = Api(bob_key).get(f"{GENERATIONS}?after={ask(alice).pk}")
    unknown = Api(bob_key).get(f"{GENERATIONS}?after={uuid.uuid4()}")
    assert foreign.status_code == unknown.status_code == 404
    assert error(foreign) == error(unknown)
    assert error(foreign)["param"] == "after"


def test_a_page_goes_on_behind_what_was_deleted_meanwhile(alice: User, alice_key: str) -> None:
    oldest, middle, newest = (services.cancel(ask(alice), actor=alice) for _ in range(3))
    services.delete(middle, actor=alice)
    page = listed(alice_key, f"?after={middle.pk}")
    assert [video["id"] for video in page["data"]] == [str(oldest.pk)]
    assert newest
