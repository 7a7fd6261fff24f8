"""R13 and R14 in small: upstream is away for a while, or we are, and then everything goes on."""

from __future__ import annotations

import random

import pytest

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
