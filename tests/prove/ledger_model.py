"""The ledger as a child would keep it: no database, no guards, every rule written a second time."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field


class TooLittle(Exception):
    """A wallet cannot pay."""


@dataclass
class Purse:
    """One wallet."""

    period: str
    granted: int = 0
    available: int = 0
    reserved: int = 0
    spent: int = 0
    expired: int = 0
    allotted: int = 0
    over: bool = False  # its time has passed
    closed: bool = False

    def add(self, credits: int) -> None:
        self.granted += credits
        self.available += credits

    def close_if_over(self) -> None:
        if self.over or self.closed:
            self.closed = True
            self.expired += self.available
            self.available = 0


@dataclass
class Plan:
    """One quota with its wallets, the oldest first."""

    credits: int
    period: str
    purses: list[Purse] = field(default_factory=list)

    def now(self) -> Purse:
        """The purse of this period; a new one where the last is over or of another kind."""
        if self.purses:
            last = self.purses[-1]
            last.over = last.over or last.period != self.period
            last.close_if_over()
            if not last.closed:
                return last
        fresh = Purse(self.period, allotted=self.credits)
        fresh.add(self.credits)
        self.purses.append(fresh)
        return fresh


@dataclass
class Hold:
    price: int
    purses: list[Purse]
    state: str = "held"


@dataclass
class Books:
    """What should be true. Moves are answered as (wanted, moved), as the services do."""

    quotas: dict[str, Plan] = field(default_factory=dict)
    holds: dict[uuid.UUID, Hold] = field(default_factory=dict)

    def set_quota(self, owner: str, credits: int, period: str | None) -> tuple[int, int]:
        plan = self.quotas.get(owner)
        if plan is None:
            plan = self.quotas[owner] = Plan(credits, period or "month")
        plan.credits, plan.period = credits, period or plan.period
        purse = plan.now()
        wanted = credits - purse.allotted
        moved = max(wanted, -purse.available)
        purse.add(moved)
        purse.allotted += moved
        return wanted, moved

    def grant(self, owner: str, credits: int) -> None:
        self.quotas[owner].now().add(credits)

    def adjust(self, owner: str, credits: int) -> tuple[int, int]:
        purse = self.quotas[owner].now()
        moved = max(credits, -purse.available)
        purse.add(moved)
        return credits, moved

    def end_period(self, owner: str) -> bool:
        """Time passes; False where there is no period that could end."""
        plan = self.quotas.get(owner)
        if plan is None or plan.purses[-1].closed:
            return False
        plan.purses[-1].over = True
        return True

    def look(self) -> list[tuple[str, int]]:
        return [
            (owner, self.quotas[owner].now().available)
            for owner in ("user", "team", "key")
            if owner in self.quotas
        ]

    def reserve(self, generation: uuid.UUID, price: int, owners: list[str]) -> None:
        purses = [self.quotas[owner].now() for owner in owners if owner in self.quotas]
        if any(purse.available < price for purse in purses):
            raise TooLittle
        for purse in purses:
            purse.available -= price
            purse.reserved += price
        self.holds[generation] = Hold(price, purses)

    def resolve(self, generation: uuid.UUID, how: str) -> bool:
        """Whether it was this one's turn; nothing changes otherwise."""
        hold = self.holds[generation]
        expected, state = {
            "settle": ("held", "settled"),
            "release": ("held", "released"),
            "refund": ("settled", "refunded"),
        }[how]
        if hold.state != expected:
            return False
        hold.state = state
        for purse in hold.purses:
            if how == "refund":
                purse.spent -= hold.price
            else:
                purse.reserved -= hold.price
            if how == "settle":
                purse.spent += hold.price
            else:
                purse.available += hold.price
                purse.close_if_over()
        return True

    def wallets(self, owner: str) -> list[tuple[int | bool, ...]]:
        return [
            (p.granted, p.available, p.reserved, p.spent, p.expired, p.closed)
            for p in self.quotas[owner].purses
        ]
