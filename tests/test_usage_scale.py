"""Usage of many, in small: few questions, none that reads all generations, the journal's numbers to the credit."""

from __future__ import annotations

import pytest

from tests.prove.usage import show


@pytest.mark.postgres
@pytest.mark.django_db
def test_usage_of_many_is_right_and_asks_little() -> None:
    took = show(generations=5_000, users=50, days=45, spans=(45,), times=0, histories=False)
    assert len(took) == 2 * 16
