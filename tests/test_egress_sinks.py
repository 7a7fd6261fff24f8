"""R7 in small: whatever takes an address from outside goes through the guard."""

from __future__ import annotations

import random

import pytest

from tests.prove.r7 import show


@pytest.mark.django_db
def test_no_sink_reaches_where_it_may_not(settings):
    seed = random.randrange(10**8)
    print(f"seed {seed}")
    show(urls=60, flips=40, seed=seed, settings=settings)
