"""Who used how much: sums of the days that are over, the rest counted, and both the same to the credit."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone

from accounts import services as people
from accounts.models import Team, User, Wallet
from generations import services
from generations.invariants import days_add_up
from generations.models import DailyUsage, Generation, UsageDay
from generations.services import UsageScope, total_usage, usage_by
from tests.api import finished
from tests.makers import ask, claim_one

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]

MONDAY = date(2026, 3, 2)


def ended(generation: Generation, moment: datetime, *, after: float = 90) -> Generation:
    """The generation, as if it had ended then, so many seconds after it was asked for."""
    Generation.objects.filter(pk=generation.pk).update(
        finished_at=moment, created_at=moment - timedelta(seconds=after)
    )
    return generation


def at(day: date, hour: int = 12) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def refused(user: User, **fields: Any) -> Generation:
    generation = ask(user, **fields)
    assert services.record_refused(claim_one(), code="1301", message="no")
    return generation


def of(first: date = MONDAY, last: date | None = None, **parts: Any) -> UsageScope:
    return UsageScope(first, last or first, **parts)


def test_a_day_is_the_same_before_and_after_it_was_summed_up(alice: User, bob: User) -> None:
    ended(finished(alice), at(MONDAY), after=20)
    ended(finished(alice), at(MONDAY, 23), after=100)
    ended(refused(alice), at(MONDAY))
    ended(finished(bob), at(MONDAY), after=10_000)
    ended(finished(bob), at(MONDAY + timedelta(days=1)))
    before = {by: usage_by(of(), by) for by in ("day", "user", "team", "model", "key")}
    services.sum_up(MONDAY)
    assert {by: usage_by(of(), by) for by in before} == before
    sums = before["user"][alice.pk]
    assert (sums.succeeded, sums.failed, sums.canceled) == (2, 1, 0)
    assert (sums.credits, sums.seconds, sums.waited) == (30, 10, 120.0)
    assert (sums.within_30, sums.within_60, sums.within_120, sums.within_900) == (1, 1, 2, 2)
    assert sums.failure_rate == pytest.approx(1 / 3)
    assert total_usage(before["user"].values()) == before["day"][MONDAY]
    assert before["day"][MONDAY].within_900 == 2, "who waited for hours is in no such count"
    assert days_add_up() == []


def test_only_days_that_are_over_are_summed_up_each_once(alice: User) -> None:
    ended(finished(alice), at(MONDAY))
    finished(alice)  # today
    assert services.sum_up_days() == services.DAYS_A_RUN
    while services.sum_up_days():
        pass
    days = UsageDay.objects.values_list("day", flat=True)
    assert min(days) == MONDAY
    assert max(days) < timezone.localdate()
    assert usage_by(of(timezone.localdate()), "day")[timezone.localdate()].succeeded == 1


def test_a_day_begins_at_midnight_of_the_time_zone(alice: User, settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Shanghai"
    timezone.get_default_timezone.cache_clear()
    try:
        ended(finished(alice), at(MONDAY, 17))  # an hour into Tuesday there
        tuesday = MONDAY + timedelta(days=1)
        assert list(usage_by(of(MONDAY, tuesday), "day")) == [tuesday]
        services.sum_up(tuesday)
        assert usage_by(of(tuesday), "day")[tuesday].succeeded == 1
        assert days_add_up() == []
    finally:
        timezone.get_default_timezone.cache_clear()


def test_a_scope_sees_its_own_part(alice: User, bob: User) -> None:
    team, other = Team.objects.create(name="Blue"), Team.objects.create(name="Red")
    for user, whose in ((alice, team), (bob, other), (bob, None)):
        generation = ended(finished(user), at(MONDAY))
        Generation.objects.filter(pk=generation.pk).update(made_for=whose)
    for _ in ("counted", "summed up"):
        assert set(usage_by(of(teams=frozenset({team.pk})), "user")) == {alice.pk}
        assert set(usage_by(of(teams=frozenset()), "user")) == set()
        assert set(usage_by(of(user=bob.pk), "team")) == {other.pk, None}
        services.sum_up(MONDAY)


def test_the_time_before_is_as_long() -> None:
    assert of(date(2026, 3, 8), date(2026, 3, 14)).before() == of(date(2026, 3, 1), date(2026, 3, 7))


def test_all_days_together_are_what_the_wallets_spent(alice: User, bob: User) -> None:
    for number in range(6):
        ended(finished(alice if number % 2 else bob), at(MONDAY + timedelta(days=number % 3)))
    ended(refused(bob), at(MONDAY))
    services.sum_up(MONDAY)
    spent = Wallet.objects.aggregate(n=Sum("spent"))["n"]
    assert (
        total_usage(usage_by(of(MONDAY, MONDAY + timedelta(days=2)), "model").values()).credits == spent == 90
    )


def test_a_wrong_sum_is_found(alice: User) -> None:
    ended(finished(alice), at(MONDAY))
    services.sum_up(MONDAY)
    DailyUsage.objects.update(credits=14)
    assert days_add_up() == [
        "2026-03-02: 1 ended and 14 credits are summed up, 1 ended and the journal charged 15"
    ]
    services.sum_up(MONDAY)
    assert days_add_up() == []


def test_the_wait_of_half_and_of_nine_in_ten() -> None:
    sums = services.UsageSums(
        succeeded=10, within_30=0, within_60=5, within_120=9, within_300=9, within_900=9
    )
    assert sums.wait_of(0.5) == 60
    assert sums.wait_of(0.9) == 120
    assert sums.wait_of(0.95) is None
    assert services.UsageSums().wait_of(0.5) is None


def test_a_video_that_several_quotas_paid_for_counts_once_also_when_it_was_handed_over(
    alice: User, bob: User
) -> None:
    people.set_quota(alice, credits=100, period="day")
    generation = ended(finished(alice), at(MONDAY))
    Generation.objects.filter(pk=generation.pk).update(user=bob, maker=alice)
    services.sum_up(MONDAY)
    assert usage_by(of(), "user")[alice.pk].credits == 15
    assert days_add_up() == []
