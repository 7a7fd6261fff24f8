"""The account page over HTTP: credits and password. ``test_key_pages`` has the keys."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from accounts.models import User
from kling_platform.text import whole_number
from tests.conftest import PASSWORD
from tests.makers import ask
from tests.portal import signed_in

pytestmark = pytest.mark.django_db


def test_the_account_page_says_what_is_left(alice: User) -> None:
    ask(alice)
    page = signed_in(alice).get("/account").content.decode()
    assert re.sub(r"<[^>]+>", "", page).count("15 of 1,000 used") == 1
    assert "−15" in page


def test_money_lines_page_by_key(alice: User) -> None:
    for _ in range(12):
        ask(alice)
    client = signed_in(alice)
    older = re.search(r'hx-get="(/account\?before=\d+)"', client.get("/account").content.decode())
    assert older
    rest = client.get(older[1], headers={"hx-request": "true"}).content.decode()
    assert rest.count("<tr>") == 3, "12 held and the quota itself are 13 lines; 10 stood on the first page"


def test_nobody_sees_anothers_money(alice: User, bob: User) -> None:
    generation = ask(alice)
    assert str(generation.pk) not in signed_in(bob).get("/account").content.decode()


def test_a_new_password_ends_other_sessions(alice: User) -> None:
    here, elsewhere = Client(), Client()
    for client in (here, elsewhere):
        client.post("/signin", {"username": "alice", "password": PASSWORD})
    new = "a much longer pass phrase"
    here.post("/account/password", {"old_password": PASSWORD, "new_password1": new, "new_password2": new})
    assert here.get("/").status_code == 200
    assert elsewhere.get("/").status_code == 302


def test_a_weak_password_is_refused_in_words(alice: User) -> None:
    sent = {"old_password": "wrong", "new_password1": "12345678", "new_password2": "12345678"}
    page = signed_in(alice).post("/account/password", sent).content.decode()
    assert "too common" in page
    assert "entered incorrectly" in page


@pytest.mark.parametrize("text", ["9" * 5_000, "²", "٣", "-1", "1.5", "0x1", "", " "])
def test_what_is_no_number_is_no_place_to_go_on_from(alice: User, text: str) -> None:
    """Python's own reader raises for five thousand digits."""
    client = signed_in(alice)
    for page in ("/account", "/inbox"):
        assert client.get(page, {"before": text}).status_code == 200
    assert whole_number(text) is None
    assert (whole_number(" 42 "), whole_number("42", most=41)) == (42, None)
