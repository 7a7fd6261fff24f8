"""The ledger against its model: a small version of R4. ``make prove R=R4`` makes 50,000 steps on each database."""

from __future__ import annotations

import pytest

from tests.prove import r4


@pytest.mark.sqlite
@pytest.mark.django_db
def test_wallets_follow_their_model_whatever_happens() -> None:
    assert r4.machine(20_261_123, examples=8, steps=40) > 200
