"""What people come for, in a real browser, on the real platform and the real sandbox.

Nothing may complain on the console meanwhile: errors, violations of the policy and missing files fail a test.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.utils.module_loading import import_string
from PIL import Image
from playwright.sync_api import expect

from accounts import services as people
from accounts.models import ApiKey, User
from generations import services
from generations.models import Generation, InputImage, Status
from tests.browser.conftest import VIEWS, accessibility, look, look_at
from tests.conftest import PASSWORD
from tests.makers import ask, claim_one

if TYPE_CHECKING:
    from playwright.sync_api import Page, Response

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SignIn = Callable[[User], None]
CHINESE = "一只可爱的小猫在草地上玩耍，镜头缓慢推近"


def picture(folder: Path, width: int = 640, height: int = 480, colour: str = "teal") -> Path:
    path = folder / f"{colour}-{width}x{height}.png"
    Image.new("RGB", (width, height), colour).save(path)
    return path


def create(page: Page, text: str) -> Generation:
    """Type a prompt, press the button, arrive at the new video."""
    page.get_by_label("Prompt").fill(text)
    page.get_by_role("button", name="Create").click()
    page.wait_for_url("**/g/*")
    return Generation.objects.get(pk=page.url.rpartition("/")[2])


def test_a_member_signs_in_makes_a_video_watches_plays_seeks_and_downloads(
    page: Page, portal: str, alice: User, sandbox: Any, work: Any
) -> None:
    film: list[int] = []

    def note(response: Response) -> None:
        if response.url.endswith("/content"):
            film.append(response.status)

    page.on("response", note)
    page.goto(portal)
    page.get_by_label("User name").fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Your first shot starts with a sentence")).to_be_visible()

    page.get_by_role("link", name="Create", exact=True).first.click()
    expect(page.get_by_role("button", name="Create 15 credits")).to_be_visible()
    generation = create(page, CHINESE)

    # Watched, never reloaded: the mark would be gone.
    page.evaluate("() => { window.stayed = true; }")
    stage = page.locator("#w-" + str(generation.pk))
    expect(stage).to_contain_text("Waiting")
    import_string("generations.tasks.dispatch")()
    expect(stage).to_contain_text("In the making")
    expect(page.get_by_text("The gateway took it and is making it")).to_be_visible()
    work()
    video = page.locator("video")
    expect(video).to_be_visible()
    assert page.evaluate("() => window.stayed") is True
    expect(page.get_by_text("Stored and ready")).to_be_visible()
    expect(page.get_by_text("160 × 90")).to_be_visible()  # the sandbox of the tests works at an eighth
    expect(page.locator("#d-money")).to_contain_text("Charged")

    assert_plays_and_seeks(page)
    assert set(film) == {206}, "without ranges a browser cannot seek"
    with page.expect_download() as arriving:
        page.get_by_role("link", name="Download").click()
    generation.refresh_from_db()
    assert Path(arriving.value.path()).stat().st_size == generation.video.bytes
    assert arriving.value.suggested_filename.startswith("一只可爱的小猫")

    page.get_by_role("link", name="Library").first.click()
    expect(page.locator(f"#g-{generation.pk} img")).to_have_js_property("complete", True)
    expect(page.get_by_role("link", name="Monthly quota of 1,000 credits, 985 left")).to_be_visible()


# Each step settles by itself: a promise that waits for ever would hang the test instead of failing it.
PLAYS = """video => new Promise((done, fail) => {
    setTimeout(() => fail(new Error(`stuck at ${video.currentTime}, state ${video.readyState}`)), 10000);
    video.addEventListener("timeupdate", () => { if (video.currentTime > .2) done(video.videoWidth); });
    video.muted = true;
    video.play().catch(fail);
})"""
SEEKS = """(video, second) => new Promise((done, fail) => {
    setTimeout(() => fail(new Error(`no jump from ${video.currentTime}`)), 10000);
    video.addEventListener("loadedmetadata", () => { video.currentTime = second; }, { once: true });
    video.addEventListener("seeked", () => done(video.currentTime), { once: true });
    video.pause();
    video.load();
})"""


def assert_plays_and_seeks(page: Page) -> None:
    """The picture is decoded and moves, and after a fresh start a jump lands where it should."""
    video = page.locator("video")
    assert video.evaluate(PLAYS) > 0
    assert video.evaluate("video => video.duration") == pytest.approx(5, abs=0.5)
    assert video.evaluate(SEEKS, 4) == pytest.approx(4, abs=0.1)


def test_a_video_is_made_from_a_picture(
    page: Page, portal: str, alice: User, sign_in: SignIn, sandbox: Any, work: Any, tmp_path: Path
) -> None:
    sign_in(alice)
    page.goto(f"{portal}/new")
    page.get_by_label("First frame", exact=True).set_input_files(picture(tmp_path, 640, 640))
    expect(page.locator('[data-frame="first"] [data-preview]')).to_be_visible()
    expect(page.locator('[data-frame="first"] [data-facts]')).to_have_text("640 × 640")
    expect(page.get_by_text("The first frame decides the ratio.")).to_be_visible()
    generation = create(page, "The square begins to turn.")
    work()
    expect(page.locator("video")).to_be_visible()
    generation.refresh_from_db()
    assert generation.video.width == generation.video.height, "the picture decides the ratio"
    expect(page.locator('img[alt="First frame"]')).to_have_js_property("naturalWidth", 640)


def test_a_picture_can_be_pasted(page: Page, portal: str, alice: User, sign_in: SignIn) -> None:
    sign_in(alice)
    page.goto(f"{portal}/new")
    out = io.BytesIO()
    Image.new("RGB", (400, 400), "red").save(out, "PNG")
    page.evaluate(
        """bytes => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "pasted.png", { type: "image/png" }));
            document.activeElement.dispatchEvent(
                new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true }));
        }""",
        list(out.getvalue()),
    )
    expect(page.locator('[data-frame="first"] [data-facts]')).to_have_text("400 × 400")
    create(page, "A red square.")
    assert InputImage.objects.get().width == 400


@pytest.mark.parametrize(
    ("width", "height", "said"),
    [(200, 200, "each side needs at least 300"), (1200, 400, "2.5 times as long as wide")],
)
def test_a_bad_picture_is_refused_before_anything_is_sent(
    page: Page, portal: str, alice: User, sign_in: SignIn, tmp_path: Path, width: int, height: int, said: str
) -> None:
    sign_in(alice)
    page.goto(f"{portal}/new")
    page.get_by_label("First frame", exact=True).set_input_files(picture(tmp_path, width, height))
    expect(page.locator("#err_first_file")).to_contain_text(said)
    expect(page.locator('[data-frame="first"] [data-preview]')).to_be_hidden()


def test_the_rules_are_explained_while_one_chooses(
    page: Page, portal: str, alice: User, sign_in: SignIn, tmp_path: Path
) -> None:
    sign_in(alice)
    page.goto(f"{portal}/new")
    expect(page.get_by_text("Sound needs Kling 2.6.")).to_be_visible()
    expect(page.get_by_role("radio", name="With sound")).to_be_disabled()
    page.get_by_role("radio", name=re.compile("^Kling 2.6")).check()
    expect(page.get_by_role("button", name="Create 15 credits")).to_be_visible()
    page.get_by_role("radio", name="With sound").check()
    expect(page.get_by_text("Sound needs 1080p, so the quality was raised.")).to_be_visible()
    expect(page.get_by_role("radio", name="1080p", exact=True)).to_be_checked()
    expect(page.get_by_role("button", name="Create 50 credits")).to_be_visible()
    page.get_by_role("radio", name="10 s").check()
    expect(page.get_by_role("button", name="Create 100 credits")).to_be_visible()
    expect(page.get_by_text("900 credits left after it")).to_be_visible()
    page.get_by_label("First frame", exact=True).set_input_files(picture(tmp_path))
    page.get_by_label("Last frame", exact=True).set_input_files(picture(tmp_path, colour="red"))
    expect(page.get_by_text("A last frame and sound do not go together.")).to_be_visible()
    expect(page.get_by_role("button", name="Create 50 credits")).to_be_visible()
    page.get_by_role("radio", name=re.compile("^Kling 2.5 Turbo Standard")).check()
    expect(page.get_by_text("A last frame needs a model that can end on a picture")).to_be_visible()


def test_an_error_stands_at_its_field_and_keeps_everything(
    page: Page, portal: str, alice: User, sign_in: SignIn, tmp_path: Path
) -> None:
    sign_in(alice)
    page.goto(f"{portal}/new")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_text("the prompt is empty")).to_be_visible()
    page.get_by_label("Prompt").fill("A lamp.")
    page.get_by_label("First frame", exact=True).set_input_files(picture(tmp_path))
    page.get_by_label("Last frame", exact=True).set_input_files(picture(tmp_path, colour="red"))
    answers: list[int] = []
    page.on("response", lambda answer: answers.append(answer.status) if answer.url.endswith("/new") else None)
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#err_images")).to_contain_text("A last frame needs kling-v2-5-turbo-pro")
    assert answers == [200], "a refusal of a form is an answer, not an error of the page"
    expect(page.get_by_label("Prompt")).to_have_value("A lamp.")
    expect(page.locator('[data-frame="last"] [data-preview]')).to_be_visible()
    page.get_by_role("radio", name=re.compile("^Kling 2.5 Turbo Pro")).check()
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/g/*")
    assert InputImage.objects.count() == 2


def test_two_clicks_make_one_video(page: Page, portal: str, alice: User, sign_in: SignIn) -> None:
    sign_in(alice)
    page.goto(f"{portal}/new")
    page.get_by_label("Prompt").fill("Only one.")
    page.get_by_role("button", name="Create").dblclick()
    page.wait_for_url("**/g/*")
    assert Generation.objects.count() == 1


def test_the_library_changes_without_a_reload(
    page: Page, portal: str, alice: User, sign_in: SignIn, sandbox: Any, work: Any
) -> None:
    generation = ask(alice, prompt="A kite over the dunes.")
    services.cancel(ask(alice), actor=alice)
    sign_in(alice)
    page.goto(portal)
    page.evaluate("() => { window.stayed = true; }")
    card = page.locator(f"#g-{generation.pk}")
    expect(card).to_contain_text("Waiting")
    work()
    expect(card.locator("img")).to_be_visible()
    assert page.evaluate("() => window.stayed") is True
    card.hover()
    expect(card.locator("video")).to_be_visible()


def test_a_key_is_made_shown_once_and_revoked(page: Page, portal: str, alice: User, sign_in: SignIn) -> None:
    sign_in(alice)
    page.goto(f"{portal}/account")
    page.get_by_role("link", name="Make a key").click()
    page.get_by_label("Name").fill("Render script")
    page.get_by_label("Webhooks").uncheck()
    page.get_by_label("Videos in the making at a time").fill("2")
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_label("New API key")).to_have_value(re.compile("^klp_"))
    page.reload()
    expect(page.get_by_label("New API key")).to_have_count(0)
    expect(page.get_by_label("Videos in the making at a time")).to_have_value("2")
    assert ApiKey.objects.get().scopes == ["create", "read"], "loading it again made no second one"
    page.get_by_role("button", name="Renew the key").click()
    expect(page.get_by_label("New API key")).to_have_value(re.compile("^klp_"))
    expect(page.get_by_text("The old key works for another")).to_be_visible()
    page.goto(f"{portal}/account")
    page.get_by_role("button", name="Revoke Render script").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("no longer opens anything")).to_be_visible()


def test_the_theme_is_kept_and_never_flashes(page: Page, portal: str, alice: User, sign_in: SignIn) -> None:
    sign_in(alice)
    page.goto(portal)
    root = page.locator("html")
    expect(root).to_have_attribute("data-bs-theme", "light")
    page.get_by_role("button", name="Menu of alice").click()
    page.get_by_role("button", name="Dark").click()
    expect(root).to_have_attribute("data-bs-theme", "dark")
    page.reload(wait_until="commit")
    expect(root).to_have_attribute("data-bs-theme", "dark")


def test_it_can_be_used_by_keyboard_alone(page: Page, portal: str, alice: User, sign_in: SignIn) -> None:
    sign_in(alice)
    page.goto(portal)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Make it").first).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Change it first").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Prompt")).to_be_focused()
    expect(page.locator("[data-price]")).not_to_be_empty()  # from then on it listens
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/g/*")
    assert Generation.objects.get().prompt.startswith("Last light")


def test_without_scripts_it_is_still_a_form(chromium: Any, portal: str, alice: User) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{portal}/signin?next=/new")
    page.get_by_label("User name").fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Prompt").fill("No scripts at all.")
    page.get_by_role("radio", name=re.compile("^Kling 2.5 Turbo Pro")).check(force=True)
    page.get_by_role("button", name="Create").click()
    page.wait_for_url("**/g/*")
    assert Generation.objects.get().price == 25
    context.close()


# --- every page, both themes, both languages --------------------------------


@pytest.fixture
def every_page(alice: User, sandbox: Any, work: Any) -> dict[str, str]:
    """The address of each page by name, with a library in all states."""
    done = ask(alice, prompt="A fox crosses a frozen lake.")
    work()
    canceled = services.cancel(ask(alice, prompt="Never sent."), actor=alice)
    doubtful = ask(alice, prompt="Nobody knows.")
    services.record_doubt(claim_one(), code="read_timeout", message="")
    waiting = ask(alice, prompt="Waiting " + "very-long-word-" * 20)
    done.refresh_from_db()
    assert done.status == Status.SUCCEEDED
    return {
        "library": "/",
        "composer": "/new",
        "finished": f"/g/{done.pk}",
        "canceled": f"/g/{canceled.pk}",
        "in doubt": f"/g/{doubtful.pk}",
        "waiting": f"/g/{waiting.pk}",
        "account": "/account",
        "new key": "/account/keys/new",
        "key": f"/account/keys/{people.make_key(alice, label='Render')[0].pk}",
        "password": "/account/password",
    }


@pytest.mark.parametrize(("theme", "language", "width", "share"), VIEWS)
def test_every_page_is_for_everybody(
    page: Page,
    portal: str,
    alice: User,
    sign_in: SignIn,
    every_page: dict[str, str],
    theme: str,
    language: str,
    width: int,
    share: slice,
) -> None:
    page.context.add_cookies([{"name": "django_language", "value": language, "url": portal}])
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
    found = look(page, portal, "sign in", "/signin", width=width)
    sign_in(alice)
    found += look_at(page, portal, every_page, share, width=width)
    page.goto(f"{portal}/account")
    page.locator(".avatar").click()
    found += [f"menu: {line}" for line in accessibility(page)]
    assert found == []


def test_an_empty_library_is_for_everybody(page: Page, portal: str, alice: User, sign_in: SignIn) -> None:
    sign_in(alice)
    assert look(page, portal, "empty", "/") == []
