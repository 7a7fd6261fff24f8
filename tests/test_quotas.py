"""Quotas and their periods: opened and closed at a touch, edited by one at a time, refused in words."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models import DateTimeField, Value
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from accounts import ledger, periods, quotas, services
from accounts.models import AuditEntry, Quota, Team, TopUp, Transfer, User, Wallet
from kling_platform.errors import InvalidValue, NoQuota, WrongState

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def columns(wallet: Wallet) -> tuple[int, int, int, int, int]:
    """(granted, available, reserved, spent, expired) as the database has them."""
    wallet.refresh_from_db()
    return wallet.granted, wallet.available, wallet.reserved, wallet.spent, wallet.expired


def wallet_of(user: User) -> Wallet:
    """Of somebody with one quota."""
    return quotas.balance(user.quotas.get(lifted_at=None)).wallet


def hold(user: User, credits: int, **others: Any) -> uuid.UUID:
    generation = uuid.uuid4()
    with transaction.atomic():
        ledger.reserve(quotas.paying_wallets(user=user, **others), credits, generation_id=generation)
    return generation


def end_period(wallet: Wallet) -> None:
    """The wallet's time has passed."""
    Wallet.objects.filter(pk=wallet.pk).update(
        starts_at=timezone.now() - timedelta(days=40), ends_at=timezone.now() - timedelta(seconds=1)
    )


# --- periods ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "zone", "now", "start", "end"),
    [
        ("day", "UTC", "2026-11-23T12:00", "2026-11-23T00:00", "2026-11-24T00:00"),
        ("day", "Asia/Shanghai", "2026-11-23T17:00", "2026-11-23T16:00", "2026-11-24T16:00"),
        ("week", "UTC", "2026-11-23T00:00", "2026-11-23T00:00", "2026-11-30T00:00"),
        ("week", "UTC", "2026-11-22T23:59", "2026-11-16T00:00", "2026-11-23T00:00"),
        ("week", "UTC", "2027-01-01T09:00", "2026-12-28T00:00", "2027-01-04T00:00"),
        ("month", "UTC", "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("month", "UTC", "2028-02-29T09:00", "2028-02-01T00:00", "2028-03-01T00:00"),
        # A month that ends in another offset than it began with.
        ("month", "Europe/Berlin", "2026-10-10T00:00", "2026-09-30T22:00", "2026-10-31T23:00"),
        # Days of 23 and of 25 hours.
        ("day", "Europe/Berlin", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("day", "Europe/Berlin", "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"),
        # Midnight itself is skipped: the day begins when the clock does.
        ("day", "Africa/Cairo", "2026-04-24T12:00", "2026-04-23T22:00", "2026-04-24T21:00"),
    ],
)
def test_a_period_begins_and_ends_at_local_midnight(
    period: str, zone: str, now: str, start: str, end: str
) -> None:
    begins, ends = periods.bounds(period, _utc(now), zone)
    assert (begins, ends) == (_utc(start), _utc(end))


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Havana", "Asia/Shanghai", "Africa/Cairo"])
@pytest.mark.parametrize("period", ["day", "week", "month"])
def test_periods_follow_each_other_without_gap_or_overlap(period: str, zone: str) -> None:
    now = _utc("2026-01-01T00:30")
    _start, end = periods.bounds(period, now, zone)
    for _ in range(400):
        assert end is not None and end > now
        start, following = periods.bounds(period, end, zone)
        assert start == end
        now, end = end, following


def test_a_quota_in_total_never_resets(alice: User) -> None:
    services.set_quotas(alice, {"total": 50})
    assert wallet_of(alice).ends_at is None


# --- opening and closing ----------------------------------------------------------


def test_a_wallet_is_opened_at_the_first_touch(alice: User) -> None:
    quota = Quota.objects.create(team=Team.objects.create(name="film"), credits=80)
    assert not quota.wallets.exists()
    assert quotas.balance(quota).wallet.available == 80
    assert quota.wallets.count() == 1


def test_a_new_period_begins_with_the_whole_quota_and_the_old_rest_expires(alice: User) -> None:
    old = wallet_of(alice)
    hold(alice, 300)
    end_period(old)
    new = wallet_of(alice)
    assert new.pk != old.pk
    assert columns(new) == (1000, 1000, 0, 0, 0)
    assert columns(old) == (1000, 0, 300, 0, 700)
    assert old.closed_at is not None


def test_what_is_held_stays_with_its_wallet(alice: User) -> None:
    old = wallet_of(alice)
    generation = hold(alice, 300)
    end_period(old)
    new = wallet_of(alice)
    ledger.settle(generation)
    assert columns(old) == (1000, 0, 0, 300, 700)
    assert columns(new) == (1000, 1000, 0, 0, 0)


@pytest.mark.parametrize("touched", [True, False])
def test_a_late_release_expires_in_its_closed_period(alice: User, touched: bool) -> None:
    """Whether somebody has opened the new period meanwhile or the release is the first to notice."""
    old = wallet_of(alice)
    generation = hold(alice, 300)
    end_period(old)
    if touched:
        wallet_of(alice)
    ledger.release(generation)
    assert columns(old) == (1000, 0, 0, 0, 1000)
    assert old.closed_at is not None
    assert wallet_of(alice).available == 1000
    last = Transfer.objects.filter(wallet=old).latest("seq")
    assert last.kind == "expire" and last.available_after == 0


def test_a_late_refund_expires_too(alice: User) -> None:
    old = wallet_of(alice)
    generation = hold(alice, 300)
    ledger.settle(generation)
    end_period(old)
    wallet_of(alice)
    ledger.refund(generation)
    assert columns(old) == (1000, 0, 0, 0, 1000)


def test_nothing_begins_in_a_closed_wallet(alice: User, boss: User) -> None:
    old = wallet_of(alice)
    end_period(old)
    wallet_of(alice)
    for act in (
        lambda: ledger.grant(old.pk, 5, reason="", actor=boss),
        lambda: ledger.adjust(old.pk, 5, reason="", actor=boss),
        lambda: ledger.reserve([old.pk], 5, generation_id=uuid.uuid4()),
    ):
        with pytest.raises(ledger.CannotPay), transaction.atomic():
            act()
    assert columns(old) == (1000, 0, 0, 0, 1000)


def test_looking_takes_no_lock_and_two_queries(alice: User, django_assert_num_queries: Any) -> None:
    wallet_of(alice)
    with django_assert_num_queries(2) as captured:
        assert quotas.balances(alice)[0].wallet.available == 1000
    assert isinstance(captured, CaptureQueriesContext)
    assert not any("FOR UPDATE" in q["sql"] or "SAVEPOINT" in q["sql"] for q in captured.captured_queries)


def test_finding_who_pays_is_one_query(alice: User, django_assert_num_queries: Any) -> None:
    wallet_of(alice)
    with django_assert_num_queries(1):
        quotas.paying_wallets(user=alice)


# --- who pays ---------------------------------------------------------------------


def test_every_wallet_that_applies_pays_or_none(alice: User) -> None:
    team = Team.objects.create(name="film")
    team.members.add(alice)
    key = services.make_key(alice, label="k")[0]
    services.set_quota(team, credits=500)
    services.set_quota(key, credits=40)
    hold(alice, 30, team=team, api_key=key)
    left = {b.scope: b.wallet.available for b in quotas.balances(alice, api_key=key)}
    assert left == {"user": 970, "team": 470, "key": 10}
    with pytest.raises(ledger.CannotPay):
        hold(alice, 30, team=team, api_key=key)
    assert {b.scope: b.wallet.available for b in quotas.balances(alice, api_key=key)} == left


def test_half_a_reservation_is_undone_even_inside_a_larger_transaction(alice: User, bob: User) -> None:
    """A caller that goes on after the refusal finds nothing held."""
    services.set_quota(bob, credits=5)
    first, second = sorted(wallet_of(person).pk for person in (alice, bob))
    with transaction.atomic(), pytest.raises(ledger.CannotPay):
        ledger.reserve([second, first], 10, generation_id=uuid.uuid4())
    assert not Transfer.objects.filter(kind="reserve").exists()


def test_without_a_quota_of_the_user_nothing_is_made() -> None:
    carol = User.objects.create_user("carol")
    with pytest.raises(NoQuota, match="no quota yet"):
        quotas.paying_wallets(user=carol)


def test_the_own_balance_comes_first(alice: User) -> None:
    team = Team.objects.create(name="film")
    team.members.add(alice)
    services.set_quota(team, credits=500)
    assert [b.name for b in quotas.balances(alice)] == ["your monthly quota", "your team's monthly quota"]


def test_the_teams_of_others_do_not_show(alice: User, bob: User) -> None:
    team = Team.objects.create(name="film")
    team.members.add(bob)
    services.set_quota(team, credits=500)
    assert [b.scope for b in quotas.balances(alice)] == ["user"]


# --- refusals ---------------------------------------------------------------------


def test_a_refusal_names_quota_rest_price_and_reset(alice: User) -> None:
    hold(alice, 990)
    wallet = wallet_of(alice)
    Wallet.objects.filter(pk=wallet.pk).update(ends_at=datetime(2099, 12, 1, tzinfo=UTC))
    refusal = quotas.refusal(wallet.pk, alice.quotas.get(), 25)
    assert str(refusal) == (
        "Your monthly quota: 10 credits left, this needs 25, resets 1 December. "
        "Nothing was charged. Take a cheaper option, or ask for more: "
        f"http://127.0.0.1:8000/account?ask=15&quota={alice.quotas.get().pk}#ask"
    )
    assert (refusal.code, refusal.status) == ("insufficient_quota", 402)


def test_a_quota_in_total_names_no_reset(alice: User) -> None:
    services.set_quotas(alice, {"total": 10})
    total = alice.quotas.get(period="total")
    assert "10 credits left, this needs 25." in str(quotas.refusal(0, total, 25))


def test_a_refusal_outlives_the_wallet_that_was_opened_for_it(alice: User) -> None:
    """The first request of a month opens the wallet; refused, it takes the wallet back with it."""
    services.set_quota(alice, credits=10)
    end_period(wallet_of(alice))
    with pytest.raises(ledger.CannotPay) as refused, transaction.atomic():
        wallets = quotas.paying_wallets(user=alice)
        ledger.reserve(wallets, 25, generation_id=uuid.uuid4())
    assert not Wallet.objects.filter(pk=refused.value.wallet_id).exists()
    quota = wallets[refused.value.wallet_id]
    assert "10 credits left, this needs 25" in str(quotas.refusal(refused.value.wallet_id, quota, 25))


def test_credits_that_came_back_meanwhile_are_no_riddle(alice: User) -> None:
    assert "send it again" in str(quotas.refusal(wallet_of(alice).pk, alice.quotas.get(), 25))


def test_a_refusal_can_be_translated_whole(alice: User) -> None:
    with translation.override("zh-hans"):
        assert str(quotas.refusal(0, alice.quotas.get(), 10_000))


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


def left_of(user: User) -> dict[str, int]:
    return {balance.quota.period: balance.wallet.available for balance in quotas.balances_of(user)}


def test_a_lifted_quota_pays_no_more_and_keeps_what_was_spent(alice: User, boss: User) -> None:
    services.set_quotas(alice, {"day": 200, "month": 3_000}, actor=boss)
    generation = hold(alice, 150)
    services.set_quotas(alice, {"month": 3_000}, actor=boss)
    assert left_of(alice) == {"month": 2_850}
    assert (
        AuditEntry.objects.filter(action="quota.lift").values_list("detail__period", flat=True).get() == "day"
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


@pytest.mark.django_db(transaction=True)
def test_a_movement_without_a_transaction_is_refused(alice: User) -> None:
    """Wallet and journal would part at the first crash."""
    wallet = wallet_of(alice)
    with pytest.raises(transaction.TransactionManagementError, match="one transaction or not at all"):
        ledger.grant(wallet.pk, 5, reason="", actor=None)
    assert columns(wallet) == (1000, 1000, 0, 0, 0)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Africa/Cairo", date(2026, 4, 24), 23),  # whose midnight is skipped
    ],
)
def test_a_day_of_another_length_ends_when_it_ends_with_credits_held_over_it(
    alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch, zone: str, day: date, hours: int
) -> None:
    settings.TIME_ZONE = zone
    start, end = periods.of_day(day, zone)
    assert end - start == timedelta(hours=hours)

    def clock_says(now: datetime) -> None:
        for module in (quotas, ledger):
            monkeypatch.setattr(module, "Now", lambda: Value(now, DateTimeField()))

    clock_says(start)
    services.set_quotas(alice, {"day": 100, "month": 1_000})
    charged, returned = hold(alice, 30), hold(alice, 20)
    clock_says(end - timedelta(seconds=1))
    hold(alice, 10)
    assert left_of(alice)["day"] == 40
    clock_says(end)
    hold(alice, 5)
    old, new = Wallet.objects.filter(quota__period="day").order_by("pk")
    assert (old.starts_at, old.ends_at, new.starts_at) == (start, end, end)
    ledger.settle(charged)
    ledger.release(returned)
    assert columns(old) == (100, 0, 10, 30, 60)
    assert columns(new) == (100, 95, 5, 0, 0)
    assert left_of(alice)["month"] == 1_000 - 30 - 10 - 5
