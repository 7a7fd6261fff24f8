"""R2: however many ask at once, a wallet pays only what it holds."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from accounts import services as people
from accounts.invariants import ALL
from accounts.invariants import INVARIANTS as OF_ACCOUNTS
from accounts.models import User, Wallet
from generations import services
from generations.invariants import INVARIANTS as OF_GENERATIONS
from generations.models import Generation
from kling_platform.errors import InsufficientQuota
from tests.prove.race import race
from tests.prove.web import gunicorn, posts

PRICE, PAYABLE, ASKED, ROUNDS, OVER_HTTP = 15, 37, 416, 20, 200
REQUEST = {"model": "kling-v2-5-turbo-std", "prompt": "a lighthouse in the rain", "duration": 5}


def creates(*, threads: int, period_is_over: bool, asked: int = ASKED) -> int:
    """How many of so many concurrent creates a wallet of 37 prices accepted, all else being right.

    With ``period_is_over`` the wallet that stands is yesterday's, so the first ones also race to close
    it and to open today's.
    """
    user = racer()
    if period_is_over:
        yesterday = timezone.now() - timedelta(days=1)
        Wallet.objects.filter(quota__user=user).update(starts_at=yesterday, ends_at=timezone.now())

    def create() -> bool:
        try:
            services.create(user=user, request=REQUEST)
        except InsufficientQuota:
            return False
        return True

    accepted = sum(race([create] * asked, threads=threads))
    assert Wallet.objects.filter(quota__user=user).count() == 1 + period_is_over
    check(user, accepted)
    return accepted


def creates_over_http(*, threads: int) -> int:
    """How many of 200 concurrent POSTs to the real web server were accepted; the others got 402."""
    user = racer()
    _key, text = people.make_key(user, label="race")
    with gunicorn() as site:
        answers = posts(f"{site}/v1/video/generations", text, REQUEST, many=OVER_HTTP, threads=threads)
    accepted = answers[200]
    assert answers == {200: accepted, 402: OVER_HTTP - accepted}, answers
    check(user, accepted)
    return accepted


def racer() -> User:
    """Somebody who can pay for exactly 37."""
    name = f"racer-{User.objects.count()}"
    return people.provision(name, password=name * 3, credits=PRICE * PAYABLE, period="day").user


def check(user: User, accepted: int) -> None:
    """Wallet, rows and every invariant agree with what was accepted."""
    wallet = Wallet.objects.get(quota__user=user, closed_at__isnull=True)
    assert (wallet.available, wallet.reserved) == (PRICE * (PAYABLE - accepted), PRICE * accepted), accepted
    assert Generation.objects.filter(user=user).count() == accepted
    for invariant in (*OF_ACCOUNTS, *OF_GENERATIONS):
        assert invariant.breaches(ALL) == [], invariant.name


def run(number: int, seed: int) -> str:
    """One round in threads, every second one with a period that is over; after the rounds one over HTTP."""
    if number < ROUNDS:
        accepted, asked = creates(threads=ASKED, period_is_over=number % 2 == 1), ASKED
    else:
        accepted, asked = creates_over_http(threads=100), OVER_HTTP
    assert accepted == PAYABLE, f"{accepted} of {asked}"
    return f"{accepted} of {asked}"
