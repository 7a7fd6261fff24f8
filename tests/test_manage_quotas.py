"""Who may spend how much, set by those who are answerable: for one, for many at once, for everybody new."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts import quotas, services
from accounts.models import AuditEntry, Quota, Team, TopUp, User
from kling_platform.errors import InvalidValue, WrongState
from tests.conftest import person
from tests.makers import ask
from tests.office import messages, text
from tests.portal import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


@pytest.fixture
def managers(alice: User, boss: User) -> tuple[Client, Client]:
    """Two managers of alice's team, each in a browser."""
    team = Team.objects.create(name="Blue")
    both = person("maria", role="manager"), person("rolf", role="manager")
    team.members.add(alice, *both)
    return signed_in(both[0]), signed_in(both[1])


def left(user: User) -> dict[str, int]:
    return {b.quota.period: b.wallet.available for b in quotas.balances_of(user)}


def test_two_managers_do_not_overwrite_each_other(alice: User, managers: tuple[Client, Client]) -> None:
    first, second = managers
    page = f"/manage/people/{alice.pk}"
    assert 'name="seen_month" value="1"' in first.get(page).content.decode()
    looked_at = {"seen_day": 0, "seen_week": 0, "seen_month": 1, "seen_total": 0}
    done = first.post(f"{page}/quotas", {**looked_at, "day": "200", "month": "3,000"}, follow=True)
    assert messages(done) == ["Saved. It holds at once."]
    late = second.post(f"{page}/quotas", {**looked_at, "month": "500"}, follow=True)
    assert "Somebody else changed this quota meanwhile; nothing was saved" in messages(late)[0]
    assert left(alice) == {"day": 200, "month": 3_000}
    assert "200 of" not in text(late) and "0 of 200 used" in text(late), "and sees how it stands"


def test_a_manager_sets_members_quotas_and_never_the_own(
    alice: User, managers: tuple[Client, Client]
) -> None:
    maria, rolf = User.objects.get(username="maria"), User.objects.get(username="rolf")
    assert set(User.objects.funded_by(maria)) == {alice}
    for nobody in (maria, rolf):
        assert managers[0].post(f"/manage/people/{nobody.pk}/quotas", {"month": "9"}).status_code == 403
        assert left(nobody) == {"month": 1_000}


def test_credits_until_a_day_are_given_on_the_page(alice: User, managers: tuple[Client, Client]) -> None:
    services.set_quotas(alice, {"total": 100})
    quota = alice.quotas.get(lifted_at=None)
    page = f"/manage/people/{alice.pk}"
    day = timezone.localdate() + timedelta(days=3)
    gift = {"quota": quota.pk, "credits": "50", "until": day.isoformat(), "reason": "the trailer"}
    assert messages(managers[0].post(f"{page}/grant", gift, follow=True)) == [
        "Given. They can go on at once."
    ]
    ends_at = TopUp.objects.get().ends_at
    assert timezone.localtime(ends_at).date() == day + timedelta(days=1)
    assert "50 of what is left expire on" in text(managers[0].get(page))
    for wrong in ("yesterday", "2026-02-31", "2020-01-01", "9999-12-31"):
        managers[0].post(f"{page}/grant", {**gift, "until": wrong})
    assert TopUp.objects.count() == 1


# --- many at once -------------------------------------------------------------------


def test_what_a_cut_does_is_shown_and_then_done(alice: User, bob: User, boss: User) -> None:
    ask(alice)
    services.set_quota(alice, credits=20)
    office = signed_in(boss)
    query = "?role=member&period=month&how=percent&amount=-50"
    page = office.get(f"/manage/quotas{query}")
    assert "alice 20 10 -5 5 are spent or held already" in text(page)
    assert "bob 1,000 500 -500" in text(page)
    who = [f"{each.pk}:{each.quotas.get().version}" for each in (alice, bob)]
    edit = {"period": "month", "how": "percent", "amount": "-50", "who": who}
    assert "Say why" in messages(office.post(f"/manage/quotas{query}", edit, follow=True))[0]
    done = office.post(f"/manage/quotas{query}", {**edit, "reason": "a quiet month"}, follow=True)
    assert messages(done) == ["2 quotas are changed."]
    assert (left(alice), left(bob)) == ({"month": 0}, {"month": 500})
    assert AuditEntry.objects.get(action="quota.bulk").detail["people"] == 2
    assert "bob 500 0 -500" in text(office.get("/manage/quotas?period=month&how=add&amount=-900")), (
        "0 at least"
    )


def test_one_that_somebody_else_changed_keeps_all_as_they_were(alice: User, bob: User, boss: User) -> None:
    edit = services.Edit(period="month", how="add", amount=100)
    seen = {effect.user.pk: effect.version for effect in services.preview(User.objects.funded_by(boss), edit)}
    services.set_quota(bob, credits=7)
    with pytest.raises(WrongState, match="quota of bob meanwhile"):
        services.apply_edit(edit, seen=seen, reason="more", actor=boss)
    assert (left(alice), left(bob)) == ({"month": 1_000}, {"month": 7})


def test_who_has_no_quota_of_that_kind_gets_one_only_where_it_is_set(alice: User, boss: User) -> None:
    mine = User.objects.filter(pk=alice.pk)
    (raised,) = services.preview(mine, services.Edit(period="day", how="percent", amount=20))
    assert not raised.changes
    edit = services.Edit(period="day", how="set", amount=50)
    (given,) = services.preview(mine, edit)
    assert (given.before, given.after, given.version) == (None, 50, 0)
    assert services.apply_edit(edit, seen={alice.pk: 0}, reason="a limit a day", actor=boss) == 1
    assert left(alice) == {"day": 50, "month": 1_000}


def test_a_manager_reaches_nobody_elses_people(
    alice: User, bob: User, managers: tuple[Client, Client]
) -> None:
    page = text(managers[0].get("/manage/quotas?period=month&how=set&amount=5"))
    assert "alice" in page and "bob" not in page and "Everybody new" not in page
    maria = User.objects.get(username="maria")
    edit = services.Edit(period="month", how="set", amount=5)
    with pytest.raises(WrongState, match="not yours to decide"):
        services.apply_edit(edit, seen={alice.pk: 1, bob.pk: 1}, reason="x", actor=maria)
    assert left(bob) == {"month": 1_000}


# --- everybody new ------------------------------------------------------------------


def test_everybody_new_gets_the_default_and_nobody_else(alice: User, boss: User) -> None:
    office = signed_in(boss)
    typed = {"seen": 0, "day": "200", "month": "3000"}
    assert "Saved" in messages(office.post("/manage/quotas/default", typed, follow=True))[0]
    assert left(services.provision("eve").user) == {"day": 200, "month": 3_000}
    assert left(alice) == {"month": 1_000}
    late = office.post("/manage/quotas/default", {**typed, "day": "5"}, follow=True)
    assert "Somebody else changed" in messages(late)[0]
    with pytest.raises(InvalidValue, match="at least one"):
        services.set_default_quotas({}, actor=boss, version=1)
    assert quotas.default() == ({"day": 200, "month": 3_000}, 1)


def test_a_quota_is_taken_away_on_the_teams_page(boss: User) -> None:
    team = services.make_team("Film", actor=boss)
    office, page = signed_in(boss), f"/manage/teams/{team.pk}"
    office.post(f"{page}/quotas", {"week": "500", "seen_week": 0})
    assert "0 of 500 used" in text(office.get(page))
    office.post(f"{page}/quotas", {"seen_week": 1})
    assert not Quota.objects.of(team).standing().exists()
