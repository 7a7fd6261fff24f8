"""Those who are answerable, in a real browser: a request is decided, a price changed, sending paused, usage read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from accounts import quotas
from accounts import services as people
from accounts.models import Team, User
from generations import alarm_tasks, services
from generations.models import CatalogueVersion, Generation, Upstream
from tests.api import finished
from tests.browser.test_journeys import look
from tests.chats import Room
from tests.conftest import person
from tests.makers import ask, claim_one

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SignIn = Callable[[User], None]


def test_a_member_asks_and_the_manager_gives(page: Page, portal: str, alice: User, sign_in: SignIn) -> None:
    maria = person("maria", role=User.Role.MANAGER)
    Team.objects.create(name="Blue").members.add(maria, alice)
    sign_in(alice)
    page.goto(f"{portal}/account")
    page.get_by_text("Ask for more").click()
    page.get_by_label("Credits", exact=True).fill("500")
    page.get_by_label("What for").fill("The trailer is due on Friday.")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_text("You have asked for 500 credits.")).to_be_visible()
    page.context.clear_cookies()
    sign_in(maria)
    page.goto(portal)
    page.get_by_role("link", name="Inbox, 1 new").click()
    page.get_by_role("link", name="alice asks for 500 credits").click()
    page.get_by_label("A word to it, if you like").fill("Good luck!")
    page.get_by_role("button", name="Give", exact=True).click()
    expect(page.get_by_text("Nobody is waiting for you.")).to_be_visible()
    assert quotas.balances(alice)[0].wallet.available == 1_500


def test_a_price_is_changed_after_a_look(page: Page, portal: str, boss: User, sign_in: SignIn) -> None:
    sign_in(boss)
    page.goto(f"{portal}/manage/catalogue")
    page.get_by_role("link", name="Change").click()
    page.get_by_label("Credits a second").first.fill("4")
    page.get_by_role("button", name="Show what would change").click()
    expect(page.locator("#preview")).to_contain_text("kling-v2-5-turbo-std/std per_second")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("in force", exact=True)).to_be_visible()
    assert CatalogueVersion.objects.count() == 1
    page.goto(f"{portal}/new")
    services.forget_rules()
    page.reload()
    expect(page.locator("[data-price]")).to_have_text("20 credits")


def test_sending_is_paused_with_a_reason_and_goes_on(
    page: Page, portal: str, boss: User, sign_in: SignIn
) -> None:
    sign_in(boss)
    page.goto(f"{portal}/manage/operations")
    page.get_by_role("button", name="Pause sending").click()
    page.get_by_label("Reason").fill("Renewing the account")
    page.get_by_role("dialog").get_by_role("button", name="Pause sending").click()
    expect(page.get_by_text("Paused by boss")).to_be_visible()
    assert Upstream.objects.get().paused_reason == "Renewing the account"
    page.get_by_role("button", name="Resume sending").click()
    expect(page.get_by_role("button", name="Pause sending").first).to_be_visible()
    assert Upstream.objects.get().paused_at is None


def test_usage_leads_to_its_videos(page: Page, portal: str, alice: User, boss: User, sign_in: SignIn) -> None:
    finished(alice)
    sign_in(boss)
    page.goto(f"{portal}/manage/usage")
    expect(page.locator("canvas").first).to_be_visible()
    page.get_by_role("link", name="Person").click()
    page.get_by_role("link", name="alice").click()
    expect(page.locator("tbody tr")).to_have_count(1)


@pytest.mark.parametrize(("theme", "language"), [("light", "en"), ("dark", "zh-hans")])
def test_every_page_is_for_everybody(
    page: Page, portal: str, alice: User, boss: User, sign_in: SignIn, theme: str, language: str
) -> None:
    page.context.add_cookies([{"name": "django_language", "value": language, "url": portal}])
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
    team = people.make_team("Film and " + "very-long-word-" * 5, actor=boss)
    people.add_member(team, alice, actor=boss)
    finished(alice)
    ask(alice, prompt="In doubt. " + "very-long-word-" * 12)
    assert services.record_doubt(
        claim_one(), code="500", message="oops", reply='{"error": "' + "x" * 300 + '"}'
    )
    assert Generation.objects.filter(status="unknown").exists()
    people.invite("guest@example.com", actor=boss, teams=[team])
    people.ask_for_credits(alice, credits=5, reason="very-long-word-" * 8)
    sign_in(boss)
    pages = {
        "people": "/manage/people",
        "person": f"/manage/people/{alice.pk}",
        "invite": "/manage/people/invite",
        "import": "/manage/people/import",
        "leave": f"/manage/people/{alice.pk}/leave",
        "models of a person": f"/manage/people/{alice.pk}/models",
        "teams": "/manage/teams",
        "team": f"/manage/teams/{team.pk}",
        "requests": "/manage/requests",
        "usage": "/manage/usage?by=user",
        "usage videos": "/manage/usage/videos",
        "statement": "/manage/usage/statement",
        "catalogue": "/manage/catalogue",
        "change": "/manage/catalogue/edit",
        "operations": "/manage/operations",
        "audit": "/manage/audit",
        "inbox": "/inbox",
    }
    assert [line for name, path in pages.items() for line in look(page, portal, name, path)] == []


def test_a_room_is_added_and_hears_at_once(
    page: Page, portal: str, boss: User, sign_in: SignIn, settings: Any
) -> None:
    room = Room("feishu", "SECd2hhdGV2ZXI")
    settings.EGRESS_ALLOW = frozenset({*settings.EGRESS_ALLOW, room.receiver.authority})
    sign_in(boss)
    page.goto(f"{portal}/manage/operations")
    page.get_by_role("link", name="who hears of them").click()
    page.get_by_label("Name", exact=True).fill("Night watch")
    page.get_by_label("Service").select_option("feishu")
    page.get_by_label("Address of the robot").fill(room.url)
    page.get_by_label("Signing secret").fill("SECd2hhdGV2ZXI")
    page.get_by_role("button", name="Add and send a test").click()
    expect(page.locator("#targets")).to_contain_text("test, on its way")
    alarm_tasks.tell()
    expect(page.locator("#targets")).to_contain_text("test, taken")
    assert "A test" in room.texts[0]
    room.close()
    assert look(page, portal, "alarms", "/manage/operations/alarms") == []
