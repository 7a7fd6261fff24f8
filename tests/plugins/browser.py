"""A real Chromium for the tests marked ``browser``: ``--browser=auto|require|off``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.plugins.needs import OFF, Need

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

PATIENCE = 15_000  # milliseconds until something has to be there, on a machine that has more to do

need = Need(
    "browser",
    "browser",
    what="Chromium",
    remedy="Install Debian's chromium-headless-shell package (or Chromium, or Google Chrome).",
)


WITH_WINDOW = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WITHOUT_WINDOW = ("chromium-headless-shell",)  # needs a third less of the processor, and cannot ask for leave


def find_chromium(names: tuple[str, ...] = (*WITHOUT_WINDOW, *WITH_WINDOW)) -> str:
    """The path of an installed Chromium or Chrome, or an empty string."""
    return next((path for name in names if (path := shutil.which(name))), "")


def pytest_addoption(parser: pytest.Parser) -> None:
    need.add_option(parser)


def pytest_configure(config: pytest.Config) -> None:
    mode = config.getoption("browser")
    need.resolve(mode, find_chromium() if mode != OFF else "")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    need.leave_out(config, items)


def pytest_report_header() -> str:
    return need.header()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    need.summary(terminalreporter)


@pytest.fixture(scope="session")
def launch() -> Iterator[Callable[[str], Browser]]:
    """``launch(path)`` starts a browser, which ends with the session."""
    from django.db import connections
    from playwright.sync_api import expect, sync_playwright

    # Once its loop lives in this thread, Django has other connections here, and nobody closes those of before.
    connections.close_all()
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        # Its loop lives in this thread from now on, so Django believes that the ORM is called from async code.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
        args = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        yield lambda path: playwright.chromium.launch(executable_path=path, args=args)
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="session")
def chromium(launch: Callable[[str], Browser]) -> Iterator[Browser]:
    """One browser for the whole session; a page of its own for every test comes from ``page``."""
    browser = launch(find_chromium())
    yield browser
    browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A fresh page, signed out, 1440 px wide. Whatever it complains about on the console fails the test."""
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"{message.type}: {message.text}")

    context = chromium.new_context(viewport={"width": 1440, "height": 900}, locale="en-US")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
    yield page
    context.close()
    assert not complaints, complaints
