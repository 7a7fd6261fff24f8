"""When to ask next (pure). Ages and gaps are in seconds since a generation was submitted.

Asking is an inspection problem (Barlow, Hunter, Proschan): with a gap g(t), density f and survival S of the
time to finish, polls are ∫ S/g and the mean lag is ∫ f·g/2. For a price of ``patience`` seconds of lag per
poll the best gap is sqrt(2·patience / hazard(t)), and then polls × lag = C²/2 with C = ∫ √(f·S): no rule
does better. The hazard is learned from the last finished generations of the same kind.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

# Until this many have finished the rule is fixed: every 5 s for three minutes, then ever more slowly.
ENOUGH = 20
GAP = 5.0
STEADY_UNTIL = 180.0
SLOWER = 0.1
# A learned rule never waits longer than this while the bulk is still finishing.
LEARNED_LONGEST = 15.0
FIRST_AT_MOST = 0.4  # of the median: should times become shorter, that is seen soon
BULK = 0.99
GROWTH = 1.25
# How wide one past time is smeared, in log seconds, at least: clocks and polls are coarse.
NARROWEST = 0.06


@dataclass(frozen=True)
class Pace:
    """The ages at which to ask, rising; after the last one gaps grow by ``GROWTH``."""

    ages: tuple[float, ...] = ()

    def gap(self, age: float, *, shortest: float, longest: float) -> float:
        """Seconds until the next poll of a generation of this age, between ``shortest`` and ``longest``."""
        if not self.ages:
            wanted = GAP if age < STEADY_UNTIL else max(GAP, age * SLOWER)
        elif age < self.ages[-1]:
            # A poll comes a little late or early; the plan goes on from the next age that is worth a poll.
            following = bisect_right(self.ages, age + shortest / 2)
            wanted = self.ages[min(following, len(self.ages) - 1)] - age
        else:
            last = self.ages[-1] - self.ages[-2] if len(self.ages) > 1 else GAP
            wanted = max(last, (age - self.ages[-1]) * (GROWTH - 1) + last)
        return min(longest, max(shortest, wanted))


FIXED = Pace()


def learn(seconds: Sequence[float], *, patience: float, shortest: float) -> Pace:
    """The pace for a kind whose last generations took these many seconds; ``FIXED`` where they are too few."""
    times = sorted(value for value in seconds if value > 0)
    if len(times) < ENOUGH:
        return FIXED
    smeared = _Smeared(times)
    bulk = times[min(len(times) - 1, int(BULK * len(times)))]
    age = max(shortest, min(FIRST_AT_MOST * times[len(times) // 2], times[0]))
    ages = [age]
    while age < bulk and len(ages) < 1_000:
        age += _gap_at(age, smeared, patience, shortest)
        ages.append(age)
    return Pace(tuple(ages))


def _gap_at(age: float, smeared: _Smeared, patience: float, shortest: float) -> float:
    """The best gap from ``age``: the rule, with the hazard of the gap's own middle."""
    gap = GAP
    for _ in range(4):
        rate = smeared.hazard(age + gap / 2)
        best = math.sqrt(2 * patience / rate) if rate > 0 else LEARNED_LONGEST
        gap = min(LEARNED_LONGEST, max(shortest, (gap + best) / 2))
    return gap


class _Smeared:
    """Density and survival of past times, each smeared over log time by Silverman's width."""

    def __init__(self, times: Sequence[float]) -> None:
        self.logs = [math.log(value) for value in times]
        count = len(self.logs)
        spread = (self.logs[int(count * 0.75)] - self.logs[int(count * 0.25)]) / 1.349
        self.width = max(NARROWEST, 0.9 * spread * count**-0.2)

    def at(self, age: float) -> tuple[float, float]:
        """(f, S): the density per second, and the share that takes longer."""
        log_age = math.log(age)
        density = survival = 0.0
        for log in self.logs:
            z = (log_age - log) / self.width
            density += math.exp(-z * z / 2)
            survival += math.erfc(z / math.sqrt(2)) / 2
        scale = self.width * math.sqrt(2 * math.pi) * age
        return density / scale / len(self.logs), survival / len(self.logs)

    def hazard(self, age: float) -> float:
        """The chance per second that one of this age finishes now."""
        density, survival = self.at(age)
        return density / survival if survival > 1e-12 else 0.0


def patience_for(seconds: Sequence[float], *, budget: float, in_flight: int) -> float:
    """Seconds of lag that one poll is worth, so that ``in_flight`` generations keep within ``budget`` polls/s."""
    times = sorted(value for value in seconds if value > 0)
    if not times:
        return 1.0
    median = times[len(times) // 2]
    polls_each = max(1.0, budget * median / max(1, in_flight))
    return (effort(times) / polls_each) ** 2 / 2


def effort(seconds: Sequence[float], *, steps: int = 200) -> float:
    """C = ∫ √(f·S) dt in √seconds: no rule has polls × mean lag below C²/2."""
    times = sorted(seconds)
    smeared = _Smeared(times)
    low = math.log(times[0]) - 3 * smeared.width
    step = (math.log(times[-1]) + 3 * smeared.width - low) / steps
    total = 0.0
    for number in range(steps):
        age = math.exp(low + step * (number + 0.5))
        density, survival = smeared.at(age)
        total += math.sqrt(density * survival) * age * step
    return total
