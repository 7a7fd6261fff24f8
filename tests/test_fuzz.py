"""A small version of R5: what the schema allows and forbids, asked of the API; no answer breaks its word."""

from __future__ import annotations

import pytest

from tests.fuzz import ROLES, fuzz

pytestmark = pytest.mark.django_db

CASES = 60


@pytest.mark.parametrize("role", ROLES)
def test_every_answer_is_what_the_schema_says(role: str) -> None:
    answered = fuzz(role, cases=CASES, seed=20261124)
    assert sum(answered.values()) >= CASES
    assert max(answered) < 500
    wanted = {"every scope": {200, 400, 404}, "read only": {200, 403}, "nobody": {401}}[role]
    assert wanted <= set(answered), answered
