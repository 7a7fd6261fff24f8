"""When to ask next (pure). Ages and gaps are in seconds since a generation was submitted.

Asking is an inspection problem (Barlow, Hunter, Proschan): with a gap g(t), density f and survival S of the
time to finish, polls are ∫ S/g and the mean lag is ∫ f·g/2. For a price of ``patience`` seconds of lag per
poll the best gap is about sqrt(2·patience·S/f), and then polls × lag = C²/2 with C = ∫ √(f·S): no rule does
better. f and S are learned from the last finished generations of the same kind. The ages themselves are the
cheapest of all plans, found backwards from the end: the formula alone, gap after gap, costs a fifth more.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Until this many have finished the rule is fixed: every 5 s for three minutes, then ever more slowly.
ENOUGH = 20
GAP = 5.0
STEADY_UNTIL = 180.0
SLOWER = 0.1
# A learned rule never waits longer than this while the bulk is still finishing.
LEARNED_LONGEST = 15.0
FIRST_AT_MOST = 0.6  # of the median: should times become shorter, that is seen soon
BULK = 0.99
GROWTH = 1.25
# How wide one past time is smeared, in log seconds, at least: clocks and polls are coarse.
NARROWEST = 0.06
# A plan chooses among ages that grow by this much: a second in a minute and a half.
FINENESS = 1.012


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


def learn(seconds: Sequence[float], *, patience: float, shortest: float, longest: float) -> Pace:
    """The pace for a kind whose last generations took these many seconds; ``FIXED`` where they are too few."""
    times = sorted(value for value in seconds if value > 0)
    if len(times) < ENOUGH:
        return FIXED
    smeared, count = _Smeared(times), len(times)
    first, bulk = FIRST_AT_MOST * times[count // 2], times[min(count - 1, int(BULK * count))]
    ages, survival = [0.0, max(shortest, times[0] / 2)], [1.0]
    while ages[-1] < max(times[-1], bulk + LEARNED_LONGEST) * math.exp(2 * smeared.width):
        survival.append(smeared.at(ages[-1])[1])
        ages.append(ages[-1] * FINENESS)
    survival.append(0.0)
    following = _cheapest(ages, survival, patience, lambda age: _window(age, shortest, longest, first, bulk))
    chosen, number = [], 0
    while (number := following[number]) < len(ages):
        chosen.append(ages[number])
    return Pace(tuple(chosen))


def _window(age: float, shortest: float, longest: float, first: float, bulk: float) -> tuple[float, float]:
    """Between which ages the poll after one at ``age`` may come; at 0 it is the first one."""
    most = first if age == 0 else LEARNED_LONGEST if age < bulk else longest
    return age + shortest, age + max(shortest, min(most, longest))


def _cheapest(
    ages: list[float],
    survival: list[float],
    patience: float,
    window: Callable[[float], tuple[float, float]],
) -> list[int]:
    """For a poll at each of these ages the number of the next one, so that polls and lag cost least in all.

    A poll costs ``patience`` for each that still runs, and waiting for it the lag of those that finish before.
    The last ones have no next: their number is that of all ages.
    """
    count = len(ages)
    moments = [0.0]  # ∫ t·f(t) dt up to each age
    for number in range(1, count):
        middle = (ages[number - 1] + ages[number]) / 2
        moments.append(moments[-1] + middle * (survival[number - 1] - survival[number]))
    following, to_come = [count] * count, [0.0] * count
    for number in range(count - 1, -1, -1):
        least, (soonest, latest) = math.inf, window(ages[number])
        first = bisect_left(ages, soonest)  # in any case, for late ages lie far apart
        for later in range(first, min(count, max(first + 1, bisect_right(ages, latest)))):
            finished, moment = survival[number] - survival[later], moments[later] - moments[number]
            cost = patience * survival[number] + ages[later] * finished - moment + to_come[later]
            if cost < least:
                least, following[number] = cost, later
        if following[number] < count:
            to_come[number] = least
    return following


class _Smeared:
    """Density and survival of past times, each smeared over log time by Silverman's width."""

    def __init__(self, times: Sequence[float]) -> None:
        self.logs = [math.log(value) for value in times]
        count = len(self.logs)
        spread = (self.logs[int(count * 0.75)] - self.logs[int(count * 0.25)]) / 1.349
        self.width = max(NARROWEST, 0.9 * spread * count**-0.2)

    def at(self, age: float) -> tuple[float, float]:
        """(f, S): the density per second, and the share that takes longer."""
        log_age, count = math.log(age), len(self.logs)
        # What lies further off is over, or yet to come, in full.
        near = (
            bisect_left(self.logs, log_age - 5 * self.width),
            bisect_right(self.logs, log_age + 5 * self.width),
        )
        density, survival = 0.0, float(count - near[1])
        for log in self.logs[slice(*near)]:
            z = (log_age - log) / self.width
            density += math.exp(-z * z / 2)
            survival += math.erfc(z / math.sqrt(2)) / 2
        return density / (self.width * math.sqrt(2 * math.pi) * age * count), survival / count


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
