"""Races for credits, in threads, on PostgreSQL: SQLite lets one writer in at a time and would hide them."""

from __future__ import annotations

import uuid
from functools import partial

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts import ledger, quotas, services
from accounts.invariants import ALL, INVARIANTS
from accounts.models import Transfer, User, Wallet
from tests.prove import r2, r3, three
from tests.prove.race import race

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("period_is_over", [False, True])
def test_of_120_concurrent_creates_a_wallet_of_37_prices_pays_37(period_is_over: bool) -> None:
    assert r2.creates(threads=40, period_is_over=period_is_over, asked=120) == 37


def test_of_200_concurrent_posts_over_http_37_are_paid() -> None:
    assert r2.creates_over_http(threads=40) == 37


def test_of_192_concurrent_settles_and_releases_of_12_reservations_12_win() -> None:
    assert r3.resolutions(threads=40, seed=7, held=12) == 12


@pytest.mark.parametrize("short", ["team", "key"])
def test_of_120_concurrent_creates_three_wallets_pay_37(short: str) -> None:
    assert three.creates(threads=40, short=short, asked=120) == 37


def test_three_wallets_in_a_mix_of_everything_never_wait_in_a_circle() -> None:
    done = three.mixed(operations=300, threads=24, seed=11)
    assert sum(done.values()) == 300 and done["held"] > 100 and done["settle"] > 10
    assert [breach for invariant in INVARIANTS for breach in invariant.breaches(ALL)] == []


def test_a_careless_writer_with_a_stale_version_loses(alice: User) -> None:
    """Read, check, save, as code that forgets the guard would: the journal's sequence refuses it."""
    wallet = quotas.current_wallet(alice.quotas.get())
    with transaction.atomic():
        ledger.grant(wallet.pk, 5, reason="meanwhile", actor=None)
    with pytest.raises(IntegrityError, match="accounts_transfer_seq"), transaction.atomic():
        Wallet.objects.filter(pk=wallet.pk).update(version=wallet.version + 1, available=F("available"))
        Transfer.objects.create(
            wallet=wallet,
            seq=wallet.version + 1,
            kind="grant",
            amount=5,
            available_after=wallet.available + 5,
        )


def test_two_that_pay_from_the_same_wallets_do_not_wait_in_a_circle(alice: User, bob: User) -> None:
    """Wallets named in either order are taken in the order of their ids."""
    wallets = [quotas.current_wallet(person.quotas.get()).pk for person in (alice, bob)]

    def pay(order: list[int]) -> None:
        for _ in range(50):
            ledger.reserve(order, 1, generation_id=uuid.uuid4())

    race([partial(pay, wallets), partial(pay, wallets[::-1])], threads=2)
    assert list(Wallet.objects.values_list("reserved", flat=True)) == [100, 100]


def test_the_change_of_period_under_load_does_not_wait_in_a_circle(alice: User) -> None:
    """Late releases go through both old wallets while creates close them and open the new ones."""
    key = services.make_key(alice, label="k")[0]
    services.set_quota(key, credits=1_000, period="day")
    held = [uuid.uuid4() for _ in range(60)]
    for generation in held:
        with transaction.atomic():
            wallets = quotas.paying_wallets(user=alice, api_key=key)
            ledger.reserve(wallets, 5, generation_id=generation)
    Wallet.objects.update(ends_at=timezone.now())

    def create() -> None:
        with transaction.atomic():
            now = quotas.paying_wallets(user=alice, api_key=key)
            ledger.reserve(now, 1, generation_id=uuid.uuid4())

    releases = [partial(ledger.release, generation) for generation in held]
    race([job for pair in zip(releases, [create] * 60, strict=True) for job in pair], threads=20)
    old, new = Wallet.objects.filter(closed_at__isnull=False), Wallet.objects.filter(closed_at__isnull=True)
    assert list(old.values_list("available", "reserved", "expired")) == [(0, 0, 1000)] * 2
    assert list(new.values_list("available", "reserved")) == [(940, 60)] * 2
