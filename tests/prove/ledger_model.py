"""The ledger as a child would keep it: no database, no guards, every rule written a second time."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field


class TooLittle(Exception):
    """A wallet cannot pay."""


class Ambiguous(Exception):
    """Which of several quotas is not said."""


@dataclass(eq=False)
class Top:
    """Credits until a moment. ``ends`` orders them; ``over`` once the moment has come, ``ended`` once seen."""

    credits: int
    ends: int
    over: bool = False
    ended: bool = False
    expired: int = 0


@dataclass
class Purse:
    """One wallet. ``story`` is what came into it and was held in it, in order."""

    granted: int = 0
    available: int = 0
    reserved: int = 0
    spent: int = 0
    expired: int = 0
    allotted: int = 0
    over: bool = False  # its time has passed
    closed: bool = False
    story: list[Top | Hold | Mark] = field(default_factory=list)

    def add(self, credits: int) -> None:
        self.granted += credits
        self.available += credits

    def expire(self, credits: int) -> None:
        credits = min(credits, self.available)
        self.available -= credits
        self.expired += credits

    def tops(self) -> list[Top]:
        return [each for each in self.story if isinstance(each, Top)]

    def lapse(self) -> None:
        """What nothing was made with of each top-up that is over goes."""
        for top in self.tops():
            if top.over and not top.ended:
                top.ended = True
                self.story.append(Mark(top))  # what is held after this point is no longer paid by it
        used = {id(top): 0 for top in self.tops()}
        living: list[Top] = []
        for each in self.story:
            if isinstance(each, Top):
                living.append(each)
            elif isinstance(each, Mark):
                living.remove(each.top)
            elif each.state in ("held", "settled"):
                price = each.price
                for top in sorted(living, key=lambda top: top.ends):
                    part = min(price, top.credits - used[id(top)])
                    used[id(top)] += part
                    price -= part
        for top in self.tops():
            if top.ended:
                due = min(top.credits - used[id(top)] - top.expired, self.available)
                if due > 0:
                    top.expired += due
                    self.expire(due)

    def settle_time(self) -> None:
        """Somebody touches it."""
        if self.over or self.closed:
            self.closed = True
            self.expire(self.available)
        elif any(top.over and not top.ended for top in self.tops()):
            self.lapse()

    def sweep(self) -> None:
        """The task comes by."""
        if any(top.over and not top.ended for top in self.tops()):
            self.lapse()

    def settle_late(self, hold: Hold) -> None:
        """What was held came back."""
        self.settle_time()
        place = self.story.index(hold)
        ends = {id(each.top): n for n, each in enumerate(self.story) if isinstance(each, Mark)}
        theirs = [top for top in self.tops() if self.story.index(top) < place < ends.get(id(top), 0)]
        if theirs and not self.closed:
            self.lapse()


@dataclass(eq=False)
class Mark:
    """Where a top-up ended."""

    top: Top


@dataclass
class Plan:
    """One quota with its wallets, the oldest first."""

    credits: int
    purses: list[Purse] = field(default_factory=list)
    lifted: bool = False

    def now(self) -> Purse:
        """The purse of this period; a new one where the last is over."""
        if self.purses:
            last = self.purses[-1]
            last.settle_time()
            if not last.closed:
                return last
        fresh = Purse(allotted=self.credits)
        fresh.add(self.credits)
        self.purses.append(fresh)
        return fresh


@dataclass(eq=False)
class Hold:
    price: int
    purses: list[Purse]
    state: str = "held"


Key = tuple[str, str]  # owner and period
SCOPES, PERIODS = ("user", "team", "key"), ("day", "week", "month", "total")


@dataclass
class Books:
    """What should be true. Moves are answered as (wanted, moved), as the services do."""

    quotas: dict[Key, Plan] = field(default_factory=dict)
    holds: dict[uuid.UUID, Hold] = field(default_factory=dict)

    def standing(self, owner: str) -> list[Key]:
        keys = [(owner, period) for period in PERIODS]
        return [key for key in keys if key in self.quotas and not self.quotas[key].lifted]

    def set_quota(self, owner: str, credits: int, period: str | None) -> tuple[int, int]:
        standing = self.standing(owner)
        if period is None and len(standing) > 1:
            raise Ambiguous
        key = (owner, period) if period else standing[0] if standing else (owner, "month")
        plan = self.quotas.get(key)
        if plan is None:
            plan = self.quotas[key] = Plan(credits)
        plan.credits, plan.lifted = credits, False
        purse = plan.now()
        wanted = credits - purse.allotted
        moved = max(wanted, -purse.available)
        purse.add(moved)
        purse.allotted += moved
        return wanted, moved

    def set_quotas(self, owner: str, credits: dict[str, int]) -> None:
        for key in self.standing(owner):
            self.quotas[key].lifted = key[1] not in credits
        for period, number in credits.items():
            key = (owner, period)
            if key not in self.quotas or self.quotas[key].lifted or self.quotas[key].credits != number:
                self.set_quota(owner, number, period)

    def grant(self, key: Key, credits: int) -> None:
        self.quotas[key].now().add(credits)

    def top_up(self, key: Key, credits: int, ends: int) -> None:
        purse = self.quotas[key].now()
        purse.add(credits)
        purse.story.append(Top(credits, ends))

    def end_top_ups(self, key: Key, ends: int) -> None:
        """Time passes for those that end soonest."""
        for top in self.quotas[key].purses[-1].tops():
            top.over = top.over or top.ends <= ends

    def adjust(self, key: Key, credits: int) -> tuple[int, int]:
        purse = self.quotas[key].now()
        moved = max(credits, -purse.available)
        purse.add(moved)
        return credits, moved

    def end_period(self, key: Key) -> bool:
        """Time passes; False where there is no period that could end."""
        if key not in self.quotas or self.quotas[key].purses[-1].closed:
            return False
        purse = self.quotas[key].purses[-1]
        purse.over = True
        for top in purse.tops():
            top.over = True
        return True

    def look(self) -> list[tuple[str, str, int]]:
        keys = [key for owner in SCOPES for key in self.standing(owner)]
        return [(*key, self.quotas[key].now().available) for key in keys]

    def reserve(self, generation: uuid.UUID, price: int, owners: list[str]) -> None:
        purses = [self.quotas[key].now() for owner in owners for key in self.standing(owner)]
        if any(purse.available < price for purse in purses):
            raise TooLittle
        hold = self.holds[generation] = Hold(price, purses)
        for purse in purses:
            purse.available -= price
            purse.reserved += price
            purse.story.append(hold)

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
                purse.settle_late(hold)
        return True

    def wallets(self, key: Key) -> list[tuple[int | bool, ...]]:
        return [
            (p.granted, p.available, p.reserved, p.spent, p.expired, p.closed)
            for p in self.quotas[key].purses
        ]
