"""R3: what is held is charged or returned once, whoever comes how often and at which moment."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Collection
from functools import partial

from django.db import transaction

from accounts import ledger, quotas
from accounts import services as people
from accounts.invariants import ALL, INVARIANTS
from accounts.models import Transfer, User, Wallet
from tests.prove.race import race

PRICE, HELD, TRIES = 10, 100, 16


def resolutions(*, threads: int, seed: int, held: int = HELD) -> int:
    """How many of 16 concurrent settles and releases of each reservation won, all else being right."""
    name = f"resolver-{User.objects.count()}"
    user = people.provision(name, password="correct horse battery", credits=PRICE * held, period="total").user
    won = resolved_once(partial(quotas.paying_wallets, user=user), threads=threads, seed=seed, held=held)
    wallet = Wallet.objects.get(quota__user=user)
    settled = Transfer.objects.filter(wallet=wallet, kind="settle").count()
    assert (wallet.reserved, wallet.spent) == (0, PRICE * settled)
    for invariant in INVARIANTS:
        assert invariant.breaches(ALL) == [], invariant.name
    return won


def resolved_once(paying: Callable[[], Collection[int]], *, threads: int, seed: int, held: int = HELD) -> int:
    """Hold so many, then settle and release each 16 times at once; how many won, each in all of its wallets."""
    generations = [uuid.uuid4() for _ in range(held)]
    for generation in generations:
        with transaction.atomic():
            ledger.reserve(wallets := paying(), PRICE, generation_id=generation)

    def resolve(how: Callable[[uuid.UUID], int], generation: uuid.UUID) -> uuid.UUID | None:
        try:
            how(generation)
        except ledger.AlreadyResolved:
            return None
        return generation

    jobs = [
        partial(resolve, how, generation)
        for generation in generations
        for how in [ledger.settle, ledger.release] * (TRIES // 2)
    ]
    random.Random(seed).shuffle(jobs)
    won = [generation for generation in race(jobs, threads=threads) if generation]
    for wallet in wallets:
        lines = Transfer.objects.filter(wallet=wallet, kind__in=["settle", "release"])
        assert sorted(won) == sorted(generations) and lines.count() == held
        assert set(lines.values_list("generation_id", flat=True)) == set(generations)
    kinds = Transfer.objects.filter(generation_id__in=won, kind__in=["settle", "release"])
    assert kinds.values("generation_id", "kind").distinct().count() == held, "one wallet went another way"
    return len(won)


def run(number: int, seed: int) -> str:
    won = resolutions(threads=200, seed=seed + number)
    assert won == HELD, f"{won} of {HELD * TRIES}"
    return f"{won} of {HELD * TRIES}"
