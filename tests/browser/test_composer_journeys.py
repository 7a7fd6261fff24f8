"""The composer in a real browser: pictures from everywhere, cut to fit; words kept; rules with a way out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from accounts.models import Team, User
from generations import services
from generations.models import Generation, InputImage, Preset
from tests.browser.conftest import accessibility, too_wide
from tests.browser.test_journeys import create, picture
from tests.conftest import person
from tests.makers import ask
from tests.processes import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SignIn = Callable[[User], None]


def test_a_draft_survives_a_reload_with_its_pictures_and_ends_with_the_video(
    page: Page, portal: str, alice: User, sign_in: SignIn, tmp_path: Path
) -> None:
    sign_in(alice)
    page.goto(f"{portal}/new")
    page.get_by_role("radio", name=re.compile("^Kling 2.5 Turbo Pro")).check()
    page.get_by_role("radio", name="10 s").check()
    for zone, width in (("First frame", 1600), ("Last frame", 1601)):
        page.get_by_label(zone, exact=True).set_input_files(large(tmp_path, width))
    page.get_by_label("Prompt").fill("A red kite, half an idea")
    kept(page, 2)
    page.reload()
    expect(page.get_by_text("Your draft is back.")).to_be_visible()
    expect(page.get_by_label("Prompt")).to_have_value("A red kite, half an idea")
    expect(page.get_by_role("radio", name="10 s")).to_be_checked()
    expect(page.locator('[data-frame="first"] [data-facts]')).to_have_text("1600 × 1200")
    expect(page.locator('[data-frame="last"] [data-facts]')).to_have_text("1601 × 1200")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/g/*")
    assert [image.width for image in InputImage.objects.order_by("position")] == [1600, 1601]
    kept(page, 0)  # nothing of it stays behind
    page.goto(f"{portal}/new")
    expect(page.get_by_label("Prompt")).to_have_value("")
    expect(page.get_by_text("Your draft is back.")).to_be_hidden()


def large(folder: Path, width: int) -> Path:
    """About two megabytes, which no packing makes smaller."""
    path = folder / f"noise-{width}.png"
    Image.effect_noise((width, 1200), 80).save(path)
    assert path.stat().st_size > 1_500_000
    return path


def kept(page: Page, many: int) -> None:
    """Wait until the browser keeps so many pictures, with the words; for 0, none of either."""
    wait_until(lambda: page.evaluate(KEPT, many), seconds=15)


# A function, because the page's policy forbids to evaluate a text.
KEPT = """async (many) => {
    const all = await indexedDB.databases();
    const words = Object.values(localStorage).some((text) => text.includes("half an idea"));
    if (!all.length || words !== Boolean(many)) return false;
    const opening = indexedDB.open("drafts");
    await new Promise((done) => { opening.onsuccess = done; });
    const asked = opening.result.transaction("pictures").objectStore("pictures").getAll();
    await new Promise((done) => { asked.onsuccess = done; });
    opening.result.close();
    return asked.result.flat().filter(Boolean).length === many;
}"""
# Stand in for browsers that refuse: one without room for pictures, one without any storage.
NO_PICTURES = (
    "IDBObjectStore.prototype.put = () => { throw new DOMException('full', 'QuotaExceededError'); };"
)
NO_WORDS = "Storage.prototype.setItem = () => { throw new DOMException('none', 'SecurityError'); };"


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (NO_PICTURES, "A reload will keep the words, not the pictures."),
        (NO_WORDS, "This browser keeps no drafts: a reload loses it."),
    ],
)
def test_a_browser_that_keeps_no_draft_is_spoken_of(
    page: Page, portal: str, alice: User, sign_in: SignIn, tmp_path: Path, refusal: str, said: str
) -> None:
    page.add_init_script(refusal)
    sign_in(alice)
    page.goto(f"{portal}/new")
    page.get_by_label("First frame", exact=True).set_input_files(picture(tmp_path))
    page.get_by_label("Prompt").fill("A red kite, half an idea")
    expect(page.get_by_text(said)).to_be_visible()
    assert accessibility(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert too_wide(page) == 0
    if refusal == NO_PICTURES:
        page.reload()
        expect(page.get_by_label("Prompt")).to_have_value("A red kite, half an idea")
    else:
        create(page, "A red kite, a whole idea")


def test_a_rule_offers_its_way_out(
    page: Page, portal: str, alice: User, sign_in: SignIn, tmp_path: Path
) -> None:
    sign_in(alice)
    page.goto(f"{portal}/new")
    page.get_by_role("button", name="Switch to Kling 2.6").click()
    expect(page.get_by_role("radio", name=re.compile("^Kling 2.6"))).to_be_checked()
    expect(page.get_by_role("radio", name="With sound")).to_be_checked()
    page.get_by_role("radio", name=re.compile("^Kling 2.5 Turbo Standard")).check()
    page.get_by_label("Last frame", exact=True).set_input_files(picture(tmp_path, colour="red"))
    page.get_by_role("button", name="Make it the first frame").click()
    expect(page.locator('[data-frame="first"] [data-preview]')).to_be_visible()
    expect(page.locator('[data-frame="last"] [data-preview]')).to_be_hidden()
    page.get_by_label("Last frame", exact=True).set_input_files(picture(tmp_path))
    page.locator('[data-why="frames"]').get_by_role("button", name=re.compile("^Switch to")).click()
    expect(page.locator('[data-why="frames"]')).to_be_empty()
    create(page, "From red to teal.")
    assert Generation.objects.get().images.count() == 2


def test_a_picture_is_cut_to_the_ratio_by_keys(
    page: Page, portal: str, alice: User, sign_in: SignIn, tmp_path: Path
) -> None:
    sign_in(alice)
    page.goto(f"{portal}/new")
    page.get_by_label("First frame", exact=True).set_input_files(picture(tmp_path, 1600, 400))
    page.get_by_role("button", name="Crop it").click()
    dialog = page.get_by_role("dialog", name="Crop the picture")
    expect(dialog.locator("#crop-size")).to_have_text("711 × 400")
    dialog.get_by_role("button", name="1:1").click()
    expect(dialog.locator("#crop-size")).to_have_text("400 × 400")
    dialog.locator("canvas").focus()
    for key in ("ArrowLeft", "ArrowLeft", "+"):
        page.keyboard.press(key)
    expect(dialog.locator("#crop-size")).to_have_text("395 × 395")
    assert accessibility(page) == []
    dialog.get_by_role("button", name="Crop", exact=True).click()
    expect(page.locator('[data-frame="first"] [data-facts]')).to_have_text("395 × 395")
    create(page, "A square.")
    image = InputImage.objects.get()
    assert (image.width, image.height) == (395, 395)


def test_a_frame_comes_from_the_library(
    page: Page, portal: str, alice: User, sign_in: SignIn, sandbox: Any, work: Any
) -> None:
    sandbox.scale = 1
    old = ask(alice, prompt="The first film.")
    work()
    sign_in(alice)
    page.goto(f"{portal}/new")
    page.get_by_role("button", name="First frame from the library").click()
    dialog = page.get_by_role("dialog", name="From the library")
    dialog.get_by_role("button", name="First picture of: The first film.").click()
    expect(dialog).to_be_hidden()
    # The films of the tests are a quarter as large as real ones, and too small to begin with: that is said.
    old.refresh_from_db()
    small = min(old.video.width, old.video.height) < 300
    if small:
        expect(page.locator("#err_first_file")).to_contain_text("each side needs at least 300")
    else:
        expect(page.locator('[data-frame="first"] [data-preview]')).to_be_visible()


def test_an_earlier_input_is_used_again_and_no_strangers(
    page: Page, portal: str, alice: User, sign_in: SignIn, tmp_path: Path
) -> None:
    data = picture(tmp_path).read_bytes()
    ask(alice, images=[data])
    ask(alice, images=[data])
    ask(person("bob"), images=[data])
    sign_in(alice)
    page.goto(f"{portal}/new")
    page.get_by_role("button", name="Last frame from the library").click()
    offered = page.get_by_role("dialog", name="From the library").get_by_role("button", name="Picture")
    expect(offered).to_have_count(1)
    assert accessibility(page) == []
    offered.click()
    expect(page.locator('[data-frame="last"] [data-facts]')).to_have_text("640 × 480")


def test_words_are_kept_shared_inserted_and_removed(
    page: Page, portal: str, alice: User, sign_in: SignIn
) -> None:
    bob = person("bob")
    team = Team.objects.create(name="Studio")
    team.members.add(alice, bob)
    services.save_preset(user=bob, name="Bob's dusk", text="Dusk, one lamp.", shared=True)
    services.save_preset(user=bob, name="Bob's own", text="Nobody else's.")
    sign_in(alice)
    page.goto(f"{portal}/new")
    prompt = page.get_by_label("Prompt")
    prompt.fill("A cat sleeps")
    page.get_by_role("button", name="Blue hour").click()
    page.get_by_role("button", name="Bob's dusk").click()
    expect(prompt).to_have_value("A cat sleeps. Blue hour, cool dusk light, first lamps lit. Dusk, one lamp.")
    expect(page.get_by_role("button", name="Bob's own")).to_have_count(0)
    prompt.evaluate("field => field.setSelectionRange(0, 12)")
    page.get_by_role("button", name="Keep words").click()
    dialog = page.get_by_role("dialog", name="Keep these words")
    expect(dialog.get_by_label("Words")).to_have_value("A cat sleeps")
    dialog.get_by_role("button", name="Keep", exact=True).click()
    expect(dialog.get_by_text("Give it a name.")).to_be_visible()
    assert accessibility(page) == []
    dialog.get_by_label("Short name").fill("Cat")
    dialog.get_by_label("Share with my team").check()
    dialog.get_by_role("button", name="Keep", exact=True).click()
    expect(dialog).to_be_hidden()
    assert Preset.objects.for_user(bob).filter(name="Cat", text="A cat sleeps").exists()
    page.get_by_role("button", name="Keep words").click()
    dialog.get_by_role("button", name="Remove Cat").click()
    expect(page.locator("#presets").get_by_role("button", name="Cat", exact=True)).to_have_count(0)
    assert not Preset.objects.filter(user=alice).exists()


def test_the_composer_says_how_long_it_takes(page: Page, portal: str, alice: User, sign_in: SignIn) -> None:
    sign_in(alice)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/new/eta" in request.url else None)
    with page.expect_response("**/new/eta?*"):
        page.goto(f"{portal}/new")
    with page.expect_response("**/new/eta?*seconds=10*"):
        page.get_by_role("radio", name="10 s").check()
    assert len(asked) == 2, "once for each choice"
    for width in (390, 2560):
        page.set_viewport_size({"width": width, "height": 844})
        assert too_wide(page) == 0
