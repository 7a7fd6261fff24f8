"""Who may do what on ``/v1``: keys alone, with their scopes, to their owner's rows."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.test import Client

from accounts.models import ApiKey, User
from accounts.services import make_key, revoke_key, set_active
from generations.models import Generation, Status
from tests.api import GENERATIONS, TEXT, Api, error, everything, finished
from tests.makers import ask

pytestmark = pytest.mark.django_db

ID = "00000000-0000-4000-8000-000000000000"
OPERATIONS = [
    ("GET", "/v1/models"),
    ("GET", "/v1/quota"),
    ("GET", GENERATIONS),
    ("POST", GENERATIONS),
    ("GET", f"{GENERATIONS}/{ID}"),
    ("PATCH", f"{GENERATIONS}/{ID}"),
    ("DELETE", f"{GENERATIONS}/{ID}"),
    ("POST", f"{GENERATIONS}/{ID}/cancel"),
    ("POST", f"{GENERATIONS}/{ID}/retry"),
    ("GET", f"{GENERATIONS}/{ID}/content"),
    ("GET", f"{GENERATIONS}/export"),
    ("GET", "/v1/videos"),
    ("POST", "/v1/videos"),
    ("GET", f"/v1/videos/{ID}"),
    ("DELETE", f"/v1/videos/{ID}"),
    ("GET", f"/v1/videos/{ID}/content"),
]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_without_a_key_it_is_401(db: None, method: str, path: str) -> None:
    answer = Api().send(method, path)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
    assert (error(answer)["type"], error(answer)["code"]) == ("authentication_error", "no_api_key")


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


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_a_suspended_owner_is_told_so(alice: User, alice_key: str, method: str, path: str) -> None:
    set_active(alice, False, actor=None)
    answer = Api(alice_key).send(method, path)
    assert (answer.status_code, error(answer)["code"]) == (403, "suspended")


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_cookies_do_not_count(alice: User, method: str, path: str) -> None:
    """A page of somebody else can make a browser send cookies; it can't make it send a key."""
    client = Client()
    client.force_login(alice)
    before = everything()
    answer = client.generic(
        method, path, data=b'{"model": "kling-v2-6", "prompt": "x"}', content_type="application/json"
    )
    assert answer.status_code == 401
    assert everything() == before


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@pytest.mark.parametrize("scope", ["read", "create"])
def test_a_key_does_what_its_scopes_say(alice: User, method: str, path: str, scope: str) -> None:
    _key, text = make_key(alice, label="half", scopes=(scope,))
    answer = Api(text).send(method, path, data=b"{}", content_type="application/json")
    if scope == {"GET": "read"}.get(method, "create"):
        assert answer.status_code in (200, 400, 404)
    else:
        wanted = "create" if scope == "read" else "read"
        assert (answer.status_code, error(answer)["code"]) == (403, "missing_scope")
        assert f"“{wanted}”" in error(answer)["message"]
    assert not Generation.objects.exists()


def test_head_needs_the_scope_of_get(alice: User) -> None:
    _key, text = make_key(alice, label="half", scopes=("create",))
    assert Api(text).send("HEAD", "/v1/models").status_code == 403


@pytest.mark.parametrize("path", [path for method, path in OPERATIONS if method == "GET" and ID in path])
def test_a_stranger_gets_404(alice: User, bob_key: str, path: str) -> None:
    theirs = Api(bob_key).get(path.replace(ID, str(finished(alice).pk)))
    none = Api(bob_key).get(path.replace(ID, str(uuid.uuid4())))
    assert theirs.status_code == none.status_code == 404
    assert error(theirs) == error(none)


def test_a_stranger_deletes_nothing(alice: User, bob_key: str) -> None:
    ready = finished(alice)
    assert Api(bob_key).send("DELETE", f"/v1/videos/{ready.pk}").status_code == 404
    assert Generation.objects.owned_by(alice).get() == ready


def test_a_stranger_cancels_nothing(alice: User, bob_key: str) -> None:
    generation = ask(alice)
    assert Api(bob_key).post(f"{GENERATIONS}/{generation.pk}/cancel").status_code == 404
    assert Generation.objects.get().status == Status.QUEUED


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


ALLOWED = {path: {m for m, p in OPERATIONS if p == path} for _method, path in OPERATIONS}


METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"}


@pytest.mark.parametrize("path", ALLOWED)
def test_another_method_is_405_and_says_which_are_allowed(alice_key: str, path: str) -> None:
    before = everything()
    allowed = ALLOWED[path] | ({"HEAD"} if "GET" in ALLOWED[path] else set())
    for method in METHODS - ALLOWED[path]:
        answer = Api(alice_key).send(method, path, data=b"{}", content_type="application/json")
        assert answer.status_code == 405, method
        assert error(answer)["code"] == "method_not_allowed"
        assert {name.strip() for name in answer["Allow"].split(",")} == allowed
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
