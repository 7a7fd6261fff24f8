"""When to ask next: fixed until enough is known, then close to the best that any rule can do."""

from __future__ import annotations

import itertools

import pytest

from benchmarks.pacing import BOUNDS, bound, compare, cost, draw
from generations import pacing


def test_before_enough_is_known_it_asks_every_five_seconds_then_slower():
    pace = pacing.learn([90.0] * 19, patience=0.3, **BOUNDS)
    assert pace == pacing.FIXED
    assert [pace.gap(age, **BOUNDS) for age in (0, 5, 175, 300, 5_000)] == [5, 5, 5, 30, 120]


def test_the_shortest_gap_is_kept_whatever_was_learned():
    pace = pacing.learn([10.0] * 50, patience=0.001, **BOUNDS)
    age = 0.0
    while age < 60:
        gap = pace.gap(age, **BOUNDS)
        assert gap >= 2
        age += gap


def test_times_that_all_agree_are_met_at_once():
    pace = pacing.learn([60.0] * 50, patience=1.0, **BOUNDS)
    polls, lag = cost(pace, [60.0])
    assert polls <= 12 and lag <= 3.5


@pytest.mark.parametrize("patience", [0.3, 1.0])
def test_learned_asks_three_quarters_as_often_as_the_best_fixed_interval(patience):
    """At the same lag; and nearly as rarely as any rule could (``python -m benchmarks.pacing`` for more)."""
    least = bound(0.4)
    for seed in range(4):
        got = compare(0.4, patience, seed, least)
        assert got.of_fixed <= 0.75, f"seed {seed}: {got}"
        assert got.of_bound <= 1.2, f"seed {seed}: {got}"


@pytest.mark.parametrize("patience", [0.3, 1.0])
def test_wide_times_are_never_asked_for_more_than_by_a_fixed_interval(patience):
    for seed in range(4):
        got = compare(0.8, patience, seed, 1.0)
        assert got.of_fixed <= 1, f"seed {seed}: {got}"


def test_times_of_many_hours_are_planned_too():
    pace = pacing.learn([40_000.0 + 500 * number for number in range(50)], patience=0.3, **BOUNDS)
    assert len(pace.ages) < 2_000
    assert all(earlier < later for earlier, later in itertools.pairwise(pace.ages))


def test_times_that_became_shorter_are_noticed():
    """All that is seen of them at first is that they were over at the first poll."""
    past, seen = [90.0 + number / 10 for number in range(50)], 90.0
    while seen > 15:
        before, pace = seen, pacing.learn(past, patience=0.3, **BOUNDS)
        past, seen = [pace.ages[0] / 2] * 50, pace.ages[0]
        assert seen < before


def test_the_plan_keeps_the_budget_of_all_that_are_in_flight():
    times = draw(1, 0.4, 200)
    patience = pacing.patience_for(times, budget=5, in_flight=60)
    polls, _lag = cost(pacing.learn(times, patience=patience, **BOUNDS), times)
    assert polls * 60 / (sum(times) / len(times)) <= 5 * 1.25
