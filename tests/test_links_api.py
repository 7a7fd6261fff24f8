"""Share links on ``/v1``: what a program makes is the portal's own link, under the same rules."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEntry, User
from generations.models import ShareLink
from tests.api import FILM, GENERATIONS, Api, error, finished
from tests.makers import submitted

pytestmark = pytest.mark.django_db


def test_a_program_makes_lists_and_revokes_a_link(alice: User, alice_key: str) -> None:
    api, video = Api(alice_key), finished(alice)
    links = f"{GENERATIONS}/{video.pk}/links"
    plain = api.post(links).json()
    made = api.post(links, {"days": 30, "downloads": True, "title": " First  cut "}).json()
    page = made["url"].removeprefix("http://127.0.0.1:8000")
    assert "First cut" in Client().get(page).content.decode()
    assert b"".join(Client().get(f"{page}/video?download=1")) == FILM
    listed = api.get(links).json()
    assert [one["id"] for one in listed["data"]] == [made["id"], plain["id"]]
    seen = listed["data"][0]
    assert (seen["title"], seen["opened"], seen["last_opened_at"] is not None) == ("First cut", 1, True)
    lasts = [one["expires_at"] - one["created_at"] for one in listed["data"]]
    assert [round(seconds / 86_400) for seconds in lasts] == [30, 7]
    assert (plain["title"], plain["downloads"], plain["last_opened_at"]) == ("", False, None)

    for _again in range(2):
        gone = api.send("DELETE", f"{links}/{made['id']}").json()
        assert gone == {"id": made["id"], "object": "share_link", "deleted": True}
    assert Client().get(page).status_code == 404
    assert [one["id"] for one in api.get(links).json()["data"]] == [plain["id"]]
    told = AuditEntry.objects.filter(actor=alice, action__startswith="link.").order_by("at")
    assert [entry.action for entry in told] == ["link.make", "link.make", "link.revoke"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"days": 2}, "days"),
        ({"days": True}, "days"),
        ({"days": "7"}, "days"),
        ({"days": [7]}, "days"),
        ({"downloads": "yes"}, "downloads"),
        ({"title": 5}, "title"),
        ({"title": "x" * 121}, "title"),
        ({"title": "a\x00b"}, "title"),
        ({"until": "tomorrow"}, "until"),
    ],
)
def test_what_cannot_be_is_refused_by_name(alice: User, alice_key: str, body: Any, param: str) -> None:
    answer = Api(alice_key).post(f"{GENERATIONS}/{finished(alice).pk}/links", body)
    assert (answer.status_code, error(answer)["param"]) == (400, param)
    assert not ShareLink.objects.exists()


def test_the_rules_of_the_portal_hold(alice: User, alice_key: str, settings: Any) -> None:
    api, ready, running = Api(alice_key), finished(alice), submitted(alice)
    other = finished(alice)
    made = api.post(f"{GENERATIONS}/{ready.pk}/links").json()
    assert api.post(f"{GENERATIONS}/{running.pk}/links").status_code == 409
    wrong = api.send("DELETE", f"{GENERATIONS}/{other.pk}/links/{made['id']}")
    assert wrong.status_code == 404, "a link of another video"
    settings.SHARE_LINKS = False
    assert error(api.post(f"{GENERATIONS}/{ready.pk}/links"))["code"] == "forbidden"
    settings.SHARE_LINKS, settings.SECRET_KEY = True, "another"
    (unreadable,) = api.get(f"{GENERATIONS}/{ready.pk}/links").json()["data"]
    assert unreadable["url"] is None
    assert ShareLink.objects.get().revoked_at is None
