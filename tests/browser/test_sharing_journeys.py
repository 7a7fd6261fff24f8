"""Showing a video to others, in a real browser: to the team from the library, and by a link to people outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from accounts import services as people
from accounts.models import Team, User
from generations import services
from generations.models import Generation, ShareLink
from tests.browser.conftest import accessibility, too_wide
from tests.conftest import person
from tests.makers import ask

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SignIn = Callable[[User], None]


@pytest.fixture
def team(alice: User) -> Team:
    """Alice's and Bob's, whose videos are labelled."""
    boss = person("boss", role="admin")
    made = people.make_team("Film", actor=boss)
    for user in (alice, person("bob")):
        people.add_member(made, user, actor=boss)
    return people.change_team(made, actor=boss, version=1, labelled=True)


def checked(page: Page) -> None:
    """Sound in both themes, and no wider than its window on a phone."""
    assert accessibility(page) == []
    page.emulate_media(color_scheme="dark")
    assert accessibility(page, only="color-contrast") == [], "a theme changes colours, and nothing else"
    size = page.viewport_size
    page.set_viewport_size({"width": 390, "height": 844})
    assert too_wide(page) == 0
    page.set_viewport_size(size or {"width": 1440, "height": 900})
    page.emulate_media(color_scheme="light")


def test_three_clicks_from_the_library_a_stranger_watches(
    page: Page, portal: str, chromium: Any, alice: User, team: Team, sign_in: SignIn, sandbox: Any, work: Any
) -> None:
    video = ask(alice, prompt="A fox crosses a frozen lake.")
    work()
    sign_in(alice)
    page.goto(portal)
    expect(page.locator(".shot .ai-label")).to_contain_text("AI 生成")
    page.locator(f"#g-{video.pk} .shot-link").click()  # one
    page.get_by_text("Link for people outside").click()  # two
    page.get_by_label("Title on the page").fill("Rough cut")
    page.get_by_label("They may download it, too").check()
    checked(page)
    page.get_by_role("button", name="Make the link").click()  # three
    address = page.get_by_label("The link").input_value()
    assert address == f"{portal}/s/{ShareLink.objects.get().token()}"
    expect(page.locator("#links")).to_contain_text("not opened yet")
    checked(page)

    for language in ("en", "zh-CN"):
        outside = chromium.new_context(locale=language)
        stranger = outside.new_page()
        complaints: list[str] = []
        stranger.on("console", lambda said, into=complaints: into.append(said.text))
        stranger.goto(address)
        expect(stranger.locator("video")).to_have_js_property("readyState", 4)
        expect(stranger.locator(".ai-label")).to_be_visible()
        expect(stranger.get_by_role("heading", name="Rough cut")).to_be_visible()
        assert stranger.evaluate("() => document.querySelector('video').duration") > 4
        checked(stranger)
        with stranger.expect_download() as kept:
            stranger.get_by_role("link", name="Download" if language == "en" else "下载").click()
        assert b"AIGC" in kept.value.path().read_bytes()
        assert complaints == [] and outside.cookies() == []
        outside.close()

    page.goto(f"{portal}/links")
    expect(page.locator(".links-all li")).to_contain_text("opened 2 times")
    checked(page)
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("heading", name="No link is open")).to_be_visible()
    assert page.request.get(address).status == 404


def test_from_the_library_to_the_team_and_back(
    page: Page, portal: str, alice: User, team: Team, sign_in: SignIn
) -> None:
    videos = [ask(alice, prompt=f"shot {number}") for number in range(3)]
    services.share(videos[0], team=team)
    sign_in(alice)
    page.goto(portal)
    page.keyboard.press("Escape")
    for video in videos[1:]:
        page.locator(f"#g-{video.pk} .shot-mark input").check(force=True)
    page.locator("#many").get_by_role("button", name="Share").click()
    checked(page)
    page.locator("#share-them").get_by_role("button", name="Share").click()
    expect(page.get_by_text("2 videos are shared with Film.")).to_be_visible()
    assert Generation.objects.filter(visibility="team").count() == 3

    sign_in(User.objects.get(username="bob"))
    page.goto(portal)
    page.get_by_label("Whose").select_option("Team Film")
    page.wait_for_url("**/?of=*")
    expect(page.locator("#sheet > li[id]")).to_have_count(3)
    expect(page.locator(".shot-meta").first).to_contain_text("alice")
    checked(page)
    page.get_by_label("Whose").select_option("Mine")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
