"""A person at a real browser: signed in by cookie, with eyes for what nobody may overlook."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import axe_core_python
import pytest
from django.conf import settings as django_settings
from django.test import Client

from accounts.models import User
from tests.sizes import FULL

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text()


@pytest.fixture
def portal(live_server: Any, settings: Any) -> str:
    """Address of the platform, as a browser reaches it."""
    settings.PUBLIC_URL = live_server.url
    settings.CSRF_TRUSTED_ORIGINS = [live_server.url]
    return live_server.url


@pytest.fixture
def sign_in_on(portal: str) -> Callable[[BrowserContext, User], None]:
    """Sign somebody in without the form; one journey uses the form itself."""

    return lambda context, user: by_cookie(context, user, portal)


def by_cookie(context: BrowserContext, user: User, address: str) -> None:
    """Sign somebody in at this address without the form."""
    client = Client()
    client.force_login(user)
    name = django_settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": address}])


@pytest.fixture
def sign_in(page: Page, sign_in_on: Callable[..., None]) -> Callable[[User], None]:
    """The same, for the page of the test."""
    return lambda user: sign_in_on(page.context, user)


def accessibility(page: Page, *, only: str = "") -> list[str]:
    """What axe finds on the page as it stands, by all rules or by one: rule, help and place, one line each."""
    # evaluate() speaks to the engine itself, so the page's policy does not have to allow it.
    page.evaluate(AXE)
    # A colour on its way from one theme to the other belongs to neither.
    page.evaluate(
        "() => Promise.allSettled(document.getAnimations().filter((one) => one instanceof CSSTransition)"
        ".map((one) => one.finished))"
    )
    # Nothing is fetched again for it: the rules that ask for that are experiments, and off.
    options = {"resultTypes": ["violations"], "preload": False, **({"runOnly": [only]} if only else {})}
    found = page.evaluate("(options) => axe.run(document, options)", options)
    return [
        f"{finding['id']}: {finding['help']} at {node['target']}"
        for finding in found["violations"]
        for node in finding["nodes"]
    ]


# Theme, language, width at which axe looks, and which of the pages are seen so.
VIEWS = (
    [(*view, slice(None)) for view in product(("light", "dark"), ("en", "zh-hans"), (1440, 390))]
    if FULL
    else [("light", "en", 1440, slice(0, None, 2)), ("dark", "zh-hans", 390, slice(1, None, 2))]
)


def look_at(page: Page, portal: str, pages: dict[str, str], share: slice, *, width: int) -> list[str]:
    """What is wrong with a view's share of the pages."""
    return [
        line
        for name, path in list(pages.items())[share]
        for line in look(page, portal, name, path, width=width)
    ]


def look(page: Page, portal: str, name: str, path: str, *, width: int = 1440) -> list[str]:
    """What is wrong with a page: for axe at one width, and for anybody whose window it does not fit."""
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(portal + path)
    found = [f"{name} at {width}: {line}" for line in accessibility(page)]
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 844})
        if wide := too_wide(page):
            found.append(f"{name} at {width}: {wide} px too wide")
    return found


def too_wide(page: Page) -> int:
    """By how many pixels the page is wider than its window; 0 is right."""
    return page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
