"""A video ends while somebody looks elsewhere: told once, wherever that is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from accounts.models import User
from generations import services
from generations.omnimaas.reader import Reading
from tests.browser.conftest import accessibility, too_wide
from tests.conftest import person
from tests.makers import due, submitted
from tests.plugins.browser import WITH_WINDOW, find_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# Writes down what the browser itself was asked for, and lets a test say when nobody looks.
EARS = """
  window.heard = [];
  const play = HTMLMediaElement.prototype.play;
  HTMLMediaElement.prototype.play = function () { heard.push(this.src.split('/').pop()); return play.call(this); };
  window.Notification = class extends Notification { constructor(text, more) { super(text, more); heard.push(text); } };
  let away = false;
  Object.defineProperty(document, 'hidden', { get: () => away });
  window.look = (at) => { away = !at; document.dispatchEvent(new Event('visibilitychange')); };
"""


@pytest.fixture(scope="module")
def chromium(launch: Callable[[str], Browser]) -> Iterator[Browser]:
    """The one with a window: only that asks whether a page may notify."""
    browser = launch(find_chromium(WITH_WINDOW))
    yield browser
    browser.close()


def end(user: User, prompt: str) -> str:
    """A video of theirs ends; returns its page."""
    generation = submitted(user, prompt=prompt)
    assert services.record_reading(due(generation), Reading("failed", error_message="no"))
    return f"/g/{generation.pk}"


def tab(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.add_init_script(EARS)
    page.clock.install()
    page.goto(address)
    return page


def until(page: Page, true: str) -> None:
    """Wait for it in our own time: the page's clock stands still."""
    deadline = time.monotonic() + 15
    while not page.evaluate(true):
        assert time.monotonic() < deadline, true
        time.sleep(0.05)


def test_the_end_is_told_once_wherever_one_looks(
    page: Page, portal: str, transactional_db: None, sign_in: Callable[[User], None]
) -> None:
    alice, context = person("alice"), page.context
    sign_in(alice)
    context.grant_permissions(["notifications"], origin=portal)
    page.close()

    page = tab(context, f"{portal}/account")
    page.get_by_label("A short sound").check()
    page.get_by_label("A notification when you look elsewhere").check()
    until(page, "heard.length === 2")  # the browser is asked for leave first
    assert page.evaluate("heard") == ["ready.wav", "Like this you are told when a video is ready."]

    link = end(alice, "A fox")
    page.clock.run_for(61_000)
    note = page.locator("#news").get_by_role("link", name="Failed, and not charged: A fox")
    expect(note).to_be_visible()
    assert page.evaluate("heard.length") == 3, "a sound, and no notification over a page that is seen"
    assert accessibility(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert too_wide(page) == 0
    expect(page.get_by_role("link", name="Inbox, 1 new")).to_be_visible()
    note.click()
    page.wait_for_url(f"**{link}")
    expect(page.get_by_role("link", name="Inbox", exact=True)).to_be_visible()

    title = page.title()
    page.evaluate("look(false)")
    end(alice, "An owl")
    end(alice, "A hare")
    page.clock.run_for(61_000)
    expect(page).to_have_title("(2) Failed, and not charged: A hare")
    assert page.evaluate("heard") == [
        "ready.wav",
        "Failed, and not charged: An owl",
        "Failed, and not charged: A hare",
    ]

    other = tab(context, f"{portal}/storyboards")
    other.clock.run_for(6_000)
    until(
        other,
        "navigator.locks.query().then(({ held }) => held.some(({ name }) => name === 'portal-looking'))",
    )
    end(alice, "A stoat")
    page.clock.run_for(61_000)
    other.clock.run_for(61_000)
    expect(other.locator("#news").get_by_role("link", name="A stoat")).to_be_visible()
    page.evaluate("look(true)")
    expect(page).to_have_title(title)
    assert page.evaluate("heard.length") == 3, "the other tab was looked at"


def test_what_ends_before_ones_eyes_is_told_there_alone(
    page: Page, portal: str, transactional_db: None, sign_in: Callable[[User], None]
) -> None:
    alice = person("alice")
    generation = submitted(alice, prompt="A fox")
    sign_in(alice)
    page.add_init_script("localStorage.setItem('news-sound', '1')" + EARS)
    page.clock.install()
    page.goto(portal)
    services.record_reading(due(generation), Reading("failed", error_message="no"))
    with page.expect_response("**/inbox/seen"):
        page.clock.run_for(6_000)
    expect(page.locator(f"#g-{generation.pk} .state")).to_have_text("Failed")
    expect(page.locator("#news > *")).to_have_count(0)
    expect(page.get_by_role("link", name="Inbox", exact=True)).to_be_visible()
    assert page.evaluate("heard") == []
