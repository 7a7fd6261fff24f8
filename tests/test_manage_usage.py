"""The pages of usage: each role sees its part, numbers lead to their videos, and what is exported is harmless."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Team, User
from generations import services
from generations.models import Generation
from tests.api import finished
from tests.conftest import person
from tests.portal import signed_in
from tests.test_usage import MONDAY, at, ended

pytestmark = pytest.mark.django_db

WEEK = f"from={MONDAY}&to={MONDAY + timedelta(days=6)}"


@pytest.fixture
def money(db: None) -> Client:
    return signed_in(person("fred", role=User.Role.FINANCE))


def test_it_works(alice: User, money: Client) -> None:
    ended(finished(alice), at(MONDAY))
    services.sum_up(MONDAY)
    ended(finished(alice), at(MONDAY - timedelta(days=1)))
    page = money.get(f"/manage/usage?{WEEK}&by=user").content.decode()
    assert ">alice</a>" in page
    assert "±0 % against the time before" in page
    assert '"credits": [15, 0, 0, 0, 0, 0, 0]' in page


def test_a_number_leads_to_its_videos(alice: User, bob: User, money: Client) -> None:
    mine = ended(finished(alice), at(MONDAY))
    ended(finished(bob), at(MONDAY))
    ended(finished(alice), at(MONDAY + timedelta(days=30)))
    page = money.get(f"/manage/usage/videos?{WEEK}&user={alice.pk}").content.decode()
    assert page.count("<tr><td") == 1
    assert mine.prompt in page


def test_videos_come_a_page_at_a_time(alice: User, money: Client) -> None:
    last = finished(alice)
    names = ("model", "prompt", "seconds", "size", "mode", "price", "user_id", "status")
    recipe = {name: getattr(last, name) for name in names}
    Generation.objects.all().update(finished_at=at(MONDAY, 1))
    Generation.objects.bulk_create(
        Generation(**recipe, upstream_id=f"x{n}", finished_at=at(MONDAY) + timedelta(seconds=n))
        for n in range(60)
    )
    first = money.get(f"/manage/usage/videos?{WEEK}")
    older = first.context["older"]
    second = money.get(f"/manage/usage/videos?{WEEK}&after={older}")
    ids = [row.pk for row in (*first.context["page"], *second.context["page"])]
    assert len(ids) == len(set(ids)) == 61
    assert money.get(f"/manage/usage/videos?{WEEK}&after=nonsense").status_code == 404


def test_a_manager_sees_the_teams_that_are_theirs(alice: User, bob: User) -> None:
    blue, red = Team.objects.create(name="Blue"), Team.objects.create(name="Red")
    boss_of_blue = person("maria", role=User.Role.MANAGER)
    blue.members.add(boss_of_blue, alice)
    for user, team in ((alice, blue), (bob, red), (bob, None)):
        generation = ended(finished(user), at(MONDAY))
        Generation.objects.filter(pk=generation.pk).update(made_for=team)
    services.sum_up(MONDAY)
    client = signed_in(boss_of_blue)
    whole = client.get(f"/manage/usage?{WEEK}").context["whole"]
    assert (whole.succeeded, whole.credits) == (1, 15)
    assert client.get(f"/manage/usage?{WEEK}&team={red.pk}").context["whole"].succeeded == 0
    assert client.get(f"/manage/usage/statement?team={red.pk}").status_code == 404
    assert client.get(f"/manage/usage/videos?{WEEK}&user={bob.pk}").context["page"] == []


def test_members_have_no_such_pages(alice: User) -> None:
    client = signed_in(alice)
    for path in ("/manage/usage", "/manage/usage.csv", "/manage/usage/videos", "/manage/usage/statement"):
        assert client.get(path).status_code == 404


def test_a_statement_is_a_month_of_a_team(alice: User, money: Client) -> None:
    team = Team.objects.create(name="Blue")
    for day in (date(2026, 3, 1), date(2026, 3, 31), date(2026, 4, 1)):
        generation = ended(finished(alice), at(day))
        Generation.objects.filter(pk=generation.pk).update(made_for=team)
    page = money.get(f"/manage/usage/statement?month=2026-03&team={team.pk}")
    assert page.context["whole"].credits == 30
    assert "March 2026" in page.content.decode()
    answer = money.get(f"/manage/usage/statement?month=2026-03&team={team.pk}&format=csv")
    text = b"".join(answer).decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(text)))[1] == ["alice", "2", "10", "30", "", "0", "2"]
    assert "named no cost" in page.content.decode()
    Generation.objects.filter(finished_at__day=31).update(upstream_cost=250_000)
    page = money.get(f"/manage/usage/statement?month=2026-03&team={team.pk}").content.decode()
    assert "$0.50 (1/2)" in page
    assert "named a cost for 1 of 2" in page
    answer = money.get(f"/manage/usage/statement?month=2026-03&team={team.pk}&format=csv")
    rows = list(csv.reader(io.StringIO(b"".join(answer).decode("utf-8-sig"))))
    assert rows[1][4:] == ["0.5", "1", "2"]


def test_a_name_is_no_formula_in_an_export(alice: User, money: Client) -> None:
    generation = ended(finished(alice), at(MONDAY))
    villain = Team.objects.create(name='=HYPERLINK("https://example.com")')
    Generation.objects.filter(pk=generation.pk).update(made_for=villain)
    answer = money.get(f"/manage/usage.csv?{WEEK}&by=team")
    rows = list(csv.reader(io.StringIO(b"".join(answer).decode("utf-8-sig"))))
    assert rows[1][0].startswith("'=")


@pytest.mark.parametrize(
    "query", ["from=x&to=y", "from=9999-12-31", "user=-1&team=a&key=%00", "by=drop", "model=%00", "month=13"]
)
def test_what_makes_no_sense_is_as_if_it_were_not_there(query: str, money: Client) -> None:
    for path in ("/manage/usage", "/manage/usage/videos", "/manage/usage/statement"):
        assert money.get(f"{path}?{query}").status_code == 200


@pytest.mark.postgres
def test_a_page_asks_twelve_times_at_most_however_many_there_are(
    alice: User, bob: User, money: Client
) -> None:
    for number in range(12):
        generation = ended(finished(alice if number % 2 else bob), at(MONDAY + timedelta(days=number % 4)))
        team = Team.objects.create(name=f"Team {number}")
        Generation.objects.filter(pk=generation.pk).update(made_for=team)
        services.sum_up(MONDAY + timedelta(days=number % 4))
    today = timezone.localdate()
    query = f"from={today - timedelta(days=29)}&to={today}"
    money.get(f"/manage/usage?{query}")
    for by in ("day", "user", "team", "model", "key"):
        with CaptureQueriesContext(connection) as seen:
            assert money.get(f"/manage/usage?{query}&by={by}").status_code == 200
        asked = [
            q["sql"]
            for q in seen
            if "django_session" not in q["sql"] and '"accounts_user"."id" = ' not in q["sql"]
        ]
        assert len(asked) <= 12, asked
