"""A small R12: the process that delivers is killed again and again, and half of the receivers fail at first."""

from __future__ import annotations

from typing import Any

import pytest

from tests.prove.r12 import TASK_ALONE, deliver_through_kills


@pytest.mark.long
@pytest.mark.sqlite
@pytest.mark.django_db(transaction=True)
def test_every_event_arrives_although_the_deliverer_is_killed(settings: Any) -> None:
    print(
        deliver_through_kills(
            events=24, users=3, kills=3, seed=12, command=TASK_ALONE, seconds=150, settings=settings
        )
    )
