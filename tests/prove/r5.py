"""R5: whatever the schema allows and forbids is asked, and no answer breaks the schema's word."""

from __future__ import annotations

import tempfile

from django.test.utils import override_settings

from tests.fuzz import ROLES, fuzz

PARTS_A_ROLE, CASES = 4, 2_500
PARTS = PARTS_A_ROLE * len(ROLES)


def run(number: int, seed: int) -> str:
    """2,500 cases in one role."""
    role = list(ROLES)[number // PARTS_A_ROLE]
    with tempfile.TemporaryDirectory() as media, override_settings(MEDIA_ROOT=media):
        answered = fuzz(role, cases=CASES, seed=seed + number)
    asked = sum(answered.values())
    assert asked >= CASES and max(answered) < 500, answered
    return f"{CASES} cases as {role}: no 5xx, no breach"
