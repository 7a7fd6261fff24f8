"""When to ask next: fixed until enough is known, then close to the best that any rule can do."""

from __future__ import annotations

import math
import random

import pytest

from generations import pacing

BOUNDS = {"shortest": 2.0, "longest": 120.0}
MEDIAN = 90.0


def draw(seed: int, sigma: float, count: int) -> list[float]:
    """Log-normal times with 2 % stragglers."""
    rng = random.Random(seed)
    return [
        MEDIAN * math.exp(rng.gauss(0, sigma)) * (rng.uniform(3, 8) if rng.random() < 0.02 else 1)
        for _ in range(count)
    ]


def cost(pace: pacing.Pace | float, times: list[float]) -> tuple[float, float]:
    """(polls, lag in seconds) of one generation on average; a number is a fixed interval."""
    polls, lag = 0, 0.0
    for end in times:
        age = 0.0
        while age < end:
            age += pace if isinstance(pace, float) else pace.gap(age, **BOUNDS)
            polls += 1
        lag += age - end
    return polls / len(times), lag / len(times)


def test_before_enough_is_known_it_asks_every_five_seconds_then_slower():
    pace = pacing.learn([90.0] * 19, patience=0.3, shortest=2)
    assert pace == pacing.FIXED
    assert [pace.gap(age, **BOUNDS) for age in (0, 5, 175, 300, 5_000)] == [5, 5, 5, 30, 120]


def test_the_shortest_gap_is_kept_whatever_was_learned():
    pace = pacing.learn([10.0] * 50, patience=0.001, shortest=2)
    age = 0.0
    while age < 60:
        gap = pace.gap(age, **BOUNDS)
        assert gap >= 2
        age += gap


def test_times_that_all_agree_are_met_at_once():
    pace = pacing.learn([60.0] * 50, patience=1.0, shortest=2)
    polls, lag = cost(pace, [60.0])
    assert polls <= 12 and lag <= 3.5


@pytest.mark.parametrize("seed", range(3))
def test_learned_asks_three_quarters_as_often_as_the_best_fixed_interval(seed):
    pace = pacing.learn(draw(seed, 0.4, 200), patience=0.3, shortest=2)
    times = draw(seed + 100, 0.4, 2_000)
    polls, lag = cost(pace, times)
    fixed, fixed_lag = cost(2 * lag, times)
    assert fixed_lag == pytest.approx(lag, rel=0.05)
    assert polls <= 0.8 * fixed


@pytest.mark.parametrize("seed", range(3))
def test_wide_times_are_never_asked_for_more_than_by_a_fixed_interval(seed):
    pace = pacing.learn(draw(seed, 0.8, 200), patience=0.3, shortest=2)
    times = draw(seed + 100, 0.8, 2_000)
    polls, lag = cost(pace, times)
    assert polls <= 1.03 * cost(2 * lag, times)[0]


def test_the_plan_keeps_the_budget_of_all_that_are_in_flight():
    times = draw(1, 0.4, 200)
    patience = pacing.patience_for(times, budget=5, in_flight=60)
    polls, _lag = cost(pacing.learn(times, patience=patience, shortest=2), times)
    assert polls * 60 / (sum(times) / len(times)) <= 5 * 1.25
