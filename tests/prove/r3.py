"""R3: what is held is charged or returned once, whoever comes how often and at which moment."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
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
    generations = [uuid.uuid4() for _ in range(held)]
    for generation in generations:
        with transaction.atomic():
            ledger.reserve(quotas.paying_wallets(user=user), PRICE, generation_id=generation)

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
    wallet = Wallet.objects.get(quota__user=user)
    lines = Transfer.objects.filter(wallet=wallet, kind__in=["settle", "release"])
    settled = lines.filter(kind="settle").count()
    assert sorted(won) == sorted(generations) == sorted(lines.values_list("generation_id", flat=True))
    assert (wallet.reserved, wallet.spent) == (0, PRICE * settled)
    for invariant in INVARIANTS:
        assert invariant.breaches(ALL) == [], invariant.name
    return len(won)


def run(number: int, seed: int) -> str:
    won = resolutions(threads=200, seed=seed + number)
    assert won == HELD, f"{won} of {HELD * TRIES}"
    return f"{won} of {HELD * TRIES}"
