"""R25 in small: the database is replaced by its own backup under the engine's feet."""

from __future__ import annotations

import pytest

from tests.prove.r25 import revive


@pytest.mark.usefixtures("alone")  # a copy of the database is made from one that nobody else uses
@pytest.mark.sqlite
@pytest.mark.django_db(transaction=True)
def test_a_restored_backup_sends_nothing_before_the_fence_and_nothing_twice_after_it(settings, tmp_path):
    revive(in_flight=9, settings=settings, home=tmp_path)
