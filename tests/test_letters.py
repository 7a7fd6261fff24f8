"""Invitations and new passwords, with the letter that a real mail server takes and a person opens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import services as people
from accounts.models import AuditEntry, Invitation, Quota, Team, User
from kling_platform.errors import Forbidden, InvalidValue
from tests.conftest import PASSWORD, person, run_queued
from tests.mailboxes import Mailbox, mail_server
from tests.portal import signed_in

pytestmark = pytest.mark.django_db

NEW = "a much longer pass phrase"


@pytest.fixture
def letterbox(settings: Any) -> Iterator[Mailbox]:
    with mail_server(settings) as box:
        yield box


@pytest.fixture
def post(letterbox: Mailbox) -> Callable[[], str]:
    """Let the tasks run, and take the path of the link out of the newest letter."""

    def fetch() -> str:
        run_queued(float("inf"))
        text = letterbox.received[-1].get_content()
        link = re.search(r"http://[^/\s]+(/\S+)", text)
        assert link, text
        return link[1]

    return fetch


@pytest.fixture
def film(boss: User) -> Team:
    return people.make_team("Film", actor=boss)


def join(
    path: str, username: str = "eve", password: str = NEW, again: str | None = None
) -> tuple[Client, Any]:
    client = Client()
    sent = {"username": username, "password": password, "again": password if again is None else again}
    return client, client.post(path, sent)


def test_a_guest_follows_the_link_and_is_in(
    boss: User, film: Team, post: Callable[[], str], letterbox: Mailbox
) -> None:
    sent = {"email": "eve@example.com", "role": "manager", "teams": film.pk, "credits": 77, "period": "week"}
    assert signed_in(boss).post("/manage/people/invite", sent).status_code == 302
    assert not letterbox.received, "a letter left before the transaction was over"
    path = post()
    letter = letterbox.received[0]
    assert letter["To"] == "eve@example.com" and "boss" in letter.get_content()
    assert Invitation.objects.get().mailed_at is not None
    client, answer = join(path)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert client.get("/").status_code == 200
    eve = User.objects.get(username="eve")
    quota = Quota.objects.get(user=eve)
    assert (eve.email, eve.role, eve.is_staff, *eve.teams.all()) == (
        "eve@example.com",
        "manager",
        False,
        film,
    )
    assert (quota.credits, quota.period) == (77, "week")


def test_a_link_is_good_once(boss: User, post: Callable[[], str]) -> None:
    people.invite("eve@example.com", actor=boss)
    path = post()
    join(path)
    _client, answer = join(path, username="mallory")
    assert answer.status_code == 404 and "no longer works" in answer.content.decode()
    assert not User.objects.filter(username="mallory").exists()


def test_time_runs_out(boss: User, post: Callable[[], str]) -> None:
    people.invite("eve@example.com", actor=boss)
    path = post()
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert Client().get(path).status_code == 404
    assert join(path)[1].status_code == 404
    people.invite("eve@example.com", actor=boss)  # what ran out stands in nobody's way


def test_sent_again_the_first_link_is_dead(boss: User, post: Callable[[], str]) -> None:
    invitation = people.invite("eve@example.com", actor=boss)
    first = post()
    signed_in(boss).post(f"/manage/invitations/{invitation.pk}/again")
    second = post()
    assert [Client().get(path).status_code for path in (first, second)] == [404, 200]


def test_withdrawn_no_link_works_and_no_letter_leaves(
    boss: User, post: Callable[[], str], letterbox: Mailbox
) -> None:
    path = (people.invite("eve@example.com", actor=boss), post())[1]
    invitation = people.invite("mia@example.com", actor=boss)
    for pk in Invitation.objects.values_list("pk", flat=True):
        people.withdraw(pk, actor=boss)
    assert Client().get(path).status_code == 404
    post()
    assert len(letterbox.received) == 1, f"the withdrawn letter of {invitation} left"


@pytest.mark.parametrize(
    "path", ["/join/nonsense", "/join/WzEsIjAwIl0:1x:abc", "/reset/1/nonsense", "/reset/99/x-y"]
)
def test_a_made_up_link_opens_nothing(boss: User, path: str) -> None:
    assert Client().get(path).status_code == 404
    assert Client().post(path, {"username": "x", "password": NEW, "again": NEW}).status_code == 404


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"username": "Boss"}, "taken"),
        ({"username": "no spaces"}, "valid username"),
        ({"username": "e\x00"}, "Null characters"),
        ({"password": "12345678"}, "too common"),
        ({"again": "another"}, "not the same"),
    ],
)
def test_a_refusal_keeps_the_link_good(
    boss: User, post: Callable[[], str], sent: dict[str, str], sentence: str
) -> None:
    people.invite("eve@example.com", actor=boss)
    path = post()
    _client, answer = join(path, **sent)
    assert answer.status_code == 400 and sentence in answer.content.decode()
    assert join(path)[1].status_code == 302
    boss.refresh_from_db()
    assert boss.check_password(PASSWORD), "a guest took an existing account"


def test_a_failed_letter_is_said_and_can_be_sent_again(boss: User, letterbox: Mailbox) -> None:
    letterbox.refuses = True
    invitation = people.invite("eve@example.com", actor=boss)
    run_queued(float("inf"))
    page = signed_in(boss).get("/manage/people").content.decode()
    assert "the letter could not be sent" in page and "451" in page
    letterbox.refuses = False
    people.send_again(invitation.pk, actor=boss)
    run_queued(float("inf"))
    assert len(letterbox.received) == 1
    assert "letter sent" in signed_in(boss).get("/manage/people").content.decode()


def test_a_manager_invites_members_into_own_teams_alone(boss: User, film: Team) -> None:
    manager = person("manager", role="manager")
    with pytest.raises(Forbidden):
        people.invite("eve@example.com", actor=manager, teams=[film])
    people.add_member(film, manager, actor=boss)
    for wrong in ({"role": "admin", "teams": [film]}, {"teams": []}):
        with pytest.raises(Forbidden):
            people.invite("eve@example.com", actor=manager, **wrong)
    invitation = people.invite("eve@example.com", actor=manager, teams=[film], credits=10**9)
    assert (invitation.role, invitation.credits) == ("member", None), "what everybody new gets"


def test_nobody_is_invited_twice_or_while_here(boss: User) -> None:
    people.provision("mia", email="mia@example.com", password=PASSWORD)
    people.invite("eve@example.com", actor=boss)
    for email in ("EVE@example.com", "Mia@Example.com", "nonsense"):
        with pytest.raises(InvalidValue) as refused:
            people.invite(email, actor=boss)
        assert refused.value.param == "email"


def test_a_letter_is_in_the_hosts_language(boss: User, post: Callable[[], str], letterbox: Mailbox) -> None:
    client = signed_in(boss)
    client.cookies["django_language"] = "zh-hans"
    client.post(
        "/manage/people/invite", {"email": "eve@example.com", "role": "member", "credits": 5, "period": "day"}
    )
    post()
    assert "邀请你" in letterbox.received[0].get_content()


# --- new passwords -------------------------------------------------------------


@pytest.fixture
def mia(db: None) -> User:
    return people.provision("mia", email="mia@example.com", password=PASSWORD).user


def test_a_new_password_by_link_ends_sessions_and_works_once(
    boss: User, mia: User, post: Callable[[], str]
) -> None:
    before = signed_in(mia)
    signed_in(boss).post(f"/manage/people/{mia.pk}/reset")
    path = post()
    assert before.get("/").status_code == 200, "the old password works until the link is used"
    assert join(path)[1]["Location"] == "/signin"
    assert before.get("/").status_code == 302
    assert Client().login(username="mia", password=NEW)
    assert join(path, password="yet another long one")[1].status_code == 404
    entry = AuditEntry.objects.get(action="user.password")
    assert (entry.actor, entry.address) == (mia, "127.0.0.1")


def test_a_suspended_users_link_opens_nothing(boss: User, mia: User, post: Callable[[], str]) -> None:
    people.send_reset(mia, actor=boss)
    path = post()
    people.set_active(mia, False, actor=boss)
    assert Client().get(path).status_code == 404


def test_without_an_address_it_says_so(boss: User, alice: User) -> None:
    page = signed_in(boss).post(f"/manage/people/{alice.pk}/reset", follow=True).content.decode()
    assert "No e-mail address of alice is known" in page


# --- sessions ------------------------------------------------------------------


def test_signing_out_everywhere_ends_every_browser(boss: User, mia: User) -> None:
    browsers = [signed_in(mia), signed_in(mia)]
    signed_in(boss).post(f"/manage/people/{mia.pk}/sign-out")
    assert [browser.get("/").status_code for browser in browsers] == [302, 302]
    assert Client().login(username="mia", password=PASSWORD)


def test_brought_back_old_browsers_stay_out(boss: User, mia: User) -> None:
    browser = signed_in(mia)
    people.set_active(mia, False, actor=boss)
    people.set_active(mia, True, actor=boss)
    assert browser.get("/").status_code == 302
