"""Doing it again in a real browser: single pictures, the compare wall, the last picture, a storyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from accounts.models import User
from generations import services
from generations.models import Generation, Status, Storyboard
from tests.api import finished
from tests.browser.conftest import VIEWS, accessibility, look_at, too_wide
from tests.makers import ask

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SignIn = Callable[[User], None]


@pytest.fixture
def film(alice: User, sandbox: Any, work: Any) -> Generation:
    generation = ask(alice, prompt="A fox crosses a frozen lake.")
    work()
    generation.refresh_from_db()
    assert generation.status == Status.SUCCEEDED
    return generation


def from_library(page: Page, portal: str, generation: Generation) -> None:
    """The first click of every journey."""
    page.goto(portal)
    page.locator(f"#g-{generation.pk} .shot-link").click()
    page.wait_for_url(f"**/g/{generation.pk}")


def test_a_video_is_stepped_through_and_looped(
    page: Page, portal: str, alice: User, sign_in: SignIn, film: Generation
) -> None:
    sign_in(alice)
    from_library(page, portal, film)
    said = page.locator("[data-frame-of]")
    expect(said).to_have_text("picture 1 of 120")
    page.get_by_role("button", name="One picture on").click()
    expect(said).to_have_text("picture 2 of 120")
    for _press in range(3):
        page.keyboard.press(".")
    expect(said).to_have_text("picture 5 of 120")
    page.keyboard.press(",")
    expect(said).to_have_text("picture 4 of 120")
    page.keyboard.press("l")
    expect(page.get_by_role("button", name="Loop")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("video")).to_have_js_property("loop", True)
    page.get_by_role("link", name="Change and run").focus()
    page.keyboard.press(".")
    expect(said).to_have_text("picture 4 of 120")  # the keys are the player's alone


def test_the_recipe_is_copied_as_code(
    page: Page, portal: str, alice: User, sign_in: SignIn, film: Generation
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=portal)
    sign_in(alice)
    from_library(page, portal, film)
    page.get_by_role("button", name="Copy as curl").click()
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert f"{portal}/v1/video/generations" in copied
    assert "A fox crosses a frozen lake." in copied


TOGETHER = """() => {
    const videos = [...document.querySelectorAll("[data-wall] video")];
    const times = videos.map((video) => video.currentTime);
    return { count: videos.length, paused: videos.map((video) => video.paused),
             least: Math.min(...times), apart: Math.max(...times) - Math.min(...times) };
}"""


def test_variations_are_made_and_play_side_by_side(
    page: Page, portal: str, alice: User, sign_in: SignIn, film: Generation, work: Any
) -> None:
    sign_in(alice)
    from_library(page, portal, film)
    page.get_by_text("Variations").click()
    page.get_by_role("button", name="×2 30 credits").click()
    page.wait_for_url("**/compare?ids=*")
    expect(page.locator(".tile")).to_have_count(3)
    expect(page.get_by_text("Waiting")).to_have_count(2)
    work()
    expect(page.locator(".tile video")).to_have_count(3)
    for video in page.locator(".tile video").all():
        expect(video).to_have_js_property("readyState", 4)

    page.get_by_role("button", name="Play all").click()
    expect(page.locator("[data-time]")).not_to_have_text(re.compile(r"^0:0[01]"))  # two seconds on
    playing = page.evaluate(TOGETHER)
    assert playing["paused"] == [False] * 3
    assert playing["apart"] < 0.3
    page.get_by_role("button", name="Pause all").click()
    expect(page.get_by_role("button", name="Play all")).to_be_visible()
    page.get_by_label("Position").fill("4")
    expect(page.locator("[data-time]")).to_have_text("0:04.0")
    page.get_by_role("button", name="One picture on").click()
    still = page.evaluate(TOGETHER)
    assert still["paused"] == [True] * 3
    assert (still["least"] > 4, still["apart"] < 0.01) == (True, True)
    page.get_by_role("link", name=re.compile("off the wall")).first.click()
    expect(page.locator(".tile")).to_have_count(2)


def test_on_a_phone_the_download_is_in_sight_and_the_rare_things_open_by_key_without_a_script(
    chromium: Any, portal: str, alice: User, sign_in_on: Callable[..., None], film: Generation
) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=False)
    sign_in_on(context, alice)
    page = context.new_page()
    page.goto(f"{portal}/g/{film.pk}")
    download = page.get_by_role("link", name="Download").bounding_box()
    assert download and download["y"] + download["height"] < 844, "without scrolling"
    usual = [page.get_by_role("button", name="Run again"), page.get_by_role("link", name="Change and run")]
    assert len({one.bounding_box()["y"] for one in usual}) == 1, "the usual ones stand in one row"
    page.get_by_text("Variations").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="×2 30 credits").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/compare?ids=*")
    assert film.derived.count() == 2
    context.close()


SHAPES = """() => [...document.querySelectorAll(".wall ul")].map((row) =>
    [...row.querySelectorAll(".tile-media")].map((tile) => tile.getBoundingClientRect())
        .map(({ width, height }) => [Math.round(height), width / height]))"""


def test_on_a_wall_each_has_its_own_shape_and_its_neighbours_height(
    page: Page, portal: str, alice: User, sign_in: SignIn
) -> None:
    sizes = ("16:9", "9:16", "1:1", "16:9", "16:9")
    made = [ask(alice, size=size) for size in sizes]
    sign_in(alice)
    page.goto(f"{portal}/compare?ids={','.join(str(one.pk) for one in made)}")
    rows = page.evaluate(SHAPES)
    assert [len(row) for row in rows] == [3, 2]
    ratios = [16 / 9, 9 / 16, 1, 16 / 9, 16 / 9]
    assert [ratio for row in rows for _height, ratio in row] == pytest.approx(ratios, abs=0.01)
    for row in rows:
        assert max(height for height, _ratio in row) - min(height for height, _ratio in row) <= 1
    assert accessibility(page) == []
    for width in (390, 2560):
        page.set_viewport_size({"width": width, "height": 844})
        assert too_wide(page) == 0


def test_the_same_prompt_goes_to_the_ticked_models_for_the_said_price(
    page: Page, portal: str, alice: User, sign_in: SignIn
) -> None:
    generation = ask(alice, prompt="A kite over the dunes.")
    sign_in(alice)
    from_library(page, portal, generation)
    page.get_by_text("On other models").click()
    button = page.get_by_role("button", name=re.compile("Make and compare"))
    expect(button).to_contain_text("65 credits")
    page.get_by_label("Kling 2.5 Turbo Pro · 1080p").uncheck()
    expect(button).to_contain_text("40 credits")
    button.click()
    page.wait_for_url("**/compare?ids=*")
    assert sum(Generation.objects.exclude(pk=generation.pk).values_list("price", flat=True)) == 40


def test_it_goes_on_from_the_last_frame(
    page: Page, portal: str, alice: User, sign_in: SignIn, film: Generation, work: Any
) -> None:
    sign_in(alice)
    from_library(page, portal, film)
    page.get_by_role("button", name="Continue from the last frame").click()
    expect(page.get_by_text("Taking the last picture of the video.")).to_be_visible()
    work()
    page.wait_for_url(f"**/new?continue={film.pk}")
    expect(page.locator('[data-frame="first"] [data-preview]')).to_have_js_property("naturalHeight", 300)
    page.get_by_label("Prompt").fill("It looks back once.")
    page.get_by_role("button", name="Create").click()
    page.wait_for_url("**/g/*")
    expect(page.get_by_role("heading", name="Continues")).to_be_visible()
    assert Generation.objects.get(prompt="It looks back once.").derived_from == film


def test_a_storyboard_is_planned_priced_made_and_watched(
    page: Page, portal: str, alice: User, sign_in: SignIn, sandbox: Any, work: Any
) -> None:
    sign_in(alice)
    page.goto(portal)
    page.get_by_role("link", name="Storyboards").first.click()
    page.get_by_role("link", name="New storyboard").click()
    page.get_by_label("Title").fill("Fox")
    page.get_by_label("What happens in this shot").nth(0).fill("A fox wakes in the snow.")
    page.get_by_label("What happens in this shot").nth(1).fill("It runs into the trees.")
    expect(page.locator("[data-sum]")).to_have_text("30 credits")
    page.get_by_role("button", name="Remove this shot").last.click()
    page.get_by_role("button", name="Keep this plan · free").click()
    page.get_by_role("button", name="Start · 30 credits").click()
    expect(page.get_by_role("status").filter(has_text="In the making")).to_be_visible()
    work()
    expect(page.get_by_role("link", name="Download the film")).to_be_visible()
    film = page.locator(".board-film video")
    expect(film).to_have_js_property("readyState", 4)
    assert film.evaluate("video => video.duration") == pytest.approx(10, abs=0.5)
    with page.expect_download() as arriving:
        page.get_by_role("link", name="Download the film").click()
    assert arriving.value.suggested_filename.startswith("Fox-")


def test_a_matrix_is_filled_priced_started_and_watched(
    page: Page, portal: str, alice: User, sign_in: SignIn, sandbox: Any, work: Any
) -> None:
    sign_in(alice)
    page.goto(portal)
    page.get_by_role("link", name="Storyboards").first.click()
    page.get_by_role("link", name="Matrix").click()
    page.get_by_label("Prompts, one a line").fill("A fox.\nAn owl.")
    page.get_by_label("Kling 2.6 · 720p").check()
    expect(page.locator("[data-sum]")).to_have_text("30 credits")
    page.get_by_role("button", name="Show every line and the price · free").click()
    start = page.get_by_role("button", name="Start all · 30 credits")
    expect(start).to_be_visible()
    page.get_by_label("10 s").check()
    expect(start).to_have_count(0)  # this price is for something else now
    expect(page.locator("[data-sum]")).to_have_text("90 credits")
    page.get_by_role("button", name="Show every line and the price · free").click()
    page.get_by_role("button", name="Start all · 90 credits").dblclick()
    page.wait_for_url("**/matrix/*-*")
    expect(page.locator(".shot")).to_have_count(4)
    work()
    expect(page.locator(".shot img")).to_have_count(4)
    assert Generation.objects.count() == 4


def test_a_page_from_the_browsers_cache_makes_new_ones(
    page: Page, portal: str, alice: User, sign_in: SignIn
) -> None:
    """A form's nonce makes a second sending harmless; but who goes Back and presses again wants another."""
    sign_in(alice)
    page.goto(f"{portal}/g/{finished(alice).pk}")
    nonces = "[...document.querySelectorAll('input[name=nonce]')].map((one) => one.value)"
    before = page.evaluate(nonces)
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    after = page.evaluate(nonces)
    assert len(before) == len(set(after)) >= 2 and not {*before} & {*after}


def test_marked_videos_are_compared(page: Page, portal: str, alice: User, sign_in: SignIn) -> None:
    generations = [ask(alice, prompt=f"Shot {number}") for number in range(2)]
    sign_in(alice)
    page.goto(portal)
    for generation in generations:
        page.locator(f'#g-{generation.pk} [name="ids"]').check(force=True)
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**/compare?ids=*")
    expect(page.locator(".tile")).to_have_count(2)


@pytest.mark.parametrize(("theme", "language", "width", "share"), VIEWS)
def test_every_page_is_for_everybody(
    page: Page,
    portal: str,
    alice: User,
    sign_in: SignIn,
    film: Generation,
    theme: str,
    language: str,
    width: int,
    share: slice,
) -> None:
    page.context.add_cookies([{"name": "django_language", "value": language, "url": portal}])
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
    sign_in(alice)
    (waiting, _other) = services.vary(film, user=alice, count=2)
    shots = [services.Planned("A fox wakes. " + "very-long-word-" * 12, 5)]
    plan: dict[str, Any] = {"user": alice, "title": "", "model": "kling-v2-5-turbo-std", "shots": shots}
    draft = services.plan_storyboard(**plan, begins_with=film)
    going = services.start_storyboard(services.plan_storyboard(**plan))
    stopped = services.plan_storyboard(**plan)
    Storyboard.objects.filter(pk=stopped.pk).update(status="stopped", problem="shot_failed")
    pages = {
        "finished": f"/g/{film.pk}",
        "wall": f"/compare?ids={film.pk},{waiting.pk}",
        "last frame": f"/g/{film.pk}/continue",
        "matrix": "/matrix",
        "storyboards": "/storyboards",
        "new storyboard": f"/storyboards/new?from={film.pk}",
        "draft": f"/storyboards/{draft.pk}",
        "going": f"/storyboards/{going.pk}",
        "stopped": f"/storyboards/{stopped.pk}",
    }
    assert look_at(page, portal, pages, share, width=width) == []
