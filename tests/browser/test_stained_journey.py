"""R22, the small one: markup in every text of the platform runs nowhere, becomes no element, and breaks no page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests import stained

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_markup_in_every_text_stays_a_text(
    page: Page, portal: str, transactional_db: None, sign_in: Callable[[Any], None]
) -> None:
    users = stained.a_world()
    stained.stain(" ".join(stained.payloads(10, seed=22)))
    page.add_init_script(stained.WITNESS)
    wrong = stained.look_everywhere(page, portal, sign_in, users)
    assert not wrong, "\n".join(wrong)
