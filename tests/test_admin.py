"""The admin: for admins alone, looks at everything, writes nothing but through services."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from accounts import services as people
from accounts.models import ApiKey, AuditEntry, User
from generations.models import Generation, Upstream
from tests.conftest import PASSWORD
from tests.makers import ask, storing
from tests.office import messages, text

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]

MODELS = [
    "accounts/user",
    "accounts/quota",
    "accounts/apikey",
    "accounts/wallet",
    "accounts/transfer",
    "accounts/auditentry",
    "generations/generation",
    "generations/event",
    "generations/upstream",
]
RECORDS = [model for model in MODELS if model not in ("accounts/user", "accounts/quota")]


@pytest.fixture
def office(boss: User) -> Client:
    """A browser in which an admin is signed in."""
    client = Client()
    client.force_login(boss)
    return client


def one_of_each(alice: User) -> Generation:
    """Rows on every page of the admin."""
    people.make_key(alice, label="laptop")
    Upstream.objects.get_or_create(pk=1)
    return storing(alice)


# --- who gets in -------------------------------------------------------------------


@pytest.mark.parametrize("role", ["member", "manager"])
@pytest.mark.parametrize("path", ["", *MODELS])
def test_it_is_open_to_admins_alone(alice: User, boss: User, role: str, path: str) -> None:
    people.set_role(alice, role, actor=boss)
    client = Client()
    client.force_login(alice)
    answer = client.get(f"/admin/{path}/".replace("//", "/"))
    assert answer.status_code == 302 and answer["Location"].startswith("/admin/login/")


def test_a_suspended_admin_is_out_at_once(office: Client, boss: User, alice: User) -> None:
    people.set_role(alice, "admin", actor=boss)
    assert office.get("/admin/").status_code == 200
    people.set_active(boss, False, actor=alice)
    assert office.get("/admin/").status_code == 302


@pytest.mark.parametrize("path", MODELS)
def test_every_list_and_page_works(office: Client, alice: User, path: str) -> None:
    one_of_each(alice)
    answer = office.get(f"/admin/{path}/")
    assert answer.status_code == 200
    found = re.search(rf'href="(/admin/{path}/[^"/]+/change/)', answer.content.decode())
    assert found, "no row on the page"
    assert office.get(found[1]).status_code == 200
    assert office.get(f"/admin/{path}/?q=alice").status_code == 200


@pytest.mark.parametrize("path", RECORDS)
def test_records_cannot_be_added_changed_or_deleted(office: Client, alice: User, path: str) -> None:
    one_of_each(alice)
    app, model = path.split("/")
    row = admin.site.get_model_admin(
        {m._meta.label_lower: m for m in admin.site._registry}[f"{app}.{model}"]
    ).model.objects.first()
    assert office.post(f"/admin/{path}/add/", {}).status_code == 403
    assert office.post(f"/admin/{path}/{row.pk}/change/", {}).status_code == 403
    assert office.post(f"/admin/{path}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    answer = office.post(
        f"/admin/{path}/",
        {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"},
        follow=True,
    )
    assert type(row).objects.filter(pk=row.pk).exists()
    assert answer.status_code == 200


def test_nothing_of_the_framework_that_would_be_a_second_truth(office: Client) -> None:
    page = text(office.get("/admin/"))
    assert "Groups" not in page and "Scheduled tasks" not in page


@pytest.mark.parametrize(
    "path", ["accounts/user", "accounts/quota", "accounts/transfer", "generations/generation"]
)
def test_a_list_asks_the_database_as_often_however_long_it_is(
    office: Client,
    alice: User,
    bob: User,
    path: str,
    django_assert_max_num_queries,  # type: ignore[no-untyped-def]
) -> None:
    for person in (alice, bob):
        for _ in range(5):
            ask(person)
    office.get(f"/admin/{path}/")
    with django_assert_max_num_queries(12):
        office.get(f"/admin/{path}/")


# --- people -------------------------------------------------------------------------


def new_user(office: Client, **changes: str):  # type: ignore[no-untyped-def]
    fields = {
        "username": "eve",
        "email": "eve@example.com",
        "password1": PASSWORD,
        "password2": PASSWORD,
        "role": "manager",
        "credits": "500",
        "period": "week",
    }
    return office.post("/admin/accounts/user/add/", fields | changes, follow=True)


def test_a_new_person_comes_with_role_and_quota(office: Client, boss: User) -> None:
    assert new_user(office).status_code == 200
    eve = User.objects.get(username="eve")
    assert (eve.role, eve.email, eve.is_staff) == ("manager", "eve@example.com", False)
    assert eve.check_password(PASSWORD)
    assert (eve.quotas.get().credits, eve.quotas.get().period) == (500, "week")
    made = AuditEntry.objects.get(action="user.make", subject="eve")
    assert made.actor == boss


@pytest.mark.parametrize(
    "changes",
    [
        {"username": "boss"},
        {"password2": "other"},
        {"credits": "-1"},
        {"role": "king"},
        {"password1": "1", "password2": "1"},
    ],
)
def test_a_bad_word_makes_nobody(office: Client, changes: dict[str, str]) -> None:
    new_user(office, **changes)
    assert User.objects.count() == 1


def change(office: Client, user: User, **changes: str):  # type: ignore[no-untyped-def]
    fields = {"username": user.username, "email": user.email, "role": user.role, "is_active": "on"} | changes
    fields = {name: value for name, value in fields.items() if value != "off"}
    return office.post(f"/admin/accounts/user/{user.pk}/change/", fields, follow=True)


def test_role_and_suspension_go_through_the_services(office: Client, alice: User) -> None:
    change(office, alice, role="admin", email="new@example.com")
    alice.refresh_from_db()
    assert (alice.role, alice.is_staff, alice.email) == ("admin", True, "new@example.com")
    change(office, alice, is_active="off", role="member")
    alice.refresh_from_db()
    assert (alice.is_active, alice.is_staff) == (False, False)
    noted = set(AuditEntry.objects.filter(subject="alice").values_list("action", flat=True))
    assert {"user.role", "user.edit", "user.suspend"} <= noted


def test_nobody_takes_the_admin_role_from_himself(office: Client, boss: User) -> None:
    answer = change(office, boss, role="member", email="lost@example.com")
    assert "You cannot take the admin role from yourself. Ask another admin." in messages(answer)
    boss.refresh_from_db()
    assert (boss.role, boss.email) == ("admin", "")


def test_suspending_several_says_who_was_not(office: Client, alice: User, bob: User, boss: User) -> None:
    chosen = {"action": "suspend", "_selected_action": [alice.pk, bob.pk, boss.pk]}
    answer = office.post("/admin/accounts/user/", chosen, follow=True)
    assert messages(answer) == [
        "alice is suspended.",
        "bob is suspended.",
        "boss: You cannot suspend yourself. Ask another admin.",
    ]
    assert list(User.objects.filter(is_active=True)) == [boss]
    office.post("/admin/accounts/user/", {**chosen, "action": "resume"}, follow=True)
    assert User.objects.filter(is_active=True).count() == 3


def test_a_password_set_by_an_admin_is_noted(office: Client, alice: User, boss: User) -> None:
    word = "an entirely new one"
    office.post(f"/admin/accounts/user/{alice.pk}/password/", {"password1": word, "password2": word})
    alice.refresh_from_db()
    assert alice.check_password(word)
    assert AuditEntry.objects.get(action="user.password").actor == boss


def test_nobody_is_deleted(office: Client, alice: User) -> None:
    assert office.post(f"/admin/accounts/user/{alice.pk}/delete/", {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk=alice.pk).exists()


# --- keys ---------------------------------------------------------------------------


def test_a_key_is_revoked_and_its_digest_is_not_shown(office: Client, alice: User, alice_key: str) -> None:
    key = ApiKey.objects.get()
    page = office.get(f"/admin/accounts/apikey/{key.pk}/change/").content.decode()
    assert key.lookup in page and alice_key[14:] not in page and key.digest.hex() not in page
    answer = office.post(
        "/admin/accounts/apikey/", {"action": "revoke", "_selected_action": [key.pk]}, follow=True
    )
    assert messages(answer) == ["The key “tests” no longer opens anything."]
    key.refresh_from_db()
    assert key.revoked_at


# --- in a browser ---------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_every_page_obeys_the_strict_policy(live_server, page, alice: User, boss: User) -> None:  # type: ignore[no-untyped-def]
    """The ``page`` fixture fails the test on any complaint of the browser's console."""
    generation = one_of_each(alice)
    page.goto(f"{live_server.url}/admin/")
    page.fill("#id_username", "boss")
    page.fill("#id_password", PASSWORD)
    page.click("[type=submit]")
    paths = [f"/admin/{model}/" for model in MODELS]
    paths += [
        "/admin/accounts/user/add/",
        f"/admin/accounts/user/{alice.pk}/change/",
        "/admin/accounts/quota/add/",
    ]
    paths += [reverse("admin:accounts_quota_change", args=[alice.quotas.get().pk])]
    paths += [
        f"/admin/accounts/quota/credits/{how}/?ids={alice.quotas.get().pk}"
        for how in ("set", "grant", "adjust")
    ]
    paths += [f"/admin/generations/generation/{generation.pk}/change/"]
    for path in paths:
        answer = page.goto(f"{live_server.url}{path}")
        assert answer.status == 200, path
        assert "'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
    page.goto(f"{live_server.url}/admin/accounts/quota/credits/grant/?ids={alice.quotas.get().pk}")
    page.fill("#id_credits", "25")
    page.fill("#id_reason", "for the trailer")
    page.click("input.default")
    page.get_by_text("alice: 25 credits more for this period.").wait_for()
