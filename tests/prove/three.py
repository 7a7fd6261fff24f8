"""R2 and R3 with three wallets at once: a user's, a team's and a key's pay together or not at all."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from accounts import ledger, quotas
from accounts import services as people
from accounts.invariants import ALL, Invariant
from accounts.invariants import INVARIANTS as OF_ACCOUNTS
from accounts.models import ApiKey, Team, TopUp, Transfer, User, Wallet
from generations import services
from generations.invariants import INVARIANTS as OF_GENERATIONS
from generations.models import Generation
from kling_platform.errors import InsufficientQuota, WrongState
from tests.prove import r3
from tests.prove.race import race

PRICE, PAYABLE, ASKED, OPERATIONS = 15, 37, 416, 10_000
REQUEST = {"model": "kling-v2-5-turbo-std", "prompt": "a lighthouse in the rain", "duration": 5}


class Payer(NamedTuple):
    """Somebody with a key, in one team: three wallets pay for what is made with it."""

    user: User
    team: Team
    key: ApiKey


def payers(many: int, *, user: int, team: int, key: int) -> list[Payer]:
    """So many people in one team; the credits of each of the three quotas."""
    boss = people.provision(f"boss-{uuid.uuid4().hex[:8]}", role="admin").user
    shared = people.make_team(f"Team {uuid.uuid4().hex[:8]}", actor=boss)
    people.set_quota(shared, credits=team, period="day")
    found = []
    for _ in range(many):
        name = f"payer-{uuid.uuid4().hex[:8]}"
        person = people.provision(name, password=name * 3, credits=user, period="day").user
        people.add_member(shared, person, actor=boss)
        api_key, _text = people.make_key(person, label="race")
        people.set_quota(api_key, credits=key, period="day")
        found.append(Payer(person, shared, api_key))
    return found


def creates(*, threads: int, short: str, asked: int = ASKED) -> int:
    """How many of so many concurrent creates of four people were accepted, where one kind of quota is short.

    The team's holds 37 prices, or the users' or the keys' hold 37 between them: 10, 9, 9 and 9.
    """
    enough = PRICE * asked
    group = payers(4, user=enough, team=PRICE * PAYABLE if short == "team" else enough, key=enough)
    if short != "team":
        for number, payer in enumerate(group):
            owner = payer.user if short == "user" else payer.key
            people.set_quota(owner, credits=PRICE * (10 if number == 0 else 9), period="day")

    def create(payer: Payer) -> bool:
        try:
            services.create(user=payer.user, request=REQUEST, api_key=payer.key)
        except InsufficientQuota:
            return False
        return True

    accepted = sum(race([partial(create, group[n % 4]) for n in range(asked)], threads=threads))
    team = Wallet.objects.get(quota__team=group[0].team)
    assert team.reserved == PRICE * accepted
    assert Generation.objects.filter(team=group[0].team).count() == accepted
    assert Transfer.objects.filter(wallet__quota__team=group[0].team, kind="reserve").count() == accepted
    check()
    return accepted


def mixed(*, operations: int, threads: int, seed: int) -> Counter[str]:
    """Everything that moves credits, all at once: held, charged, returned, refunded, set for one and for many,
    granted, topped up, corrected, and the ends of periods and of top-ups.

    Four wallets pay: each person has a quota in total besides the one for the day. Returns how often each was
    done. A deadlock, like every other error that is not a refusal, is raised.
    """
    group = payers(6, user=10**6, team=10**6, key=10**6)
    boss = people.provision(f"boss-{uuid.uuid4().hex[:8]}", role="admin").user
    for payer in group:
        people.set_quota(payer.user, credits=10**8, period="total")
    dice = random.Random(seed)
    held: list[uuid.UUID] = []

    def hold(payer: Payer) -> str:
        generation = uuid.uuid4()
        try:
            with transaction.atomic():
                wallets = quotas.paying_wallets(user=payer.user, team=payer.team, api_key=payer.key)
                assert len(wallets) == 4
                ledger.reserve(wallets, PRICE, generation_id=generation)
        except ledger.CannotPay:
            return "the period ended at this very moment"
        held.append(generation)
        return "held"

    def resolve(verb: Callable[[uuid.UUID], int], which: float) -> str:
        if not held:
            return "nothing to resolve"
        try:
            assert verb(held[int(which * len(held))]) == 4
        except ledger.AlreadyResolved:
            return "resolved already"
        return verb.__name__

    def edit(owner: User | Team | ApiKey, credits: int) -> str:
        try:
            people.set_quota(owner, credits=credits, period="day")
        except WrongState:
            return "another editor was faster"
        return "quota set"

    def grant(payer: Payer) -> str:
        people.grant(payer.team.quotas.get(), credits=5, reason="race", actor=None)
        people.adjust(payer.user.quotas.get(period="day"), credits=-3, reason="race", actor=None)
        return "granted and corrected"

    def top_up(payer: Payer) -> str:
        total, until = payer.user.quotas.get(period="total"), timezone.now() + timedelta(days=1)
        people.grant(total, credits=40, reason="race", actor=None, until=until)
        return "topped up"

    def end_of_top_ups(payer: Payer) -> str:
        living = TopUp.objects.filter(grant__wallet__quota__user=payer.user, last_seq=None)
        living.update(ends_at=timezone.now() - timedelta(seconds=1))
        return f"{(people.lapse_top_ups() and 'top-ups ended') or 'no top-up to end'}"

    def edit_many(credits: int) -> str:
        edit = people.Edit(period="day", how="set", amount=credits)
        of_group = User.objects.filter(pk__in=[payer.user.pk for payer in group])
        seen = {effect.user.pk: effect.version for effect in people.preview(of_group, edit)}
        try:
            people.apply_edit(edit, seen=seen, reason="race", actor=boss)
        except WrongState:
            return "another editor of one of many was faster"
        return "many quotas set"

    def end_of_period(payer: Payer) -> str:
        Wallet.objects.filter(quota__team=payer.team, closed_at=None).update(
            ends_at=timezone.now() - timedelta(seconds=1)
        )
        return "period over"

    def job() -> Callable[[], str]:
        payer, which, credits = dice.choice(group), dice.random(), dice.randint(500_000, 10**6)
        return dice.choices(
            [
                partial(hold, payer),
                partial(resolve, dice.choice([ledger.settle, ledger.release, ledger.refund]), which),
                partial(edit, dice.choice(payer), credits),
                partial(grant, payer),
                partial(end_of_period, payer),
                partial(top_up, payer),
                partial(end_of_top_ups, payer),
                partial(edit_many, credits),
            ],
            weights=[50, 40, 6, 3, 1, 2, 1, 1],
        )[0]

    done = Counter(race([job() for _ in range(operations)], threads=threads))
    for generation in held:
        kinds = Transfer.objects.filter(generation_id=generation).values_list("kind", flat=True)
        assert all(number == 4 for number in Counter(kinds).values()), "one wallet went another way"
    return done


def check(invariants: Sequence[Invariant] = (*OF_ACCOUNTS, *OF_GENERATIONS)) -> None:
    """Every invariant of money and generations."""
    for invariant in invariants:
        assert invariant.breaches(ALL) == [], invariant.name


def run(number: int, seed: int) -> str:
    """Three rounds of creates, each with another kind of quota short; one of resolutions; 10,000 mixed operations."""
    if number < 3:
        short = ("team", "user", "key")[number]
        accepted = creates(threads=208, short=short)
        assert accepted == PAYABLE, f"{accepted} of {ASKED}"
        return f"{accepted} of {ASKED}, the {short}'s quota short"
    if number == 3:
        (payer,) = payers(1, user=10**6, team=10**6, key=10**6)
        paying = partial(quotas.paying_wallets, user=payer.user, team=payer.team, api_key=payer.key)
        won = r3.resolved_once(paying, threads=200, seed=seed)
        assert won == r3.HELD, f"{won} of {r3.HELD * r3.TRIES}"
        check(OF_ACCOUNTS)
        return f"{won} of {r3.HELD * r3.TRIES} settles and releases, each in all three wallets"
    done = mixed(operations=OPERATIONS, threads=64, seed=seed)
    check(OF_ACCOUNTS)
    ends = f"{done['period over']} ends of periods, {done['top-ups ended']} of top-ups"
    return (
        f"{sum(done.values())} operations ({done['held']} held, {done['settle']} charged, {ends}, "
        f"{done['many quotas set']} edits of many): 0 deadlocks"
    )
