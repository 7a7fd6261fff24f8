"""Models and prices: looked at by who answers for money, changed by admins, shown before it is done."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from generations import catalogue, services
from generations.models import CatalogueVersion
from tests.conftest import person
from tests.makers import ask
from tests.portal import signed_in

pytestmark = pytest.mark.django_db

EDIT = "/manage/catalogue/edit"


def fields_of(page: bytes) -> dict[str, str]:
    """The form as a browser would send it."""
    html = page.decode()
    found: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*>", html):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        name = attributes.get("name", "")
        if not name or (attributes.get("type") == "checkbox" and " checked" not in tag):
            continue
        found[name] = "on" if attributes.get("type") == "checkbox" else attributes.get("value", "")
    found.pop("csrfmiddlewaretoken", None)
    return found


def change(client: Client, **changes: str) -> Any:
    return client.post(EDIT, fields_of(client.get(EDIT).content) | changes)


def test_a_price_is_shown_before_it_is_published(alice: User, boss: User) -> None:
    office = signed_in(boss)
    page = change(office, **{"m0-0-per_second": "4"})
    assert page.status_code == 200
    assert "kling-v2-5-turbo-std/std per_second" in page.content.decode()
    assert not CatalogueVersion.objects.exists(), "a look changes nothing"
    answer = office.post(EDIT, fields_of(page.content) | {"publish": "1", "note": "dearer"})
    assert answer.status_code == 302
    services.forget_rules()
    assert ask(alice).price == 20
    assert "dearer" in office.get("/manage/catalogue").content.decode()


def test_what_was_not_shown_is_not_published(boss: User) -> None:
    office = signed_in(boss)
    seen = fields_of(change(office, **{"m0-0-per_second": "4"}).content)
    page = office.post(EDIT, seen | {"publish": "1", "m0-0-per_second": "40"})
    assert page.status_code == 200
    assert not CatalogueVersion.objects.exists()


def test_a_model_is_switched_off_and_a_new_one_is_added(boss: User) -> None:
    office = signed_in(boss)
    fields = fields_of(office.get(EDIT).content)
    del fields["m1-enabled"]
    fields |= {"m3-name": "kling-v3", "m3-label": "Kling 3", "m3-seconds": "5, 10, 15", "m3-enabled": "on"}
    fields |= {"m3-0-name": "pro", "m3-0-resolution": "1080p", "m3-0-per_second": "7"}
    page = office.post(EDIT, fields)
    assert office.post(EDIT, fields_of(page.content) | {"publish": "1"}).status_code == 302
    services.forget_rules()
    rules = services.current_rules()
    assert [model.name for model in rules.offered] == ["kling-v2-5-turbo-std", "kling-v2-6", "kling-v3"]
    assert rules.model("kling-v3").seconds == (5, 10, 15)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("m0-seconds", "five", "whole number of seconds"),
        ("m0-seconds", "", "at least one length"),
        ("m0-sizes", "wide", "two numbers with a colon"),
        ("m0-0-per_second", "-1", "greater than or equal to 1"),
        ("prompt_characters", "", "required"),
        ("m0-name", "kling-v2-6", "there twice"),
        ("effective_from", "2020-01-01T00:00", "This time is over"),
    ],
)
def test_nonsense_is_refused_beside_its_field(name: str, value: str, said: str, boss: User) -> None:
    office = signed_in(boss)
    page = change(office, **{name: value})
    if page.status_code == 200:  # the time is judged when it is published
        page = office.post(
            EDIT,
            fields_of(change(office, **{name: value, "m0-0-per_second": "4"}).content) | {"publish": "1"},
        )
    assert page.status_code == 400
    assert said in page.content.decode()
    assert not CatalogueVersion.objects.exists()


def test_of_two_editors_the_second_sees_what_the_first_did(boss: User) -> None:
    office = signed_in(boss)
    mine = fields_of(change(office, **{"m0-0-per_second": "4"}).content)
    rival = fields_of(change(office, **{"m0-0-per_second": "5"}).content)
    assert office.post(EDIT, rival | {"publish": "1"}).status_code == 302
    services.forget_rules()
    answer = office.post(EDIT, mine | {"publish": "1"})
    assert answer.status_code == 409
    assert CatalogueVersion.objects.count() == 1


def test_a_planned_version_is_withdrawn(boss: User) -> None:
    office = signed_in(boss)
    page = change(office, **{"m0-0-per_second": "4", "effective_from": "2099-01-01T00:00"})
    office.post(EDIT, fields_of(page.content) | {"publish": "1"})
    row = CatalogueVersion.objects.get()
    assert f"/manage/catalogue/{row.version}/withdraw" in office.get("/manage/catalogue").content.decode()
    office.post(f"/manage/catalogue/{row.version}/withdraw")
    assert not CatalogueVersion.objects.exists()


def test_finance_looks_and_does_not_touch(alice: User) -> None:
    money = signed_in(person("fred", role=User.Role.FINANCE))
    page = money.get("/manage/catalogue")
    assert page.status_code == 200 and EDIT not in page.content.decode()
    assert money.post(EDIT, {"base": catalogue.BUILT_IN.version}).status_code == 403
    assert signed_in(alice).get("/manage/catalogue").status_code == 404
