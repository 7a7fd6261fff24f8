"""Those who are answerable, in a real browser: a request is decided, a price changed, sending paused, usage read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from accounts import quotas
from accounts import services as people
from accounts.models import Team, User
from generations import alarm_tasks, services
from generations.models import CatalogueVersion, Generation, Upstream, WebhookDelivery, WebhookTry
from tests.api import finished
from tests.browser.conftest import VIEWS, look, look_at
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
    page.goto(f"{portal}/manage/quotas")
    page.get_by_label("What becomes of it").select_option("percent")
    page.get_by_label("How much").fill("10")
    page.get_by_role("button", name="Show what it does").click()
    expect(page.get_by_role("row", name="alice")).to_contain_text("1,000 1,100 +100")
    page.get_by_label("Reason").fill("a busier month")
    page.get_by_role("button", name="Change these quotas").click()
    expect(page.get_by_text("1 quota is changed.")).to_be_visible()
    assert quotas.balances(alice)[0].wallet.available == 1_600


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


def test_operations_are_looked_at_replayed_paused_and_go_on(
    page: Page, portal: str, alice: User, boss: User, sign_in: SignIn
) -> None:
    finished(alice)
    hook = services.register_webhook(alice, url="https://example.com/hook")
    three_days_ago = timezone.now() - timedelta(days=3)
    given_up = WebhookDelivery.objects.create(
        endpoint=hook, event="generation.failed", status="failed", created_at=three_days_ago
    )
    WebhookTry.objects.create(delivery=given_up, number=10, outcome="refused", status=502, at=three_days_ago)
    sign_in(boss)
    page.goto(f"{portal}/manage/operations")
    expect(page.locator("#storage")).to_contain_text("1 ·")
    expect(page.locator("#webhooks")).to_contain_text("Nothing was given up in this time.")
    page.get_by_role("link", name="7 days").click()
    expect(page.locator("#webhooks")).to_contain_text("1 event given up · answered, but not with success")
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_text("It is being sent again")).to_be_visible()
    expect(page.get_by_role("link", name="7 days")).to_have_attribute("aria-current", "true")
    given_up.refresh_from_db()
    assert given_up.status == "waiting"
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


@pytest.mark.parametrize(("theme", "language", "width", "share"), VIEWS)
def test_every_page_is_for_everybody(
    page: Page,
    portal: str,
    alice: User,
    boss: User,
    sign_in: SignIn,
    theme: str,
    language: str,
    width: int,
    share: slice,
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
    table = people.begin_import("email\nlin@example.com", digest="x", actor=boss)
    people.ask_for_credits(alice, credits=5, reason="very-long-word-" * 8)
    sign_in(boss)
    pages = {
        "people": "/manage/people",
        "quotas": "/manage/quotas?period=month&how=add&amount=5",
        "import result": f"/manage/people/imports/{table.pk}",
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
        "operations": "/manage/operations?span=month",
        "audit": "/manage/audit",
        "inbox": "/inbox",
    }
    assert look_at(page, portal, pages, share, width=width) == []


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
