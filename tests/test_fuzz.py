"""A small version of R5: what the schema allows and forbids, asked of the API; no answer breaks its word."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.django_db

CASES = 60
WANTED = {"every scope": {200, 400, 404}, "read only": {200, 403}, "nobody": {401}}


@pytest.mark.parametrize("role", WANTED)
def test_every_answer_is_what_the_schema_says(role: str) -> None:
    from tests.fuzz import fuzz  # a second of imports, for the process that comes here

    answered = fuzz(role, cases=CASES, seed=20261124)
    assert sum(answered.values()) >= CASES
    assert max(answered) < 500
    assert WANTED[role] <= set(answered), answered
