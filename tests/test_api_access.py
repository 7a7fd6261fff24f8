"""Who may do what on ``/v1``: keys alone, with their scopes, to their owner's rows."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone

from accounts.models import SCOPES, ApiKey, User
from accounts.services import make_key, revoke_key, set_active
from tests.api import GENERATIONS, TEXT, Api, error, everything
from tests.api_table import ROWS, Nothing, Row, Things, declared
from tests.conftest import person
from tests.makers import ask

pytestmark = pytest.mark.django_db

ID = "00000000-0000-4000-8000-000000000000"


def test_every_operation_has_its_row() -> None:
    rows = {(row.method, row.route) for row in ROWS}
    assert not (missing := declared() - rows), (
        f"Say in tests/api_table.py who may do this, a Row each: {sorted(missing)}"
    )
    assert not rows - declared(), "rows of what is not there any more"


def test_whoever_may_not_is_refused_and_nothing_changes(alice: User, bob: User) -> None:
    """Nobody, a browser, a mistyped, revoked or ended key, a suspended owner, too little scope; a stranger."""
    things, people, stranger = Things(alice), refused(alice), Api(make_key(bob, label="all")[1])
    assert things["ready"], "made while nothing waits"
    paths = {row: row.path.format_map(things) for row in ROWS}
    lacking = {scope: Api(make_key(alice, label="x", scopes=set(SCOPES) - {scope})[1]) for scope in SCOPES}
    reader = Api(make_key(alice, label="reader", scopes=("read",))[1])
    before, wrong = standing(), []
    for row, path in paths.items():
        tries = [*people, ("every scope but that", lacking[row.scope], 403, "missing_scope")]
        if row.scope != "read":
            tries.append(("a key that only reads", reader, 403, "missing_scope"))
        if row.is_about_something:
            tries.append(("a stranger", stranger, 404, "not_found"))
        for who, api, status, code in tries:
            answer = send(api, row, path)
            got_code = error(answer)["code"] if answer.status_code >= 400 else ""
            got = (answer.status_code, got_code, answer.get("WWW-Authenticate"))
            if got != (status, code, "Bearer" if status == 401 else None):
                wrong.append(f"{row}: {who} got {got}")
        if row.is_about_something:
            theirs, none = send(stranger, row, path), send(stranger, row, row.path.format_map(Nothing()))
            if theirs.content != none.content:
                wrong.append(f"{row}: a stranger can tell theirs from nothing")
    assert not wrong, "\n".join(wrong)
    assert standing() == before


def test_whoever_may_can(alice: User) -> None:
    keys = {scope: Api(make_key(alice, label=scope, scopes=(scope,))[1]) for scope in SCOPES}
    ready_first = sorted(ROWS, key=lambda row: "{ready}" not in row.path)  # they are made while nothing waits
    paths = {row: row.path.format_map(Things(alice)) for row in ready_first}
    wrong = []
    for row, path in paths.items():
        answer = send(keys[row.scope], row, path)
        if answer.status_code != 200:
            wrong.append(f"{row}: {answer.status_code} {b''.join(answer)[:200]!r}")
    assert not wrong, "\n".join(wrong)


def refused(owner: User) -> list[tuple[str, Api, int, str]]:
    """Who is refused whatever is asked: name, client, status, code."""
    browser = Api()
    browser.client.force_login(owner)
    whole = make_key(owner, label="whole")[1]
    revoked, revoked_text = make_key(owner, label="revoked")
    revoke_key(owner, revoked.pk)
    ended, ended_text = make_key(owner, label="ended")
    ApiKey.objects.filter(pk=ended.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    left = person("left")
    left_text = make_key(left, label="left")[1]
    set_active(left, False, actor=None)
    return [
        ("nobody", Api(), 401, "no_api_key"),
        ("a browser that is signed in", browser, 401, "no_api_key"),
        ("a mistyped key", Api(whole[:-1] + ("a" if whole[-1] != "a" else "b")), 401, "invalid_api_key"),
        ("a revoked key", Api(revoked_text), 401, "invalid_api_key"),
        ("an ended key", Api(ended_text), 401, "invalid_api_key"),
        ("a suspended owner", Api(left_text), 403, "suspended"),
    ]


def send(api: Api, row: Row, path: str) -> Any:
    data = b"" if row.body is None else json.dumps(row.body).encode()
    return api.send(row.method, path, data=data, content_type="application/json")


def standing() -> dict[str, Any]:
    """Every row of ours but the keys, which note that they are used."""
    models = [*apps.get_app_config("accounts").get_models(), *apps.get_app_config("generations").get_models()]
    return {
        model.__name__: list(model._base_manager.order_by("pk").values())
        for model in models
        if model is not ApiKey
    }


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Bearer klp_" + "0" * 48,
        "Basic YWxpY2U6eA==",
        "Token {key}",
        "{key}",
        "Bearer {key}0",
        "Bearer {short}",
        "Bearer {key} {key}",
        "Bearer {mistyped}",
        "Bearer 钥匙",
        "Bearer \x00",
    ],
)
def test_a_bad_key_is_401(alice_key: str, header: str) -> None:
    mistyped = alice_key[:-8] + ("a" if alice_key[-8] != "a" else "b") + alice_key[-7:]
    text = header.format(key=alice_key, short=alice_key[:-1], mistyped=mistyped)
    answer = Api().get("/v1/models", headers={"authorization": text.encode().decode("latin-1")})
    assert (answer.status_code, error(answer)["code"]) == (401, "invalid_api_key")
    assert alice_key not in answer.content.decode()


def test_the_schemes_name_may_be_written_as_one_likes(alice_key: str) -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        answer = Api().get("/v1/models", headers={"authorization": f"{scheme} {alice_key}"})
        assert answer.status_code == 200, scheme


def test_a_key_in_the_address_is_no_key(alice_key: str) -> None:
    for name in ("key", "api_key", "access_token", "token"):
        assert Api().get(f"/v1/models?{name}={alice_key}").status_code == 401


def test_a_revoked_key_is_dead_at_once(alice: User, alice_key: str) -> None:
    api = Api(alice_key)
    assert api.get("/v1/models").status_code == 200
    revoke_key(alice, ApiKey.objects.get().pk)
    assert (api.get("/v1/models").status_code, api.create().status_code) == (401, 401)


def test_head_needs_the_scope_of_get(alice: User) -> None:
    _key, text = make_key(alice, label="half", scopes=("create",))
    assert Api(text).send("HEAD", "/v1/models").status_code == 403


def test_a_key_of_an_admin_sees_the_admins_own_rows_only(alice: User, boss: User) -> None:
    generation = ask(alice)
    api = Api(make_key(boss, label="x")[1])
    assert api.get(f"{GENERATIONS}/{generation.pk}").status_code == 404
    assert api.get(GENERATIONS).json()["data"] == []


def test_lists_are_ones_own(alice: User, bob: User, alice_key: str, bob_key: str) -> None:
    mine, theirs = ask(alice), ask(bob)
    for key, generation in ((alice_key, mine), (bob_key, theirs)):
        assert [video["id"] for video in Api(key).get(GENERATIONS).json()["data"]] == [str(generation.pk)]


# --- addresses and methods ------------------------------------------------------

NOWHERE = [
    "/v1/",
    "/v1/nothing",
    "/v1/models/",
    "/v1/quota/",
    f"{GENERATIONS}/",
    f"{GENERATIONS}/{ID}/",
    f"{GENERATIONS}/{ID}/content/",
    f"{GENERATIONS}/{ID}/delete",
    "/v1//video/generations",
    "/v1/Video/Generations",
    "/v1/video/generations.json",
    "/v1/%E8%A7%86%E9%A2%91",
    "/v1/%00",
    "/v1/%ff%fe",
    "/v1/../admin/",
    "/v1/models;x=1",
]


@pytest.mark.parametrize("path", NOWHERE)
def test_an_address_that_is_none_is_404_in_json(alice_key: str, path: str) -> None:
    for key in (alice_key, ""):
        for method in ("GET", "POST", "DELETE"):
            answer = Api(key).send(method, path, data=b"{}", content_type="application/json")
            assert answer.status_code == 404, method
            assert (error(answer)["type"], error(answer)["code"]) == ("not_found_error", "not_found")


METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"}


def test_another_method_is_405_and_says_which_are_allowed(alice_key: str) -> None:
    api, before = Api(alice_key), everything()
    for route in {row.route for row in ROWS}:
        there = {row.method: row.path.format_map(Nothing()) for row in ROWS if row.route == route}
        allowed = set(there) | ({"HEAD"} if "GET" in there else set())
        for method in METHODS - set(there):
            path = next(iter(there.values()))
            answer = api.send(method, path, data=b"{}", content_type="application/json")
            assert answer.status_code == 405, (method, route)
            assert error(answer)["code"] == "method_not_allowed"
            assert {name.strip() for name in answer["Allow"].split(",")} == allowed, route
    assert everything() == before


def test_a_read_only_key_hears_405_before_its_scope(alice: User) -> None:
    _key, text = make_key(alice, label="half", scopes=("read",))
    assert Api(text).send("DELETE", "/v1/models").status_code == 405


def test_a_method_cannot_be_smuggled_in(alice_key: str) -> None:
    headers = {"x-http-method-override": "POST"}
    answer: Any = Api(alice_key).send("GET", GENERATIONS, headers=headers)
    assert answer.json()["object"] == "list"
    answer = Api(alice_key).send("GET", f"{GENERATIONS}?_method=POST")
    assert (answer.status_code, error(answer)["param"]) == (400, "_method")
    assert TEXT
