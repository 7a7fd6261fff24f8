"""Pages that come over a slow line to a slow machine: little is sent, and nothing moves once it stands there.

Behind the real web server, because its static files are compressed and named as in production. Takes longer than
others: the machine is made four times slower, which is what it is about.
"""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone
from PIL import Image
from playwright.sync_api import expect

from accounts.models import User
from generations.models import Generation, Video
from tests.browser.conftest import by_cookie
from tests.browser.test_library_journeys import many
from tests.prove.web import gunicorn

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SIDES = {"16:9": (640, 360), "9:16": (360, 640), "1:1": (480, 480)}
MOST_BYTES, MOST_REQUESTS, MOST_MOVED = 250_000, 12, 0.05
SLOW_LINE = {
    "latency": 40,
    "downloadThroughput": 1_000_000,
    "uploadThroughput": 100_000,
}  # ms, bytes a second
# Pictures, and what an open page asks now and then.
LATER = re.compile(r"/poster$|/progress\?|/inbox/news|/js/news\b")

# Written before anything else runs: each move of what stands on the page, and how far.
WITNESS = """
  window.moves = [];
  new PerformanceObserver((list) => moves.push(...list.getEntries().map((entry) =>
    [entry.value, ...entry.sources.map(({ node }) => (node?.outerHTML ?? node?.textContent ?? '').slice(0, 90))]
  ))).observe({ type: 'layout-shift', buffered: true });
"""


# What an observer hears comes a moment after it happened.
SETTLED = """() => document.fonts.ready.then(() => new Promise((done) =>
  requestAnimationFrame(() => setTimeout(() => done(moves), 300))))"""


@pytest.fixture
def site(transactional_db: None) -> Iterator[str]:
    """The address of the platform as in production, on the test's own database and files."""
    with gunicorn(processes=1, KLING_TESTING="0", VAR_DIR=str(settings.VAR_DIR)) as address:
        yield address


def a_week(user: User) -> list[Generation]:
    """Thirty: four wait, some were canceled, most are ready and have a poster; of three shapes."""
    rows = many(user, 30)
    for number, row in enumerate(rows):
        if number < 4:
            row.status, row.finished_at, row.next_check_at = (
                "queued",
                None,
                timezone.now() + timedelta(hours=1),
            )
        elif number % 6:
            row.status, row.upstream_id = "succeeded", f"up-{number}"
            _store(row)
        row.save()
    return rows


def _store(row: Generation) -> None:
    width, height = SIDES[row.size]
    out = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(out, "JPEG")
    name = default_storage.save(f"videos/{row.pk}.jpg", ContentFile(out.getvalue()))
    sha256 = uuid.uuid4().hex * 2
    Video.objects.create(
        generation=row, file=name, poster=name, width=width, height=height, seconds=5, bytes=1, sha256=sha256
    )


class Line:
    """A slow line to a slow machine, and what came over it, by address: bytes, headers and all."""

    def __init__(self, page: Page) -> None:
        self.speak = page.context.new_cdp_session(page)
        self.names: dict[str, str] = {}
        self.bytes: dict[str, int] = {}
        self.speak.on("Network.requestWillBeSent", self._asked)
        self.speak.on("Network.loadingFinished", self._came)
        self.speak.send("Network.enable")
        self.speak.send("Network.emulateNetworkConditions", {"offline": False, **SLOW_LINE})
        self.speak.send("Emulation.setCPUThrottlingRate", {"rate": 4})

    def _asked(self, event: dict[str, Any]) -> None:
        self.names[event["requestId"]] = event["request"]["url"]

    def _came(self, event: dict[str, Any]) -> None:
        self.bytes[self.names[event["requestId"]]] = event["encodedDataLength"]


def test_a_library_of_thirty_is_light_and_no_page_moves_on_a_slow_machine(
    site: str, page: Page, alice: User
) -> None:
    rows = a_week(alice)
    by_cookie(page.context, alice, site)
    page.set_default_timeout(60_000)  # ms: slow on purpose, on a machine that may be busy
    page.add_init_script(WITNESS)
    line = Line(page)
    assert_still(page, 1440, f"{site}/")
    expect(page.locator("#sheet > li[id]")).to_have_count(30)
    sent = {address: count for address, count in line.bytes.items() if not LATER.search(address)}
    assert sum(sent.values()) <= MOST_BYTES, sent
    assert len(sent) <= MOST_REQUESTS, sent
    assert_still(page, 390, f"{site}/new")
    assert_still(page, 1440, f"{site}/g/{rows[4].pk}")


def assert_still(page: Page, width: int, address: str) -> None:
    """Nothing that one sees moves while the page comes, its fonts, its pictures and its scripts."""
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(address)
    moves = page.evaluate(SETTLED)
    assert sum(move[0] for move in moves) < MOST_MOVED, (address, *moves)
