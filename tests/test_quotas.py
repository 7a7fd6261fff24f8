"""Quotas and their periods: opened and closed at a touch, paid by all or none, refused in words."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models import DateTimeField, Value
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from accounts import ledger, periods, quotas, services
from accounts.models import Quota, Team, Transfer, User, Wallet
from kling_platform.errors import NoQuota
from tests.wallets import columns, end_period, hold, left_of, wallet_of

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


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
