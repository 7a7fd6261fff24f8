"""``python -m benchmarks.pacing``: the learned pace against fixed intervals and the bound, by simulation with seeds.

Each row: a pace is learned from some past times and then asked for 2,000 others of the same kind. *fixed* is
the one interval, of all, that has the same mean lag; *bound* is C²/2, which no rule gets below (see
``generations.pacing``), from the very distribution that the times were drawn from.
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

import requests

from generations import pacing

BOUNDS = {"shortest": 2.0, "longest": 120.0}
MEDIAN, STRAGGLERS, SLOWER = 90.0, 0.02, (3.0, 8.0)
SIGMAS, SEEDS, PAST, TRIED = (0.2, 0.4, 0.8), 20, 400, 2_000
PATIENCES = (0.3, 1.0)  # seconds of lag that a poll is worth
RECORDED = 120
KEY = "sk-bench"


def draw(seed: int, sigma: float, count: int) -> list[float]:
    """Log-normal seconds with 2 % stragglers that take three to eight times as long."""
    rng = random.Random(seed)
    return [
        MEDIAN * math.exp(rng.gauss(0, sigma)) * (rng.uniform(*SLOWER) if rng.random() < STRAGGLERS else 1)
        for _ in range(count)
    ]


def bound(sigma: float, steps: int = 3_000) -> float:
    """C²/2 of what ``draw`` draws from, integrated over log seconds."""
    slower = [SLOWER[0] + (SLOWER[1] - SLOWER[0]) * (part + 0.5) / 20 for part in range(20)]
    parts = [(1.0, 1 - STRAGGLERS), *((factor, STRAGGLERS / 20) for factor in slower)]
    low, high = math.log(MEDIAN) - 6 * sigma, math.log(MEDIAN * SLOWER[1]) + 6 * sigma
    step, total = (high - low) / steps, 0.0
    for number in range(steps):
        log = low + (number + 0.5) * step
        density = survival = 0.0  # the density is that of the logarithm
        for factor, share in parts:
            z = (log - math.log(MEDIAN * factor)) / sigma
            density += share * math.exp(-z * z / 2) / (sigma * math.sqrt(2 * math.pi))
            survival += share * math.erfc(z / math.sqrt(2)) / 2
        total += math.sqrt(density * survival * math.exp(log)) * step
    return total**2 / 2


class Cost(NamedTuple):
    """Polls of one generation, and seconds until its end is seen, both on average."""

    polls: float
    lag: float


def cost(pace: pacing.Pace | float, times: Sequence[float]) -> Cost:
    """What a pace costs for these times; a number is a fixed interval."""
    ages = seen_at(pace, max(times))
    places = [bisect_left(ages, end) for end in times]
    lag = fmean(ages[place] - end for place, end in zip(places, times, strict=True))
    return Cost(fmean(places) + 1, lag)


def seen_at(pace: pacing.Pace | float, until: float) -> list[float]:
    """The ages of the polls, up to the first one that is no earlier than ``until``."""
    ages = [0.0]
    while ages[-1] < until:
        ages.append(ages[-1] + (pace if isinstance(pace, float) else pace.gap(ages[-1], **BOUNDS)))
    return ages[1:]


def fixed(lag: float, times: Sequence[float]) -> Cost:
    """What the fixed interval costs that has this mean lag, found by halving."""
    low, high = 0.1, 8 * lag
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle, times).lag < lag else (low, middle)
    return cost((low + high) / 2, times)


class Outcome(NamedTuple):
    """Polls as a share of the best fixed interval's at the same lag, and polls × lag over the bound."""

    learned: Cost
    of_fixed: float
    of_bound: float


def judge(pace: pacing.Pace, times: Sequence[float], least: float) -> Outcome:
    """Hold a pace against the best fixed interval and against the bound of these times."""
    learned = cost(pace, times)
    polls = fixed(learned.lag, times).polls
    return Outcome(learned, learned.polls / polls, learned.polls * learned.lag / least)


def compare(sigma: float, patience: float, seed: int, least: float = 0.0) -> Outcome:
    """Learn from some times, try on others; ``least`` is the bound where it is known already."""
    pace = pacing.learn(draw(seed, sigma, PAST), patience=patience, **BOUNDS)
    return judge(pace, draw(seed + 1_000_000, sigma, TRIED), least or bound(sigma))


def as_polls_see_them(sigma: float, patience: float, seed: int, least: float = 0.0) -> Outcome:
    """The engine's own life: it knows between which polls the end was, not when, and learns again as it goes."""
    times, seen = draw(seed, sigma, 2 * PAST), list[float]()
    for number, end in enumerate(times):
        if number % 40 == 0:
            pace = pacing.learn(seen[-PAST:], patience=patience, **BOUNDS)
        seen.append(fmean([0.0, *seen_at(pace, end)][-2:]))
    pace = pacing.learn(seen[-PAST:], patience=patience, **BOUNDS)
    return judge(pace, draw(seed + 1_000_000, sigma, TRIED), least or bound(sigma))


def record(count: int, seed: int) -> list[float]:
    """Seconds from POST to success at the sandbox, whose films wait for each other; ten times as fast."""
    from generations.omnimaas.sandbox import SandboxServer

    rng, speed = random.Random(seed), 10.0
    headers = {"Authorization": f"Bearer {KEY}"}
    begun: dict[str, float] = {}
    taken: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        SandboxServer(folder, key=KEY, speed=speed, scale=0.125) as server,
        requests.Session() as session,
    ):
        session.trust_env = False
        url = f"{server.url}/v1/video/generations"
        following, ends = time.monotonic(), time.monotonic() + 120
        while len(taken) < count and time.monotonic() < ends:
            if time.monotonic() >= following and len(taken) + len(begun) < count:
                following += rng.expovariate(4)
                body = {"model": "kling-v2-5-turbo-std", "prompt": f"cat {len(begun)}"}
                begun[session.post(url, json=body, headers=headers, timeout=10).json()["id"]] = (
                    time.monotonic()
                )
            for id, at in list(begun.items()):
                if session.get(f"{url}/{id}", headers=headers, timeout=10).json()["status"] == "succeeded":
                    taken.append((time.monotonic() - at) * speed)
                    del begun[id]
            time.sleep(0.005)
    return taken


def say(line: str) -> None:
    print(line, flush=True)


def row(name: str, patience: float, outcomes: list[Outcome]) -> None:
    learned = Cost(*(fmean(values) for values in zip(*(one.learned for one in outcomes), strict=True)))
    shares = sorted(one.of_fixed for one in outcomes)
    products = sorted(one.of_bound for one in outcomes)
    say(
        f"| {name} | {patience} s | {learned.polls:.1f} | {learned.lag:.1f} s "
        f"| {fmean(shares):.2f} ({shares[0]:.2f}–{shares[-1]:.2f}) "
        f"| {fmean(products):.2f} ({products[0]:.2f}–{products[-1]:.2f}) |"
    )


def main() -> None:
    """Print the table."""
    say(
        f"{SEEDS} seeds, learned from {PAST} times, tried on {TRIED:,}; in brackets the best and the worst seed\n"
    )
    say("| times | a poll is worth | polls | lag | polls / fixed | polls × lag / bound |")
    say("|---|---|---|---|---|---|")
    ways: tuple[tuple[str, Callable[[float, float, int, float], Outcome]], ...] = (
        ("sigma {}", compare),
        ("sigma {}, as polls see them", as_polls_see_them),
    )
    for title, way in ways:
        for sigma in SIGMAS:
            least = bound(sigma)
            for patience in PATIENCES:
                row(
                    title.format(sigma),
                    patience,
                    [way(sigma, patience, seed, least) for seed in range(SEEDS)],
                )
    times = record(2 * RECORDED, 1)
    past, other = times[::2], times[1::2]
    for patience in PATIENCES:
        pace = pacing.learn(past, patience=patience, **BOUNDS)
        row("the sandbox's, recorded", patience, [judge(pace, other, pacing.effort(other) ** 2 / 2)])


if __name__ == "__main__":
    main()
