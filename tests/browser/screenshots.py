"""Takes the pictures of ``make screenshots``; no test of its own, so its name is not one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from accounts import services as people
from accounts.models import User, Wallet
from generations import dispatch, services
from generations.models import Batch, Generation, WebhookDelivery, WebhookTry
from generations.omnimaas.reader import Reading
from tests.conftest import SANDBOX_KEY, person
from tests.makers import ask, claim_one, due

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

FOLDER = Path(__file__).parent.parent.parent / "screenshots"
WIDTHS = {"2560": 2560, "1440": 1440, "390": 390}
# Names of pages or of pictures that are wanted, as a pattern; all without.
ONLY = re.compile(os.environ.get("ONLY") or ".*")
SHOTS: list[dict[str, Any]] = [
    {
        "prompt": "A lighthouse keeper climbs a spiral stair with a lantern while the storm shakes the windows."
    },
    {
        "prompt": "一只小猫坐在窗台上，看着雨滴顺着玻璃滑下。窗外霓虹灯模糊成光斑，镜头缓慢推进。",
        "size": "9:16",
    },
    {
        "prompt": "Sourdough loaf breaking open in slow motion, steam in a beam of morning light.",
        "size": "1:1",
    },
    {"prompt": "Drone over terraced rice fields at sunrise, mist in the valley.", "duration": 10},
    {"prompt": "A ballet dancer turns once in an empty factory hall, dust in the light.", "size": "9:16"},
    {"prompt": "Macro: a drop of ink unfolds in clear water, deep blue into violet.", "size": "1:1"},
    {"prompt": "A night train passes a snowed-in station, one window lit."},
]


@pytest.fixture
def sandbox(settings: Any, tmp_path: Path) -> Any:
    """Half the real size: sharp enough for a card, and quick."""
    from generations.omnimaas.sandbox import SandboxServer

    server = SandboxServer(tmp_path / "sandbox", key=SANDBOX_KEY, speed=200, scale=0.5)
    server.start()
    settings.OMNIMAAS_BASE_URL, settings.OMNIMAAS_API_KEY = server.url, SANDBOX_KEY
    settings.EGRESS_ALLOW = frozenset({server.url.removeprefix("http://")})
    yield server
    server.stop()


@pytest.fixture
def pages(transactional_db: None, sandbox: Any, work: Any) -> dict[str, str]:
    """A library as a working week leaves it; the address of each page by name."""
    mira = person("mira")
    person("newcomer", credits=500)
    people.make_key(mira, label="Colour grading room", scopes=("read",))
    limits = people.Limits(
        model_names=("kling-v2-6",),
        most_open=3,
        credits={"day": 100, "month": 500},
        expires_at=in_three_days(),
    )
    key, _text = people.make_key(mira, label="Render script", scopes=("read", "create"), limits=limits)
    people.rotate_key(mira, people.make_key(mira, label="Edit bay")[0].pk, overlap_hours=24)
    made = [ask(mira, **shot) for shot in SHOTS]
    work(120)
    variations = services.vary(made[0], user=mira, count=2)
    work(120)
    lines = ("He lights the lamp; the beam cuts the rain.", "Far out, a ship turns towards the light.")
    shots = [services.Planned(line, 5) for line in lines]
    plan: dict[str, Any] = {"user": mira, "title": "The keeper", "model": made[0].model, "shots": shots}
    made[0].refresh_from_db()
    board, draft = (services.plan_storyboard(**plan, begins_with=made[0]) for _ in range(2))
    services.start_storyboard(board)
    work(120)
    batch = grid(mira)
    first = person("first")
    people.set_quotas(first, {"total": 40})
    ask(first, prompt="A paper boat sets off.")
    work(120)
    made[0].refresh_from_db()
    link = services.make_link(made[0], actor=mira, title="The keeper, first cut")
    canceled = services.cancel(ask(mira, prompt="Paper boats drift down a flooded street."), actor=mira)
    for age, generation in enumerate(reversed([*made, canceled]), start=1):
        moment = timezone.now() - timedelta(hours=5 * age, minutes=7)
        Generation.objects.filter(pk=generation.pk).update(created_at=moment)
    doubtful = ask(mira, prompt="Old man repairs a watch, extreme close-up of brass gears.")
    services.record_doubt(claim_one(), code="read_timeout", message="")
    running = ask(mira, prompt="A fox crosses a frozen lake at blue hour, breath visible, low tracking shot.")
    services.record_submitted(claim_one(), upstream_id="up-running")
    Generation.objects.filter(pk=running.pk).update(
        progress=38, created_at=timezone.now() - timedelta(seconds=47)
    )
    waiting = ask(mira, prompt="Skateboarder on an empty coastal road, golden hour.", size="9:16")
    return {
        "library": "/",
        "composer": "/new",
        "composer-prefilled": f"/new?from={made[1].pk}",
        "detail": f"/g/{made[3].pk}",
        "detail-portrait": f"/g/{made[1].pk}",
        "detail-running": f"/g/{running.pk}",
        "detail-doubt": f"/g/{doubtful.pk}",
        "detail-waiting": f"/g/{waiting.pk}",
        "detail-canceled": f"/g/{canceled.pk}",
        "detail-family": f"/g/{made[0].pk}",
        "inbox": "/inbox",
        "matrix": f"/matrix/{batch.pk}",
        "matrix-new": "/matrix",
        "library-failed": "/?show=failed",
        "library-nothing-found": "/?q=zeppelin",
        "webhooks": "/account/webhooks",
        "compare": f"/compare?ids={made[0].pk},{variations[0].pk},{variations[1].pk},{waiting.pk}",
        "storyboards": "/storyboards",
        "storyboard-new": "/storyboards/new",
        "storyboard-plan": f"/storyboards/{draft.pk}",
        "storyboard-film": f"/storyboards/{board.pk}",
        "share": f"/s/{link.token()}",
        "account": "/account",
        "key": f"/account/keys/{key.pk}",
        "key-new": "/account/keys/new",
        "password": "/account/password",
        "not-found": "/nothing-here",
    }


def grid(mira: User) -> Batch:
    """A matrix of four, one of which upstream will refuse."""
    prompts = ("A kite over the dunes at noon", "A kite over the dunes at dusk", "A kite over a car park")
    wanted = [{"model": "kling-v2-5-turbo-std", "prompt": prompt} for prompt in prompts]
    lines = [services.Line(number, f"line {number}", line) for number, line in enumerate(wanted, start=1)]
    return services.create_batch(user=mira, lines=lines, name="Kites")


@pytest.fixture
def states(pages: dict[str, str]) -> dict[str, dict[str, str]]:
    """By whose eyes they are seen: a library with one video, a busy one, and one of long words."""
    long = person("long")
    for prompt in ("W" * 2_500, "مرحبا بكم " * 30, "👩‍👩‍👧‍👦" * 60, "a\u200b" * 300):
        services.cancel(ask(long, prompt=prompt), actor=long)
    busy = person("busy", credits=5_000)
    for number in range(24):
        ask(busy, prompt=SHOTS[number % len(SHOTS)]["prompt"], size=("16:9", "9:16", "1:1")[number % 3])
    long_one = long.generations.order_by("created_at")[0]
    return {
        "first": {"library-one": "/"},
        "busy": {"library-busy": "/"},
        "long": {"library-long": "/", "library-long-list": "/?view=list", "detail-long": f"/g/{long_one.pk}"},
    }


@pytest.fixture
def rooms(pages: dict[str, str]) -> dict[str, str]:
    """What those see who are answerable."""
    boss, mira = person("boss", role=User.Role.ADMIN), User.objects.get(username="mira")
    team = people.make_team("Film", actor=boss)
    for name in ("mira", "newcomer"):
        people.add_member(team, User.objects.get(username=name), actor=boss)
    people.ask_for_credits(mira, credits=400, reason="The trailer is due on Friday.")
    people.invite("lin@example.com", role="member", teams=[team], credits=500, actor=boss)
    services.sum_up_days()
    nobody = User.objects.create_user("nora")
    people.add_member(team, nobody, actor=boss)
    people.ask_for_credits(nobody, credits=300, reason="I start on Monday.")
    table = "email,role,teams,credits,period\nkim@example.com,member,Film,500,month"
    refused = people.begin_import(table, digest="of something else", actor=boss)
    people.run_import(refused.pk)
    waiting = people.begin_import(table, digest=people.plan_import(table, actor=boss).digest, actor=boss)
    lose(mira)
    use_for_ten_days(User.objects.get(username="first"))
    names = ("people", "requests", "teams", "usage", "usage/videos", "usage/statement")
    own = (
        "catalogue",
        "catalogue/edit",
        "operations",
        "operations/alarms",
        "audit",
        "people/invite",
        "people/import",
    )
    return {f"manage-{name.replace('/', '-')}": f"/manage/{name}" for name in (*names, *own)} | {
        "manage-quotas": "/manage/quotas?q=&period=month&how=percent&amount=20",
        "manage-operations-month": "/manage/operations?span=month",
        "manage-import-waiting": f"/manage/people/imports/{waiting.pk}",
        "manage-import-refused": f"/manage/people/imports/{refused.pk}",
        "manage-person": f"/manage/people/{mira.pk}",
        "manage-team": f"/manage/teams/{team.pk}",
        "admin": "/admin/",
        "admin-generations": "/admin/generations/generation/",
    }


def lose(mira: User) -> None:
    """A video that the gateway made, and whose file was gone before it could be fetched; a webhook that is deaf."""
    lost = ask(mira, prompt="Geese rise from a marsh, slow motion.")
    claim = next(claim for claim in dispatch.claim(9) if claim.generation_id == lost.pk)
    services.record_submitted(claim, upstream_id="up-geese")
    services.record_reading(due(lost), Reading("succeeded", url="https://cdn.example.com/geese.mp4"))
    for _ in range(3):
        Generation.objects.filter(pk=lost.pk).update(next_check_at=lost.created_at)
        services.claim_store(lost.pk)
        services.record_store_failed(lost.pk, message="404 Not Found, also of a fresh link", gone=True)
    hook = services.register_webhook(mira, url="https://hooks.example.com/kling", name="Edit bay")
    delivery = WebhookDelivery.objects.create(endpoint=hook, event="generation.failed", status="failed")
    WebhookTry.objects.create(delivery=delivery, number=10, outcome="refused", status=502)


def use_for_ten_days(user: User) -> None:
    """So that a pace can be told."""
    begun = timezone.now() - timedelta(days=10)
    user.quotas.update(created_at=begun)
    Wallet.objects.filter(quota__user=user).update(starts_at=begun)


def in_three_days() -> datetime:
    return timezone.now() + timedelta(days=3, minutes=5)


def test_take_them_all(
    chromium: Any,
    portal: str,
    pages: dict[str, str],
    rooms: dict[str, str],
    states: dict[str, dict[str, str]],
    sign_in_on: Callable[..., None],
) -> None:
    seen = {"newcomer": {"library-empty": "/", "inbox-empty": "/inbox", "account-new": "/account"}}
    seen |= {"mira": pages, "boss": rooms} | states
    FOLDER.mkdir(exist_ok=True)
    for theme, language in [("light", "en"), ("dark", "en"), ("light", "zh-hans"), ("dark", "zh-hans")]:
        context = chromium.new_context(color_scheme=theme, reduced_motion="reduce")
        context.add_cookies([{"name": "django_language", "value": language, "url": portal}])
        page = context.new_page()
        shoot(page, portal, {"sign-in": "/signin"}, theme, language)
        for name, own in seen.items():
            sign_in_on(context, User.objects.get(username=name))
            shoot(page, portal, own, theme, language)
        context.close()


def shoot(page: Page, portal: str, pages: dict[str, str], theme: str, language: str) -> None:
    """One picture of each page and width, from top to end."""
    for (name, path), (width, pixels) in product(pages.items(), WIDTHS.items()):
        picture = f"{name}-{width}-{theme}-{language[:2]}"
        if ONLY.fullmatch(name) or ONLY.fullmatch(picture):
            page.set_viewport_size({"width": pixels, "height": {2560: 1440, 1440: 900, 390: 844}[pixels]})
            page.goto(portal + path)
            for video in page.locator("video").all():
                expect(video).to_have_js_property("readyState", 4)
            # As tall as the page, so that what is fixed to the window's end stands at the page's end.
            tall = page.evaluate("() => document.documentElement.scrollHeight")
            page.set_viewport_size({"width": pixels, "height": tall})
            page.locator("body").evaluate("() => document.fonts.ready")
            page.wait_for_timeout(250)
            page.screenshot(path=FOLDER / f"{picture}.png")
