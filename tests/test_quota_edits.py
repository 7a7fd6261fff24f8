"""Quotas set, raised and cut by one at a time, for several periods at once, and topped up for a while."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import ledger, quotas, services
from accounts.manage.audit_views import changes
from accounts.models import AuditEntry, TopUp, Transfer, User, Wallet
from kling_platform.errors import InvalidValue, WrongState
from tests.wallets import columns, end_period, hold, left_of, wallet_of

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


# --- editing ------------------------------------------------------------------------


def test_a_raise_arrives_at_once(alice: User, boss: User) -> None:
    hold(alice, 900)
    assert services.set_quota(alice, credits=1_500, actor=boss) == (500, 500)
    assert columns(wallet_of(alice)) == (1500, 600, 900, 0, 0)


def test_a_cut_takes_at_most_what_is_available(alice: User, boss: User) -> None:
    hold(alice, 980)
    assert services.set_quota(alice, credits=950, actor=boss) == (-50, -20)
    assert columns(wallet_of(alice)) == (980, 0, 980, 0, 0)
    entry = AuditEntry.objects.filter(action="quota.set").latest("at")
    assert (entry.detail["wanted"], entry.detail["moved"]) == (-50, -20)


def test_a_cut_that_fell_short_is_made_good_by_the_next_raise(alice: User, boss: User) -> None:
    hold(alice, 980)
    services.set_quota(alice, credits=950, actor=boss)
    assert services.set_quota(alice, credits=990, actor=boss) == (10, 10)
    assert columns(wallet_of(alice)) == (990, 10, 980, 0, 0)


def test_a_grant_survives_an_edit_of_the_quota(alice: User, boss: User) -> None:
    services.grant(alice.quotas.get(), credits=100, reason="for the trailer", actor=boss)
    services.set_quota(alice, credits=500, actor=boss)
    assert columns(wallet_of(alice)) == (600, 600, 0, 0, 0)


def test_a_grant_is_for_this_period_alone(alice: User, boss: User) -> None:
    services.grant(alice.quotas.get(), credits=100, reason="for the trailer", actor=boss)
    end_period(wallet_of(alice))
    assert wallet_of(alice).available == 1000


def test_a_correction_downwards_takes_at_most_what_is_available(alice: User, boss: User) -> None:
    hold(alice, 970)
    assert services.adjust(alice.quotas.get(), credits=-50, reason="counted twice", actor=boss) == (-50, -30)
    assert services.adjust(alice.quotas.get(), credits=-50, reason="counted twice", actor=boss) == (-50, 0)
    assert columns(wallet_of(alice)) == (970, 0, 970, 0, 0)


def test_a_correction_needs_a_reason(alice: User, boss: User) -> None:
    with pytest.raises(InvalidValue, match="Say why"):
        services.adjust(alice.quotas.get(), credits=-5, reason=" ", actor=boss)


def test_two_editors_cannot_overwrite_each_other(alice: User, boss: User) -> None:
    seen = alice.quotas.get().version
    services.set_quota(alice, credits=2_000, actor=boss, version=seen)
    with pytest.raises(WrongState, match="Somebody else changed this quota"):
        services.set_quota(alice, credits=10, actor=boss, version=seen)
    alice.quotas.get().refresh_from_db()
    assert alice.quotas.get().credits == 2_000
    assert wallet_of(alice).available == 2_000


def test_quotas_for_several_periods_all_pay_or_none(alice: User, django_assert_num_queries: Any) -> None:
    services.set_quotas(alice, {"day": 200, "month": 3_000})
    hold(alice, 150)
    assert left_of(alice) == {"day": 50, "month": 2_850}
    with pytest.raises(ledger.CannotPay) as short:
        hold(alice, 60)
    assert left_of(alice) == {"day": 50, "month": 2_850}
    paying = quotas.paying_wallets(user=alice)
    assert (
        "your daily quota: 50 credits left"
        in str(quotas.refusal(0, paying[short.value.wallet_id], 60)).lower()
    )
    with django_assert_num_queries(1):
        quotas.paying_wallets(user=alice)


def test_a_lifted_quota_pays_no_more_and_keeps_what_was_spent(alice: User, boss: User) -> None:
    services.set_quotas(alice, {"day": 200, "month": 3_000}, actor=boss)
    generation = hold(alice, 150)
    services.set_quotas(alice, {"month": 3_000}, actor=boss)
    assert left_of(alice) == {"month": 2_850}
    detail = AuditEntry.objects.get(action="quota.lift").detail
    assert changes(detail) == [("credits", "200", "–"), ("period", "", "day")], (
        "not credits that became a day"
    )
    services.set_quotas(alice, {"day": 160, "month": 3_000}, actor=boss)
    assert left_of(alice) == {"day": 10, "month": 2_850}, "what was spent today counts"
    ledger.release(generation)
    assert left_of(alice) == {"day": 160, "month": 3_000}


def test_a_user_keeps_at_least_one_quota(alice: User) -> None:
    with pytest.raises(InvalidValue, match="Leave at least one"):
        services.set_quotas(alice, {})
    assert left_of(alice) == {"month": 1_000}


def test_with_several_quotas_the_period_must_be_said(alice: User) -> None:
    services.set_quotas(alice, {"day": 200, "month": 3_000})
    for act in (services.set_quota, lambda user, credits: services.provision(user.username, credits=credits)):
        with pytest.raises(InvalidValue, match="say for which period"):
            act(alice, credits=5)
    services.provision("alice", credits=5, period="week")
    assert left_of(alice) == {"week": 5}


# --- top-ups ------------------------------------------------------------------------


def top_up(user: User, credits: int) -> TopUp:
    until = timezone.now() + timedelta(seconds=30)
    services.set_quotas(user, {"total": 100})
    services.grant(
        user.quotas.get(lifted_at=None), credits=credits, reason="a trailer", actor=None, until=until
    )
    return TopUp.objects.latest("pk")


def end_top_up(given: TopUp) -> None:
    TopUp.objects.filter(pk=given.pk).update(ends_at=timezone.now() - timedelta(seconds=1))


@pytest.mark.parametrize("swept", [True, False])
def test_what_is_unused_of_a_top_up_expires_with_it(alice: User, swept: bool) -> None:
    """By the task, or by whoever touches the wallet first."""
    given = top_up(alice, 50)
    hold(alice, 30)
    assert columns(wallet_of(alice)) == (150, 120, 30, 0, 0)
    end_top_up(given)
    assert services.lapse_top_ups() == 1 if swept else quotas.paying_wallets(user=alice)
    assert columns(wallet_of(alice)) == (150, 100, 30, 0, 20)
    assert services.lapse_top_ups() == 0
    assert Transfer.objects.filter(kind="expire").get().reason == "a trailer"


def test_a_top_up_is_used_first_and_what_comes_back_late_expires(alice: User) -> None:
    services.set_quotas(alice, {"total": 100})
    before = hold(alice, 10)
    given = top_up(alice, 50)
    first, second = hold(alice, 40), hold(alice, 40)
    end_top_up(given)
    services.lapse_top_ups()
    assert columns(wallet_of(alice)) == (150, 60, 90, 0, 0), "all of it was used"
    ledger.release(before)
    assert columns(wallet_of(alice)) == (150, 70, 80, 0, 0), "held before it was given"
    ledger.release(first)
    assert columns(wallet_of(alice)) == (150, 100, 40, 0, 10), "the second one had used 40 of the 50"
    ledger.settle(second)
    ledger.refund(second)
    assert columns(wallet_of(alice)) == (150, 100, 0, 0, 50)


def test_a_refund_ends_a_top_up_that_is_over_although_it_had_paid_for_nothing(alice: User) -> None:
    services.set_quotas(alice, {"total": 100})
    before = hold(alice, 30)
    ledger.settle(before)
    end_top_up(top_up(alice, 50))
    ledger.refund(before)
    assert columns(Wallet.objects.get(quota__user=alice, quota__period="total")) == (150, 100, 0, 0, 50)


def test_a_top_up_ends_within_its_period(alice: User) -> None:
    month = alice.quotas.get()
    for until, why in ((timedelta(days=-1), "is over"), (timedelta(days=40), "period ends before")):
        with pytest.raises(InvalidValue, match=why) as refused:
            services.grant(month, credits=5, reason="x", actor=None, until=timezone.now() + until)
        assert refused.value.param == "until"


@pytest.mark.parametrize("credits", [-1, 10**13, True, 1.5, "7"])
def test_credits_are_a_whole_number(alice: User, credits: Any) -> None:
    with pytest.raises(InvalidValue, match="whole number"):
        services.set_quota(alice, credits=credits)


def test_a_period_is_one_of_four(alice: User) -> None:
    with pytest.raises(InvalidValue, match="day, week, month and total"):
        services.set_quota(alice, credits=5, period="year")
