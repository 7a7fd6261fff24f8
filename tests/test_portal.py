"""The portal over HTTP: who sees which page, and what every page carries."""

from __future__ import annotations

import re
import uuid
from urllib.parse import urlencode

import pytest
from django.test import Client

from accounts.models import User
from generations.models import Generation, Status
from tests.conftest import PASSWORD
from tests.makers import ask
from tests.portal import CHEAP, signed_in, with_picture

pytestmark = pytest.mark.django_db


PAGES = ["/", "/new", "/account", "/account/password", "/progress?ids="]
ABOUT_ONE = ["", "/content", "/content?download=1", "/poster", "/frames/0"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_asks_who_you_are(client: Client, page: str) -> None:
    answer = client.get(page)
    assert answer.status_code == 302
    assert answer["Location"] == f"/signin?{urlencode({'next': page}, safe='/')}"


@pytest.mark.parametrize("page", ["/", "/new", "/account", "/account/password"])
def test_a_member_sees_a_page(alice: User, page: str) -> None:
    assert signed_in(alice).get(page).status_code == 200


@pytest.mark.parametrize("page", ABOUT_ONE)
def test_a_stranger_gets_404(alice: User, bob: User, page: str) -> None:
    generation = with_picture(alice)
    assert signed_in(bob).get(f"/g/{generation.pk}{page}").status_code == 404
    assert signed_in(alice).get(f"/g/{uuid.uuid4()}{page}").status_code == 404


@pytest.mark.parametrize("page", ABOUT_ONE)
def test_somebody_unknown_has_to_sign_in_for_a_video(client: Client, alice: User, page: str) -> None:
    assert client.get(f"/g/{with_picture(alice).pk}{page}")["Location"].startswith("/signin?next=")


@pytest.mark.parametrize("verb", ["cancel", "retry", "delete", "undelete"])
def test_a_stranger_changes_nothing(alice: User, bob: User, verb: str) -> None:
    generation = ask(alice)
    assert signed_in(bob).post(f"/g/{generation.pk}/{verb}").status_code == 404
    assert Generation.objects.get().status == Status.QUEUED


@pytest.mark.parametrize("verb", ["cancel", "retry", "delete", "undelete"])
def test_a_link_changes_nothing(alice: User, verb: str) -> None:
    generation = ask(alice)
    assert signed_in(alice).get(f"/g/{generation.pk}/{verb}").status_code == 405
    assert Generation.objects.get().status == Status.QUEUED


def test_an_admin_sees_everybodys_library(alice: User, boss: User) -> None:
    generation = ask(alice)
    page = signed_in(boss).get("/").content.decode()
    assert f"/g/{generation.pk}" in page
    assert "alice" in page


def test_a_suspended_member_is_signed_out(alice: User) -> None:
    client = signed_in(alice)
    User.objects.update(is_active=False)
    assert client.get("/").status_code == 302


@pytest.mark.parametrize("page", ["/signin", "/", "/new", "/account", "/nothing-here"])
def test_every_page_carries_a_strict_policy(alice: User, page: str) -> None:
    client = Client() if page == "/signin" else signed_in(alice)
    answer = client.get(page)
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    html = answer.content.decode()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", html)
    assert not re.search(r"<script(?![^>]*(\ssrc=|type=\"application/json\"))", html)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", html), "nothing comes from another host"


def test_it_signs_in_and_goes_on(alice: User) -> None:
    client = Client()
    answer = client.post("/signin", {"username": "alice", "password": PASSWORD, "next": "/new?from=1"})
    assert (answer.status_code, answer["Location"]) == (302, "/new?from=1")
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    "onward", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:1"]
)
def test_it_goes_on_within_this_site_only(alice: User, onward: str) -> None:
    answer = Client().post("/signin", {"username": "alice", "password": PASSWORD, "next": onward})
    assert answer["Location"] == "/"


def test_a_wrong_password_keeps_the_name_and_forgets_itself(alice: User) -> None:
    page = Client().post("/signin", {"username": "alice", "password": "wrong-one"}).content.decode()
    assert "Name and password do not match" in page
    assert 'value="alice"' in page
    assert "wrong-one" not in page


def test_the_sixth_try_has_to_wait(alice: User) -> None:
    client = Client()
    tries = [client.post("/signin", {"username": "alice", "password": "wrong"}) for _ in range(6)]
    assert [answer.status_code for answer in tries] == [200] * 5 + [429]
    assert 0 < int(tries[-1]["Retry-After"]) <= 60
    assert "Too many tries" in tries[-1].content.decode()


def test_signing_out_needs_a_form(alice: User) -> None:
    client = signed_in(alice)
    assert client.get("/signout").status_code == 405
    assert client.post("/signout")["Location"] == "/signin"
    assert client.get("/").status_code == 302


def test_a_form_without_its_token_is_refused(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    answer = client.post("/new", CHEAP)
    assert answer.status_code == 403
    assert "This form has expired" in answer.content.decode()
    assert not Generation.objects.exists()


def test_the_language_is_a_choice(alice: User) -> None:
    client = signed_in(alice)
    client.post("/i18n/setlang/", {"language": "zh-hans", "next": "/"})
    page = client.get("/").content.decode()
    assert '<html lang="zh-hans">' in page
    assert "作品库" in page


def test_the_language_follows_the_browser() -> None:
    page = Client(headers={"accept-language": "zh-CN,zh;q=0.9"}).get("/signin").content.decode()
    assert "登录" in page


def test_a_missing_page_says_so_in_our_own_words(alice: User) -> None:
    answer = signed_in(alice).get("/nothing-here")
    assert answer.status_code == 404
    assert "Nothing in this frame" in answer.content.decode()
