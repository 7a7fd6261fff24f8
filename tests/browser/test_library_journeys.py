"""The library in a real browser: finding, keeping, clearing away, and never losing one's place."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from accounts.models import User
from generations import services
from generations.models import Collection, Favourite, Generation
from tests.browser.conftest import accessibility, too_wide
from tests.makers import ask

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SignIn = Callable[[User], None]
# What breaks pages: no space for 2,500 characters, both directions, joined emoji, signs without a width.
AWKWARD = ("W" * 2_500, "مرحبا " * 40, "👩‍👩‍👧‍👦" * 60, "a\u200b" * 300, "\u202eturned round\u202c")


def many(user: User, count: int) -> list[Generation]:
    """Canceled generations, a minute apart, the first one the newest."""
    made = [
        Generation(
            user=user, prompt=f"shot {number:03}", model="kling-v2-5-turbo-std", mode="std", seconds=5,
            size=("16:9", "9:16", "1:1")[number % 3], price=15, price_version="1", status="canceled",
            finished_at=timezone.now(), created_at=timezone.now() - timedelta(minutes=number),
        )
        for number in range(count)
    ]  # fmt: skip
    return Generation.objects.bulk_create(made)


def cards(page: Page) -> Any:
    return page.locator("#sheet > li[id]")


def test_scrolling_on_has_no_end_and_back_finds_the_place(
    page: Page, portal: str, alice: User, sign_in: SignIn
) -> None:
    made = many(alice, 100)
    sign_in(alice)
    page.goto(portal)
    expect(cards(page)).to_have_count(30)
    page.mouse.wheel(0, 20_000)
    expect(cards(page)).to_have_count(60)
    page.mouse.wheel(0, 20_000)
    expect(cards(page)).to_have_count(90)
    card = page.locator(f"#g-{made[70].pk}")
    card.scroll_into_view_if_needed()
    before = card.bounding_box()
    card.get_by_role("link").click()
    page.wait_for_url(f"**/g/{made[70].pk}")
    page.go_back()
    expect(card).to_be_in_viewport()
    after = card.bounding_box()
    assert before and after
    assert abs(before["y"] - after["y"]) < 3
    assert cards(page).count() >= 90


def test_a_search_by_key_and_what_narrows_it(page: Page, portal: str, alice: User, sign_in: SignIn) -> None:
    many(alice, 40)
    services.like([Generation.objects.get(prompt="shot 012")], user=alice)
    sign_in(alice)
    page.goto(portal)
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search in prompts")).to_be_focused()
    page.keyboard.type("shot 01")
    page.keyboard.press("Enter")
    expect(cards(page)).to_have_count(10)
    assert page.url.endswith("/?q=shot+01"), "what is empty stays out of the address"
    page.get_by_label("Favourites").check()
    expect(cards(page)).to_have_count(1)
    expect(page.get_by_role("link", name="shot 012")).to_be_visible()
    page.get_by_role("combobox", name="Model").select_option("kling-v2-6")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    page.get_by_role("link", name="Show everything").click()
    expect(cards(page)).to_have_count(30)


def test_the_library_is_worked_by_keys(page: Page, portal: str, alice: User, sign_in: SignIn) -> None:
    made = many(alice, 12)
    sign_in(alice)
    page.goto(portal)

    def here(generation: Generation) -> None:
        expect(page.locator(f"#g-{generation.pk} .shot-link")).to_be_focused()

    expect(cards(page)).to_have_count(12)
    page.keyboard.press("ArrowRight")
    here(made[0])
    page.keyboard.press("ArrowRight")
    here(made[1])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    here(made[1])
    with page.expect_response("**/favourite"):
        page.keyboard.press("f")
    expect(page.locator(f"#g-{made[1].pk}").get_by_role("button", name="Favourite")).to_have_attribute(
        "aria-pressed", "true"
    )
    assert Favourite.objects.get().generation == made[1]
    page.keyboard.press(" ")
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    expect(page.locator(".many")).to_contain_text("2 marked")
    page.keyboard.press("Escape")
    expect(page.locator(".many")).to_be_hidden()
    page.keyboard.press("Delete")
    expect(page.get_by_text("1 video deleted.")).to_be_visible()
    expect(cards(page)).to_have_count(11)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("1 video is back.")).to_be_visible()
    expect(cards(page)).to_have_count(12)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    assert accessibility(page) == []
    page.get_by_label("Switch single keys off").check()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).not_to_be_focused()


def test_marked_videos_are_collected_and_moved(page: Page, portal: str, alice: User, sign_in: SignIn) -> None:
    made = many(alice, 8)
    sign_in(alice)
    page.goto(portal)
    page.get_by_label("Mark: shot 001").check()
    page.get_by_label("Mark: shot 004").click(modifiers=["Shift"])
    expect(page.locator(".many")).to_contain_text("4 marked")
    assert accessibility(page) == []
    page.get_by_role("button", name="Collection").click()
    page.get_by_label("Name of the new collection").fill("Teaser")
    page.keyboard.press("Enter")
    expect(page.get_by_text("4 videos are in “Teaser”.")).to_be_visible()
    assert set(Collection.objects.get().generations.all()) == set(made[1:5])
    page.get_by_role("combobox", name="Collection").select_option("Teaser")
    expect(page.get_by_role("heading", name="Teaser", exact=True)).to_be_visible()
    expect(cards(page)).to_have_count(4)
    page.get_by_label("Mark: shot 002").check()
    page.get_by_role("button", name="Take out").click()
    expect(cards(page)).to_have_count(3)
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(cards(page)).to_have_count(8)


def test_finished_videos_play_on_hover_and_come_as_one_file(
    page: Page, portal: str, alice: User, sign_in: SignIn, sandbox: Any, work: Any
) -> None:
    films = [ask(alice, prompt=f"film {number}") for number in (1, 2)]
    work()
    sign_in(alice)
    page.goto(portal)
    first = page.locator(f"#g-{films[0].pk}")
    first.hover()
    expect(first.locator("video")).to_have_js_property("muted", True)
    page.mouse.move(5, 5)
    expect(first.locator("video")).to_have_count(0)
    for film in films:
        page.get_by_label(f"Mark: {film.prompt}").check()
    with page.expect_download() as arriving:
        page.get_by_role("button", name="Download").click()
    with zipfile.ZipFile(arriving.value.path()) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 2
    expect(page.locator(".many")).to_be_hidden()
    page.locator(f"#g-{films[1].pk} .shot-link").focus()
    with page.expect_download() as arriving:
        page.keyboard.press("d")
    assert arriving.value.suggested_filename.startswith("film-2")
    page.emulate_media(reduced_motion="reduce")
    page.reload()
    first.hover()
    page.wait_for_timeout(400)
    expect(first.locator("video")).to_have_count(0)


def test_one_question_watches_the_page_and_none_when_all_is_over(
    page: Page, portal: str, alice: User, sign_in: SignIn
) -> None:
    many(alice, 30)
    late = [ask(alice, prompt=f"late {number}") for number in range(3)]
    Generation.objects.filter(pk=late[0].pk).update(created_at=timezone.now() - timedelta(days=1))
    sign_in(alice)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/progress" in request.url else None)
    page.goto(portal)
    page.mouse.wheel(0, 20_000)
    expect(cards(page)).to_have_count(33)
    with page.expect_request(lambda request: "/progress" in request.url and str(late[0].pk) in request.url):
        pass
    assert all(str(late[2].pk) in url for url in asked), "one question for all of the page"
    for generation in late:
        services.cancel(generation, actor=alice)
    expect(page.locator("[data-open]")).to_have_count(0)
    asked.clear()
    page.wait_for_timeout(2_500)
    assert asked == []


def test_the_first_video_is_one_click_away(page: Page, portal: str, alice: User, sign_in: SignIn) -> None:
    sign_in(alice)
    page.goto(portal)
    page.get_by_role("button", name="Make it · 15 credits").nth(1).click()
    page.wait_for_url("**/g/*")
    assert Generation.objects.get().size == "9:16"


@pytest.mark.parametrize("view", ["grid", "list"])
def test_awkward_prompts_break_no_page(
    page: Page, portal: str, alice: User, sign_in: SignIn, view: str
) -> None:
    rows = many(alice, len(AWKWARD))
    for row, prompt in zip(rows, AWKWARD, strict=True):
        Generation.objects.filter(pk=row.pk).update(prompt=prompt)
    services.make_collection(user=alice, name="W" * 60)
    sign_in(alice)
    for width in (390, 1440, 2560):
        page.set_viewport_size({"width": width, "height": 844})
        page.goto(f"{portal}/?view={view}")
        expect(cards(page)).to_have_count(len(AWKWARD))
        assert too_wide(page) == 0
    assert accessibility(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    for row in rows if view == "grid" else ():
        page.goto(f"{portal}/g/{row.pk}")
        assert too_wide(page) == 0
        again = page.get_by_role("button", name="Run again").bounding_box()
        assert again and again["y"] < 2 * 844, "however long the words are, what one can do is near"
