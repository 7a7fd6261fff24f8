"""Somebody connects a program of their own, in a real browser, with a real receiver at the other end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from accounts.models import User
from generations.models import WebhookEndpoint
from tests.browser.conftest import accessibility, too_wide
from tests.receivers import Listen, Receiver, move_on, work_off

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_webhook_is_added_tested_watched_and_sent_again(
    page: Page, portal: str, sign_in: Callable[[User], None], alice: User, settings: Any
) -> None:
    receiver = Receiver(lambda heard: (503, b"not yet") if heard.nth == 1 else 204)
    settings.EGRESS_ALLOW = frozenset({receiver.authority})
    sign_in(alice)
    page.goto(f"{portal}/account")
    page.get_by_role("link", name="Manage webhooks").click()
    page.get_by_label("Address").fill(receiver.url)
    page.get_by_label("Name, if you like").fill("Render farm")
    page.get_by_role("button", name="Add the webhook").click()
    secret = page.get_by_label("New secret")
    endpoint = WebhookEndpoint.objects.get()
    expect(secret).to_have_value(endpoint.secret)
    assert accessibility(page) == []
    receiver.secrets = [secret.input_value()]

    page.get_by_role("link", name="Render farm").click()
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text("on its way", exact=False).last).to_be_visible()
    work_off()  # the page finds out by itself
    expect(page.get_by_text("next try in")).to_be_visible()
    excerpt = page.get_by_text("not yet")
    expect(excerpt).to_be_visible()  # the newest trouble lies open
    move_on()
    page.get_by_role("button", name="Send again").click()
    page.locator("summary").click()
    expect(excerpt).to_be_hidden()
    with page.expect_response(lambda answer: answer.url.endswith(f"/account/webhooks/{endpoint.pk}")):
        pass  # the log renews itself, and what was closed stays closed
    expect(excerpt).to_be_hidden()
    work_off()
    expect(page.locator(".state", has_text="delivered")).to_be_visible()
    assert [heard.signed_by for heard in receiver.heard] == [receiver.secrets] * 2
    assert accessibility(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert too_wide(page) == 0
    receiver.close()


def test_a_webhook_is_removed_after_a_question(
    page: Page, portal: str, sign_in: Callable[[User], None], alice: User, listen: Listen
) -> None:
    listen(alice, name="Render farm")
    sign_in(alice)
    page.goto(f"{portal}/account/webhooks/{WebhookEndpoint.objects.get().pk}")
    page.get_by_role("button", name="Remove the webhook").click()
    page.get_by_role("button", name="Keep it").click()
    assert WebhookEndpoint.objects.get().deleted_at is None
    page.get_by_role("button", name="Remove the webhook").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_text("No webhook yet.")).to_be_visible()
    assert WebhookEndpoint.objects.get().secret == ""
