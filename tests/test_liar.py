"""R6 in small: spoiled replies of upstream, over real HTTP, through the engine into the rows."""

from __future__ import annotations

import random

import pytest

from tests.prove.r6 import show


@pytest.mark.sqlite
@pytest.mark.django_db
def test_no_spoiled_reply_goes_uncaught_or_gives_a_verdict_of_its_own(settings):
    seed = random.randrange(10**8)
    print(f"seed {seed}")
    show(random.Random(seed), gets=60, sends=12, settings=settings)
