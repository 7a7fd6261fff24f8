"""The line is lost: at an upload, at an answer, while one watches. Each is said, and nothing is lost or made twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from accounts.models import User
from accounts.quotas import balances
from generations import services
from generations.models import Generation
from tests.browser.conftest import accessibility, too_wide
from tests.makers import ask
from tests.plugins.browser import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Route

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SLOW_UP = {
    "offline": False,
    "latency": 0,
    "downloadThroughput": -1,
    "uploadThroughput": 100_000,
}  # bytes a second


@pytest.fixture
def lost(chromium: Any, alice: User, portal: str, sign_in_on: Callable[..., None]) -> Iterator[Page]:
    """Alice's page. A browser complains on its console about a lost line, so this one is not listened to."""
    context: BrowserContext = chromium.new_context(viewport={"width": 1440, "height": 900}, locale="en-US")
    sign_in_on(context, alice)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    yield page
    context.close()


def noise(folder: Path) -> Path:
    """A picture that no packing makes small: about half a megabyte, some seconds on the slow line."""
    path = folder / "noise.png"
    Image.effect_noise((700, 700), 80).save(path)
    return path


def test_lost_in_the_middle_of_an_upload_it_goes_on_by_itself(
    lost: Page, portal: str, alice: User, tmp_path: Path
) -> None:
    lost.goto(f"{portal}/new")
    lost.get_by_label("First frame", exact=True).set_input_files(noise(tmp_path))
    lost.get_by_label("Prompt").fill("A kite that is not lost")
    lost.context.new_cdp_session(lost).send("Network.emulateNetworkConditions", SLOW_UP)
    with lost.expect_request(lambda request: request.method == "POST"):
        lost.keyboard.press("Control+Enter")
    lost.context.set_offline(True)
    expect(lost.locator("#err_form")).to_contain_text(
        "There is no connection. Your words and pictures are still here"
    )
    expect(lost.locator("#line")).to_contain_text("Nothing is lost")
    expect(lost.get_by_label("Prompt")).to_have_value("A kite that is not lost")
    expect(lost.locator('[data-frame="first"] [data-facts]')).to_have_text("700 × 700")
    assert not Generation.objects.exists()
    assert accessibility(lost) == []
    lost.set_viewport_size({"width": 390, "height": 844})
    assert too_wide(lost) == 0
    lost.context.set_offline(False)
    lost.wait_for_url("**/g/*")
    assert Generation.objects.get().images.get().width == 700


def test_an_answer_that_is_lost_makes_no_second_video(lost: Page, portal: str, alice: User) -> None:
    lost.goto(f"{portal}/new")

    def swallow(route: Route) -> None:
        if route.request.method == "POST":
            route.fetch()
            route.abort("connectionreset")
        else:
            route.continue_()

    lost.route("**/new", swallow)
    lost.get_by_label("Prompt").fill("A kite")
    lost.keyboard.press("Control+Enter")
    expect(lost.locator("#err_form")).to_contain_text("The connection broke before the answer came.")
    made = Generation.objects.get()
    lost.unroute("**/new")
    lost.get_by_role("button", name="Try again").click()
    lost.wait_for_url(f"**/g/{made.pk}")
    assert Generation.objects.count() == 1
    assert balances(alice)[0].wallet.available == 985


def test_who_watches_is_told_and_sees_the_end_when_the_line_is_back(
    lost: Page, portal: str, alice: User
) -> None:
    generation = ask(alice)
    lost.goto(portal)
    card = lost.locator(f"#g-{generation.pk} .state")
    expect(card).to_have_text("Waiting")
    lost.context.set_offline(True)
    expect(lost.locator("#line")).to_contain_text("what is in the making goes on")
    lost.get_by_role("button", name="List").click()
    expect(card).to_have_text("Waiting")  # the page is still there, not the browser's own
    services.cancel(generation, actor=alice)
    lost.context.set_offline(False)
    expect(card).to_have_text("Canceled")
    expect(lost.locator("#line")).to_be_empty()
