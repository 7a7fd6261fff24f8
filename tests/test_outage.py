"""R10, R13 and R14 in small: upstream is away for a while, or the database, or we are; then everything goes on."""

from __future__ import annotations

import random

import pytest

from tests.prove import r10
from tests.prove.r13 import survive
from tests.prove.r14 import catch_up


@pytest.mark.django_db
def test_an_outage_leaves_few_doubts_and_no_failure(settings):
    seed = random.randrange(10**8)
    print(f"seed {seed}")
    survive(queued=12, minutes=5, seed=seed, settings=settings)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_what_is_overdue_is_asked_about_within_the_budget_before_it_is_given_up(settings):
    catch_up(count=100, budget=25, loops=2, settings=settings)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_database_that_restarts_is_a_pause_for_everybody(settings):
    """It has a server of its own, with which it may do what it likes."""
    seed = random.randrange(10**8)
    print(f"seed {seed}")
    crowd = {"makers": 2, "lookers": 2}
    r10.survive(restarts=2, pause=0.5, seed=seed, work=r10.tasks_alone, settings=settings, **crowd)
