"""R22, the whole of it, for ``make prove R=R22``: each of 200 payloads alone in every text, on every page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests import stained

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PARTS, EACH = 10, 20


@pytest.mark.parametrize("part", range(PARTS))
def test_payloads(
    page: Page, portal: str, transactional_db: None, sign_in: Callable[[Any], None], part: int
) -> None:
    users = stained.a_world()
    page.add_init_script(stained.WITNESS)
    for payload in stained.payloads(PARTS * EACH, seed=22)[part * EACH : (part + 1) * EACH]:
        stained.stain(payload)
        assert stained.look_everywhere(page, portal, sign_in, users, admin_too=True) == [], payload
