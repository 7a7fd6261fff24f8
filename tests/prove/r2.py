"""R2: however many ask at once, a wallet pays only what it holds."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from accounts import services as people
from accounts.invariants import INVARIANTS as OF_ACCOUNTS
from accounts.models import User, Wallet
from generations import services
from generations.invariants import INVARIANTS as OF_GENERATIONS
from generations.models import Generation
from kling_platform.errors import InsufficientQuota
from tests.prove.race import race

PRICE, PAYABLE, ASKED = 15, 37, 416
REQUEST = {"model": "kling-v2-5-turbo-std", "prompt": "a lighthouse in the rain", "duration": 5}


def creates(*, threads: int, period_is_over: bool) -> int:
    """How many of 416 concurrent creates a wallet of 37 prices accepted, all else being right.

    With ``period_is_over`` the wallet that stands is yesterday's, so the first ones also race to close
    it and to open today's.
    """
    name = f"racer-{User.objects.count()}"
    user = people.provision(
        name, password="correct horse battery", credits=PRICE * PAYABLE, period="day"
    ).user
    if period_is_over:
        yesterday = timezone.now() - timedelta(days=1)
        Wallet.objects.filter(quota__user=user).update(starts_at=yesterday, ends_at=timezone.now())

    def create() -> bool:
        try:
            services.create(user=user, request=REQUEST)
        except InsufficientQuota:
            return False
        return True

    accepted = sum(race([create] * ASKED, threads=threads))
    wallet = Wallet.objects.get(quota__user=user, closed_at__isnull=True)
    assert (wallet.available, wallet.reserved) == (PRICE * (PAYABLE - accepted), PRICE * accepted), accepted
    assert Generation.objects.filter(user=user).count() == accepted
    assert Wallet.objects.filter(quota__user=user).count() == 1 + period_is_over
    for invariant in (*OF_ACCOUNTS, *OF_GENERATIONS):
        assert invariant.breaches() == [], invariant.name
    return accepted


def run(number: int, seed: int) -> str:
    """One round; every second one begins with a period that is over."""
    accepted = creates(threads=ASKED, period_is_over=number % 2 == 1)
    assert accepted == PAYABLE, f"{accepted} of {ASKED}"
    return f"{accepted} of {ASKED}"
