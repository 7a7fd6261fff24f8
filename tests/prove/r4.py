"""R4: the ledger against a model of it in plain Python, step by step, in any order of events."""

from __future__ import annotations

import copy
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from accounts import ledger, quotas, services
from accounts.invariants import ALL, INVARIANTS
from accounts.models import ApiKey, Quota, Team, TopUp, User, Wallet
from kling_platform.errors import InvalidValue, WrongState
from tests.prove.ledger_model import Ambiguous, Books, Key, TooLittle

MONEY = INVARIANTS[:7]  # the rest looks at the schema, which no rule changes
OWNERS = st.sampled_from(["user", "team", "key"])
PERIODS = st.sampled_from([*Quota.Period.values, None])
FEW, MANY, WHICH = st.integers(1, 60), st.integers(0, 200), st.integers(0, 3)
NEVER = datetime(2999, 1, 1, tzinfo=UTC)


class LedgerMachine(RuleBasedStateMachine):
    """A member with a quota, a team and a key that may get one, and everything that can happen to them."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.undone = transaction.atomic()
        self.undone.__enter__()
        self.user = User.objects.create(username=f"user-{uuid.uuid4().hex}")
        self.team = Team.objects.create(name=uuid.uuid4().hex)
        self.team.members.add(self.user)
        self.key = services.make_key(self.user, label="key")[0]
        self.owners: dict[str, User | Team | ApiKey] = {"user": self.user, "team": self.team, "key": self.key}
        self.known: dict[Key, Quota] = {}
        self.books = Books()
        self.held: list[uuid.UUID] = []
        services.set_quota(self.user, credits=100)
        self.books.set_quota("user", 100, "month")

    def quota(self, key: Key) -> Quota:
        if key not in self.known:
            owner, period = key
            self.known[key] = Quota.objects.of(self.owners[owner]).get(period=period)
        return self.known[key]

    def one(self, owner: str, which: int) -> Key | None:
        """One of the quotas of an owner, if there is any."""
        standing = self.books.standing(owner)
        return standing[which % len(standing)] if standing else None

    # --- quotas ---------------------------------------------------------------

    @rule(owner=OWNERS, credits=MANY, period=PERIODS)
    def set_quota(self, owner: str, credits: int, period: str | None) -> None:
        try:
            wanted = self.books.set_quota(owner, credits, period)
        except Ambiguous:
            wanted = None
        try:
            moved = services.set_quota(self.owners[owner], credits=credits, period=period)
        except InvalidValue:
            assert wanted is None
        else:
            assert moved == wanted

    @rule(owner=OWNERS, credits=st.dictionaries(st.sampled_from(Quota.Period.values), MANY, max_size=3))
    def set_quotas(self, owner: str, credits: dict[str, int]) -> None:
        if credits or owner != "user":
            services.set_quotas(self.owners[owner], credits)
            self.books.set_quotas(owner, credits)

    @rule(owner=OWNERS, credits=MANY, which=WHICH)
    def set_quota_after_somebody_else(self, owner: str, credits: int, which: int) -> None:
        if key := self.one(owner, which):
            try:
                services.set_quota(self.owners[owner], credits=credits, period=key[1], version=0)
            except WrongState:
                return
            raise AssertionError("the slower editor overwrote the faster one")

    @rule(owner=OWNERS, credits=FEW, which=WHICH)
    def grant(self, owner: str, credits: int, which: int) -> None:
        if key := self.one(owner, which):
            services.grant(self.quota(key), credits=credits, reason="once", actor=None)
            self.books.grant(key, credits)

    @rule(owner=OWNERS, credits=FEW, which=WHICH, minutes=st.integers(1, 3))
    def top_up(self, owner: str, credits: int, which: int, minutes: int) -> None:
        if (key := self.one(owner, which)) and key[1] == "total":  # the others may end within the minute
            until = NEVER + timedelta(minutes=minutes)
            services.grant(self.quota(key), credits=credits, reason="for a while", actor=None, until=until)
            self.books.top_up(key, credits, minutes)

    @rule(owner=OWNERS, minutes=st.integers(1, 3), swept=st.booleans())
    def a_top_up_ends(self, owner: str, minutes: int, swept: bool) -> None:
        key = (owner, "total")
        if key in self.books.quotas:
            living = TopUp.objects.filter(grant__wallet__quota=self.quota(key), last_seq=None)
            begin = timezone.now() - timedelta(minutes=5)  # they differ by up to three
            for ended in living.filter(ends_at__lte=NEVER + timedelta(minutes=minutes)).order_by("pk"):
                ended.ends_at -= NEVER - begin  # in the order in which they were to end
                ended.save(update_fields=["ends_at"])
            self.books.end_top_ups(key, minutes)
            if swept:
                services.lapse_top_ups()
                for plan in self.books.quotas.values():
                    if not plan.purses[-1].closed:
                        plan.purses[-1].sweep()

    @rule(owner=OWNERS, credits=st.integers(-80, 60).filter(bool), which=WHICH)
    def adjust(self, owner: str, credits: int, which: int) -> None:
        if key := self.one(owner, which):
            moved = services.adjust(self.quota(key), credits=credits, reason="a mistake", actor=None)
            assert moved == self.books.adjust(key, credits)

    @rule(owner=OWNERS, period=st.sampled_from(Quota.Period.values))
    def a_period_ends(self, owner: str, period: str) -> None:
        key = (owner, period)
        if self.books.end_period(key):
            Wallet.objects.filter(quota=self.quota(key), closed_at__isnull=True).update(
                starts_at=timezone.now() - timedelta(days=40), ends_at=timezone.now() - timedelta(seconds=1)
            )

    @rule()
    def look(self) -> None:
        known = quotas.balances(self.user, api_key=self.key)
        assert [(b.scope, b.quota.period, b.wallet.available) for b in known] == self.books.look()

    # --- generations ------------------------------------------------------------

    @rule(price=FEW, team=st.booleans(), key=st.booleans())
    def create(self, price: int, team: bool, key: bool) -> None:
        generation, before = uuid.uuid4(), copy.deepcopy(self.books)
        try:
            self.books.reserve(generation, price, ["user", *["team"] * team, *["key"] * key])
        except TooLittle:
            self.books = before
            refused = True
        else:
            refused = False
            self.held.append(generation)
        try:
            with transaction.atomic():
                wallets = quotas.paying_wallets(
                    user=self.user, team=self.team if team else None, api_key=self.key if key else None
                )
                ledger.reserve(wallets, price, generation_id=generation)
        except ledger.CannotPay:
            assert refused
        else:
            assert not refused

    @rule(data=st.data(), how=st.sampled_from(["settle", "release", "refund"]))
    def resolve(self, data: Any, how: str) -> None:
        if not self.held:
            return
        generation = data.draw(st.sampled_from(self.held))
        right = self.books.resolve(generation, how)
        try:
            getattr(ledger, how)(generation)
        except ledger.AlreadyResolved:
            assert not right
        else:
            assert right

    # --- after every step, and at the end of each story -----------------------------

    @invariant()
    def the_wallets_are_as_in_the_books(self) -> None:
        type(self).steps += 1
        mine = [self.quota(key) for key in self.books.quotas]
        rows = Wallet.objects.filter(quota__in=mine).order_by("pk")
        real: dict[int, list[tuple[int | bool, ...]]] = {}
        for quota, closed_at, *columns in rows.values_list("quota_id", "closed_at", *ledger.Effect._fields):
            real.setdefault(quota, []).append((*columns, closed_at is not None))
        assert real == {self.quota(key).pk: self.books.wallets(key) for key in self.books.quotas}

    def teardown(self) -> None:
        try:
            for each in MONEY:  # the journal is still whole: what was wrong at any step is wrong now
                assert each.breaches(ALL) == [], each.name
        finally:
            transaction.set_rollback(True)
            self.undone.__exit__(None, None, None)


def machine(number: int, *, examples: int, steps: int) -> int:
    """Run the machine from this seed; returns how many rule steps were made."""
    LedgerMachine.steps = 0
    run_state_machine_as_test(
        seed(number)(LedgerMachine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return LedgerMachine.steps


def run(number: int, seed: int) -> str:
    """5,000 steps or a few more."""
    made = 0
    while made < 5_000:
        made += machine(seed + 1_000_000 * number + made, examples=50, steps=50)
    return f"{made} steps"
