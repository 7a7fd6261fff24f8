"""History as programs use it: narrowed, searched, tagged, made again, deleted, and taken home in one file."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import ApiKey, User
from accounts.services import make_key, set_quota
from generations import searching, services
from generations.api import exports
from generations.models import Generation, Status, Tag
from tests.api import GENERATIONS, TEXT, Api, error, everything, finished
from tests.makers import ask, submitted

pytestmark = pytest.mark.django_db

EXPORT = f"{GENERATIONS}/export"


def ids(key: str, query: str) -> list[str]:
    answer = Api(key).get(f"{GENERATIONS}?{query}")
    assert answer.status_code == 200, answer.content
    return [video["id"] for video in answer.json()["data"]]


def names(*generations: Generation) -> list[str]:
    return [str(generation.pk) for generation in generations]


def many(user: User, count: int, **fields: Any) -> Generation:
    """This many older rows like one that was asked for, which is returned."""
    first = ask(user, **fields)
    kept = (
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
    recipe = {name: getattr(first, name) for name in kept}
    rows = (
        Generation(**recipe, created_at=first.created_at - timedelta(seconds=n)) for n in range(1, count + 1)
    )
    Generation.objects.bulk_create(rows, batch_size=2_000)
    return first


# --- filters ------------------------------------------------------------------------


@pytest.mark.sqlite
def test_a_list_is_narrowed_by_what_a_generation_is(
    alice: User, alice_key: str, picture: Callable[[int, int], str]
) -> None:
    making = submitted(alice, model="kling-v2-6", prompt="一只小狐狸")
    ready = finished(alice, prompt="A Fox jumps 100% high")
    canceled = services.cancel(ask(alice, images=[picture(640, 360)]), actor=alice)
    queued = ask(alice)
    own_key = ApiKey.objects.get()
    with_key = services.create(user=alice, request=TEXT, api_key=own_key, tags=["spring", "draft"])
    services.set_tags(queued, names=["spring"])
    for query, wanted in {
        "": [with_key, queued, canceled, ready, making],
        "status=succeeded": [ready],
        "status=failed": [canceled],
        "status=processing,failed": [with_key, queued, canceled, making],
        "state=queued": [with_key, queued],
        "state=running,canceled": [canceled, making],
        "model=kling-v2-6": [making],
        "model=kling-v1": [],
        "kind=image": [canceled],
        "kind=text": [with_key, queued, ready, making],
        f"key={own_key.lookup}": [with_key],
        "tags=spring": [with_key, queued],
        "tags=draft,spring": [with_key],
        "tags=autumn": [],
        "q=狐狸": [with_key, making],
        "q=fox": [ready],
        "q=100%25": [ready],
        "q=1_0": [],
        "q=fox&status=failed": [],
        "state=queued&tags=spring&order=asc": [queued, with_key],
        "created_after=2020-01-01T00:00:00Z&status=succeeded": [ready],
        "created_before=2020-01-01T00:00:00%2B08:00": [],
        "created_before=99999999999&state=running": [making],
    }.items():
        assert ids(alice_key, query) == names(*wanted), query


def test_a_range_of_time_has_its_beginning_and_not_its_end(alice: User, alice_key: str) -> None:
    start = timezone.now().replace(microsecond=0)
    rows = [ask(alice) for _ in range(3)]
    for n, row in enumerate(rows):
        Generation.objects.filter(pk=row.pk).update(created_at=start + timedelta(seconds=n))
    begin, end = int(start.timestamp()), start + timedelta(seconds=2)
    query = f"created_after={begin}&created_before={end:%Y-%m-%dT%H:%M:%SZ}&order=asc"
    assert ids(alice_key, query) == names(*rows[:2])


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("status=done", "status"),
        ("status=", "status"),
        ("state=succeeded,", "state"),
        ("kind=video", "kind"),
        ("model=", "model"),
        ("q=", "q"),
        ("q=%00", "q"),
        (f"q={'x' * 201}", "q"),
        ("tags=", "tags"),
        (f"tags={'x' * 41}", "tags"),
        ("created_after=yesterday", "created_after"),
        ("created_after=2026-11-24T15:00:00", "created_after"),
        ("created_after=9999-99-99T99:99:99Z", "created_after"),
        ("created_before=0001-01-01T00:00:00%2B23:59", "created_before"),
        ("user=1", "user"),
        ("prompt__icontains=x", "prompt__icontains"),
        ("Status=failed", "Status"),
    ],
)
@pytest.mark.parametrize("path", [GENERATIONS, EXPORT])
def test_a_filter_that_is_none_is_refused_by_name(alice_key: str, path: str, query: str, param: str) -> None:
    answer = Api(alice_key).get(f"{path}?{query}")
    assert (answer.status_code, error(answer)["param"]) == (400, param)


def test_strangers_tags_and_keys_find_nothing(alice: User, bob: User, alice_key: str, bob_key: str) -> None:
    key = ApiKey.objects.get(user=alice)
    services.create(user=alice, request=TEXT, api_key=key, tags=["spring"])
    assert ids(bob_key, "tags=spring") == ids(bob_key, f"key={key.lookup}") == []
    assert Api(bob_key).get(EXPORT).getvalue().count(b"\r\n") == 1


def test_a_search_looks_through_ten_thousand_and_then_goes_on(alice: User, alice_key: str) -> None:
    assert searching.WINDOW == 10_000
    many(alice, 10_004, prompt="a cat")
    oldest, second = Generation.objects.order_by("created_at")[:2]
    Generation.objects.filter(pk__in=[oldest.pk, second.pk]).update(prompt="a fox")
    api = Api(alice_key)
    page = api.get(f"{GENERATIONS}?q=fox").json()
    assert (page["data"], page["has_more"]) == ([], True)
    page = api.get(f"{GENERATIONS}?q=fox&after={page['last_id']}").json()
    assert [video["id"] for video in page["data"]] == names(second, oldest)
    assert page["has_more"] is False
    up = api.get(f"{GENERATIONS}?q=fox&order=asc&limit=1").json()
    assert ([video["id"] for video in up["data"]], up["has_more"]) == (names(oldest), True)
    full = api.get(f"{GENERATIONS}?q=CAT&limit=100").json()
    assert (len(full["data"]), full["last_id"]) == (100, full["data"][-1]["id"])


@pytest.mark.postgres
def test_a_search_that_takes_too_long_is_stopped_and_says_so(
    alice: User, alice_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(alice, 3_000, prompt="a cat " * 400)
    monkeypatch.setattr(searching, "PATIENCE", 0.001)
    answer = Api(alice_key).get(f"{GENERATIONS}?q=fox")
    assert (answer.status_code, error(answer)["code"]) == (503, "search_too_slow")
    assert answer["Retry-After"] == "5"
    assert Api(alice_key).get(GENERATIONS).status_code == 200


# --- tags -----------------------------------------------------------------------------


def test_tags_are_given_when_it_is_made_and_changed_later(alice: User, alice_key: str) -> None:
    api = Api(alice_key)
    made = api.create(tags=["春天", " spring ", "spring"]).json()
    one = f"{GENERATIONS}/{made['id']}"
    assert api.get(one).json()["tags"] == ["spring", "春天"]
    changed = api.send("PATCH", one, data=b'{"tags": ["spring", "final"]}', content_type="application/json")
    assert (changed.status_code, changed.json()["tags"]) == (200, ["final", "spring"])
    assert api.get(GENERATIONS).json()["data"][0]["tags"] == ["final", "spring"]
    emptied = api.send("PATCH", one, data=b'{"tags": []}', content_type="application/json")
    assert emptied.json()["tags"] == []
    assert Tag.objects.filter(user=alice).count() == 3


def test_upstream_never_hears_of_a_tag(alice_key: str, sandbox: Any, work: Any, tmp_path: Path) -> None:
    assert Api(alice_key).create(tags=["of-ours-alone"]).status_code == 200
    work()
    assert Generation.objects.get().status == Status.SUCCEEDED
    told = "".join(path.read_text(errors="ignore") for path in tmp_path.rglob("*.jsonl"))
    assert "小狐狸" in told or "\\u5c0f\\u72d0\\u72f8" in told
    assert "of-ours-alone" not in told


@pytest.mark.parametrize(
    "tags",
    [
        "spring",
        {"a": 1},
        [1],
        [None],
        [""],
        [" "],
        ["a,b"],
        ["x" * 41],
        ["a\nb"],
        [str(n) for n in range(21)],
    ],
)
def test_a_bad_tag_makes_nothing(alice_key: str, tags: Any) -> None:
    before = everything()
    answer = Api(alice_key).create(tags=tags)
    assert (answer.status_code, error(answer)["param"]) == (400, "tags")
    assert everything() == before


@pytest.mark.parametrize("body", [b"{}", b'{"prompt": "x"}', b'{"tags": [], "model": "x"}', b'{"tags": "x"}'])
def test_nothing_but_tags_can_be_changed(alice: User, alice_key: str, body: bytes) -> None:
    one = f"{GENERATIONS}/{ask(alice).pk}"
    answer = Api(alice_key).send("PATCH", one, data=body, content_type="application/json")
    assert (answer.status_code, error(answer)["param"]) == (400, "tags")


def test_a_stranger_changes_retries_and_deletes_nothing(alice: User, bob_key: str) -> None:
    one, before = f"{GENERATIONS}/{finished(alice).pk}", everything()
    bob = Api(bob_key)
    tagging = bob.send("PATCH", one, data=b'{"tags": ["mine"]}', content_type="application/json")
    assert {
        tagging.status_code,
        bob.post(f"{one}/retry").status_code,
        bob.send("DELETE", one).status_code,
    } == {404}
    assert everything() == before
    assert not Tag.objects.exists()


# --- again, and gone --------------------------------------------------------------------


def test_a_retry_is_a_new_one_of_the_same_recipe(
    alice: User, alice_key: str, picture: Callable[[int, int], str]
) -> None:
    old = services.cancel(ask(alice, prompt="once more", images=[picture(640, 360)]), actor=alice)
    made = Api(alice_key).post(f"{GENERATIONS}/{old.pk}/retry").json()
    new = Generation.objects.get(pk=made["id"])
    assert (made["state"], new.prompt, new.retry_of, new.api_key) == (
        "queued",
        "once more",
        old,
        ApiKey.objects.get(),
    )
    assert (new.images.get().width, new.images.get().height) == (640, 360)


def test_a_retry_that_nobody_can_pay_is_refused(alice: User, alice_key: str) -> None:
    old = services.cancel(ask(alice), actor=alice)
    set_quota(alice, credits=0)
    answer = Api(alice_key).post(f"{GENERATIONS}/{old.pk}/retry")
    assert (answer.status_code, error(answer)["code"]) == (402, "insufficient_quota")


def test_what_is_deleted_is_gone_and_what_waited_is_paid_back(alice: User, alice_key: str) -> None:
    api, waiting = Api(alice_key), ask(alice)
    answer = api.send("DELETE", f"{GENERATIONS}/{waiting.pk}")
    assert answer.json() == {"id": str(waiting.pk), "object": "video", "deleted": True}
    assert api.get(f"{GENERATIONS}/{waiting.pk}").status_code == 404
    assert api.send("DELETE", f"{GENERATIONS}/{waiting.pk}").status_code == 404
    assert api.get("/v1/quota").json()["data"][0]["available"] == 1_000
    answer = api.send("DELETE", f"{GENERATIONS}/{submitted(alice).pk}")
    assert (answer.status_code, error(answer)["code"]) == (409, "wrong_state")


# --- export -----------------------------------------------------------------------------


def test_an_export_has_every_row_in_both_forms(alice: User, alice_key: str) -> None:
    ready = finished(alice, prompt='=HYPERLINK("http://x.example")', metadata={"negative_prompt": "@people"})
    canceled = services.cancel(ask(alice, prompt="两行\n文字"), actor=alice)
    services.set_tags(canceled, names=["-draft", "spring"])
    api = Api(alice_key)
    lines = [json.loads(line) for line in api.get(f"{EXPORT}?format=jsonl").getvalue().splitlines()]
    assert [line["id"] for line in lines] == names(canceled, ready)
    assert (lines[0]["prompt"], lines[0]["tags"]) == ("两行\n文字", ["-draft", "spring"])
    assert (lines[0]["error_code"], lines[0]["cost"], lines[1]["cost"]) == ("canceled", 0, 15)
    answer = api.get(EXPORT)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="generations-')
    table = list(csv.DictReader(io.StringIO(answer.getvalue().decode(), newline="")))
    assert [row["prompt"] for row in table] == ["两行\n文字", '\'=HYPERLINK("http://x.example")']
    assert (table[0]["tags"], table[1]["negative_prompt"]) == ("'-draft,spring", "'@people")
    assert list(table[0]) == list(lines[0])
    assert api.get(f"{EXPORT}?bom=1&status=succeeded").getvalue().startswith(b"\xef\xbb\xbfid,")


@pytest.mark.parametrize(
    ("query", "param"),
    [("format=xlsx", "format"), ("bom=yes", "bom"), ("order=up", "order"), ("limit=1", "limit")],
)
def test_a_bad_wish_for_a_file_is_refused_before_it_begins(alice_key: str, query: str, param: str) -> None:
    answer = Api(alice_key).get(f"{EXPORT}?{query}")
    assert (answer.status_code, error(answer)["param"]) == (400, param)


def test_the_memory_of_an_export_does_not_grow_with_the_history(alice: User, alice_key: str) -> None:
    many(alice, 600, prompt="x" * 2_000)
    small = _peak(alice_key)
    many(alice, 2_400, prompt="x" * 2_000)
    assert _peak(alice_key) < small * 1.5  # five times the rows


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_an_export_goes_on_when_a_line_is_deleted_in_between(
    alice: User, alice_key: str, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "CHUNK", 3)
    services.cancel(first := many(alice, 9), actor=alice)
    Generation.objects.exclude(pk=first.pk).update(status="canceled", finished_at=Now(), next_check_at=None)
    rows = Generation.objects.order_by("-created_at" if order == "desc" else "created_at")
    expected = [str(pk) for pk in rows.values_list("pk", flat=True)]
    pieces = Api(alice_key).get(f"{EXPORT}?format=jsonl&order={order}").streaming_content
    got = [next(pieces)]
    gone = [Generation.objects.get(pk=expected[place]) for place in (2, 5, 7)]  # two that pages end with
    for generation in gone:
        services.delete(generation, actor=alice)
    got += list(pieces)
    told = [json.loads(line)["id"] for line in b"".join(got).splitlines()]
    assert told == [pk for pk in expected if pk not in (expected[5], expected[7])]


def _peak(key: str) -> int:
    """Most bytes held at once while the file is read."""
    tracemalloc.start()
    try:
        for _piece in Api(key).get(f"{EXPORT}?format=jsonl").streaming_content:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_key_that_only_creates_takes_nothing_home(alice: User) -> None:
    _key, text = make_key(alice, label="half", scopes=("create",))
    assert Api(text).get(EXPORT).status_code == 403
