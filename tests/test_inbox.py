"""The inbox over HTTP: by days, with what is new marked, and read only by who follows it or says so."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import services as people
from accounts.models import Notice, User
from generations import services
from tests.api import finished
from tests.portal import signed_in

pytestmark = pytest.mark.django_db


def told(user: User, days_ago: int, text: str) -> Notice:
    (notice,) = people.notify([user], "done", link="/storyboards", prompt=text)
    Notice.objects.filter(pk=notice.pk).update(created_at=timezone.now() - timedelta(days=days_ago))
    return notice


def test_it_is_told_by_days_newest_first(alice: User, bob: User) -> None:
    for days_ago, text in ((400, "an owl"), (1, "a hare"), (0, "a stoat"), (0, "a fox")):
        told(alice, days_ago, text)
    told(bob, 0, "a wolf")
    page = signed_in(alice).get("/inbox").content.decode()
    seen = re.findall(r"<h2>([^<]+)</h2>|Ready: ([a-z ]+)<", page)
    long_ago = (timezone.localdate() - timedelta(days=400)).year
    days = [day or words for day, words in seen]
    assert days[:5] == ["Today", "a fox", "a stoat", "Yesterday", "a hare"]
    assert re.fullmatch(rf"\d+ [A-Z][a-z]+ {long_ago}", days[5]), days
    assert days[6:] == ["an owl"]
    assert "Nothing yet" in signed_in(people.provision("new").user).get("/inbox").content.decode()


def test_to_look_reads_nothing_to_follow_reads_one_and_a_button_all(alice: User, bob: User) -> None:
    first, second, third = (told(alice, 0, text) for text in ("one", "two", "three"))
    client = signed_in(alice)
    assert client.get("/inbox").content.decode().count("unread") == 3
    assert people.unread(alice) == [third.pk, second.pk, first.pk]
    assert client.get(f"/inbox/{second.pk}").headers["Location"] == "/storyboards"
    assert people.unread(alice) == [third.pk, first.pk]
    assert signed_in(bob).get(f"/inbox/{third.pk}").status_code == 404
    late = told(alice, 0, "came while one read")
    client.post("/inbox/read", {"upto": third.pk})
    assert people.unread(alice) == [late.pk], "what was not on the page is still new"
    client.post("/inbox/read", {"upto": "nonsense"})
    assert people.unread(alice) == [late.pk]


def test_a_poster_stands_where_the_video_can_still_be_seen(alice: User) -> None:
    kept, gone = finished(alice), finished(alice)
    client = signed_in(alice)
    services.delete(gone, actor=alice)
    page = client.get("/inbox").content.decode()
    assert f'src="/g/{kept.pk}/poster"' in page
    assert f"/g/{gone.pk}/poster" not in page
