"""R4: the ledger against a model of it in plain Python, step by step, in any order of events."""

from __future__ import annotations

import copy
import uuid
from datetime import timedelta
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
from accounts.models import ApiKey, Quota, Team, User, Wallet
from kling_platform.errors import WrongState
from tests.prove.ledger_model import Books, TooLittle

MONEY = INVARIANTS[:6]  # the rest looks at the schema, which no rule changes
OWNERS = st.sampled_from(["user", "team", "key"])
PERIODS = st.sampled_from([*Quota.Period.values, None])
FEW, MANY = st.integers(1, 60), st.integers(0, 200)


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
        self.known: dict[str, Quota] = {}
        self.books = Books()
        self.held: list[uuid.UUID] = []
        services.set_quota(self.user, credits=100)
        self.books.set_quota("user", 100, "month")

    def quota(self, owner: str) -> Quota:
        if owner not in self.known:
            field = {"user": "user", "team": "team", "key": "api_key"}[owner]
            self.known[owner] = Quota.objects.get(**{field: self.owners[owner]})
        return self.known[owner]

    # --- quotas ---------------------------------------------------------------

    @rule(owner=OWNERS, credits=MANY, period=PERIODS)
    def set_quota(self, owner: str, credits: int, period: str | None) -> None:
        moved = services.set_quota(self.owners[owner], credits=credits, period=period)
        assert moved == self.books.set_quota(owner, credits, period)

    @rule(owner=OWNERS, credits=MANY)
    def set_quota_after_somebody_else(self, owner: str, credits: int) -> None:
        if owner in self.books.quotas:
            try:
                services.set_quota(self.owners[owner], credits=credits, version=0)
            except WrongState:
                return
            raise AssertionError("the slower editor overwrote the faster one")

    @rule(owner=OWNERS, credits=FEW)
    def grant(self, owner: str, credits: int) -> None:
        if owner in self.books.quotas:
            services.grant(self.quota(owner), credits=credits, reason="once", actor=None)
            self.books.grant(owner, credits)

    @rule(owner=OWNERS, credits=st.integers(-80, 60).filter(bool))
    def adjust(self, owner: str, credits: int) -> None:
        if owner in self.books.quotas:
            moved = services.adjust(self.quota(owner), credits=credits, reason="a mistake", actor=None)
            assert moved == self.books.adjust(owner, credits)

    @rule(owner=OWNERS)
    def a_period_ends(self, owner: str) -> None:
        if self.books.end_period(owner):
            Wallet.objects.filter(quota=self.quota(owner), closed_at__isnull=True).update(
                starts_at=timezone.now() - timedelta(days=40), ends_at=timezone.now() - timedelta(seconds=1)
            )

    @rule()
    def look(self) -> None:
        seen = [(b.scope, b.wallet.available) for b in quotas.balances(self.user, api_key=self.key)]
        assert seen == self.books.look()

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
        rows = Wallet.objects.filter(quota__in=[self.quota(owner) for owner in self.books.quotas]).order_by(
            "pk"
        )
        real: dict[int, list[tuple[int | bool, ...]]] = {}
        for quota, closed_at, *columns in rows.values_list("quota_id", "closed_at", *ledger.Effect._fields):
            real.setdefault(quota, []).append((*columns, closed_at is not None))
        assert real == {self.quota(owner).pk: self.books.wallets(owner) for owner in self.books.quotas}

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
