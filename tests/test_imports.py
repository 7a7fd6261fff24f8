"""Who may import whom, read from the code itself: the arrows that keep the house in order."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("kling_platform", "accounts", "generations")

# Leaves that anybody may use: refusals, and the checks of a text.
BASE = tuple(f"kling_platform.{name}" for name in ("errors", "text", "failpoints", "origin", "away"))
MODELS = ("accounts.models*", "generations.models*")

# The core: the first line that fits a module is the whole list of ours that it may import.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "kling_platform.errors": (),
    "kling_platform.away": (),
    "kling_platform.broker": ("kling_platform.away", "kling_platform.prepared"),
    "kling_platform.csvs": (),
    "kling_platform.env": (),
    "kling_platform.failpoints": (),
    "kling_platform.keyset": (),
    "kling_platform.lifeline": (),
    "kling_platform.origin": (),
    "kling_platform.prepared": ("kling_platform.away",),
    "kling_platform.tables": ("kling_platform.csvs",),
    "kling_platform.supervisor": (),
    "kling_platform.text": ("kling_platform.errors",),
    "kling_platform.egress": ("kling_platform.errors",),
    "kling_platform.api": BASE,
    "kling_platform.alarms": (*BASE, "generations.models"),
    "kling_platform.multipart": (*BASE, "kling_platform.api"),
    "accounts.models*": (*BASE, "accounts.models.*"),
    "accounts.periods": (),
    "accounts.triggers": (),
    "accounts.ledger": (*BASE, "accounts.models", "kling_platform.prepared"),
    "accounts.keys": (*BASE, "accounts.models", "kling_platform.prepared"),
    "accounts.rates": (*BASE, "accounts.models", "kling_platform.prepared"),
    "accounts.links": (*BASE, "accounts.models"),
    "accounts.quotas": (
        *BASE,
        "kling_platform.prepared",
        *(f"accounts.{name}" for name in ("models", "ledger", "periods", "links")),
    ),
    "accounts.rosters": (*BASE, "accounts.models"),
    "accounts.services*": (
        *BASE,
        *(f"accounts.{name}" for name in ("models", "ledger", "quotas", "keys", "links", "rosters")),
        "accounts.services.*",
    ),
    "generations.models*": (*BASE, "generations.models.*", "kling_platform.keyset"),
    "generations.catalogue": BASE,
    "generations.rulebook": (*BASE, "generations.catalogue"),
    "generations.pacing": BASE,
    "generations.omnimaas": (*BASE, "generations.omnimaas.*"),
    "generations.omnimaas.*": (*BASE, "generations.omnimaas", "generations.omnimaas.*"),
    "generations.lanes": (*BASE, *MODELS),
    "generations.outbox": (*BASE, *MODELS),
    "generations.brakes": (*BASE, *MODELS),
    "generations.followers": (*BASE, *MODELS),
    "generations.news": (*BASE, *MODELS, "accounts.services"),
    "generations.lifecycle": (
        *BASE,
        *MODELS,
        *(f"generations.{name}" for name in ("brakes", "followers", "news", "outbox")),
    ),
    "generations.epoch": (),
    "generations.dispatch": (
        *BASE,
        *MODELS,
        "generations.lifecycle",
        "generations.epoch",
        "kling_platform.alarms",
    ),
    # Pictures are checked by their bytes, an address by its form alone: see the test below.
    "generations.images": (*BASE, "kling_platform.egress"),
    # An address is checked by its form alone: see the test below.
    "generations.services.webhooks": (
        *BASE,
        *MODELS,
        "accounts.services",
        "generations.outbox",
        "generations.services.deliveries",
        "kling_platform.egress",
    ),
    # Likewise.
    "generations.services.alarm_targets": (
        *BASE,
        *MODELS,
        "accounts.services",
        "generations.services.*",
        "kling_platform.alarms",
        "kling_platform.egress",
    ),
    "generations.services*": (
        *BASE,
        *MODELS,
        *(f"accounts.{name}" for name in ("ledger", "periods", "quotas", "services")),
        *(
            f"generations.{name}"
            for name in (
                "lifecycle",
                "catalogue",
                "rulebook",
                "pacing",
                "dispatch",
                "images",
                "news",
                "outbox",
            )
        ),
        "generations.services.*",
        "kling_platform.alarms",
        "kling_platform.prepared",
    ),
    "generations.polled": (*BASE, *MODELS, "generations.public", "accounts.keys", "kling_platform.prepared"),
    "generations.films": (),
    "generations.labels": MODELS,
    "generations.archive": (*BASE, *MODELS, "kling_platform.egress"),
    "generations.webhooks": (*BASE, *MODELS, "kling_platform.egress"),
    "generations.chats": (*BASE, *MODELS, "generations.webhooks"),
}
# What no door may touch: the writers below the services, and everybody who talks to the world.
NOT_FOR_DOORS = (
    "accounts.ledger",
    *(
        f"generations.{name}"
        for name in (
            "lifecycle",
            "brakes",
            "lanes",
            "polling",
            "sending",
            "tasks",
            "film_tasks",
            "films",
            "deliveries",
            "upkeep",
            "archive",
            "webhooks",
            "chats",
            "alarm_tasks",
            "outbox",
            "followers",
            "news",
        )
    ),
    "generations.omnimaas*",
    "kling_platform.egress",
)
DOORS = (
    "*views",
    "accounts.rooms",
    "*.forms",
    "*.urls",
    "*.admin",
    "*.api*",
    "*.templatetags.*",
    "*.management.commands.*",
)
TASKS = {
    "accounts.tasks",
    "generations.tasks",
    "generations.film_tasks",
    "generations.deliveries",
    "generations.upkeep",
    "generations.alarm_tasks",
}
# Each stands for one command that exists to talk to upstream, or to be it.
MAY_SPEAK = ("generations.management.commands.sandbox", "generations.management.commands.probe_upstream")
# Who looks at an address without going there, and by which function.
LOOKERS = {
    "generations.images": "check_url_form",
    "generations.services.webhooks": "check_target",
    "generations.services.alarm_targets": "check_target",
}
NETWORK = ("requests", "urllib3", "http.client", "http.server", "socket", "ssl", "smtplib", "urllib.request")


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if "migrations" not in path.parts:
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(source: str, module: str, known: Iterable[str]) -> set[str]:
    """Everything a module imports, wherever in it; ``from a import b`` is ``a.b`` when that is a module."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")[: -node.level]
                base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                found.add(full if full in known else base)
    return found


@cache
def imported(name: str) -> set[str]:
    """Everything that one of ours imports."""
    return imports(MODULES[name].read_text(), name, MODULES)


def ours(name: str) -> set[str]:
    return imported(name) & MODULES.keys()


def fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def reached(name: str) -> set[str]:
    """The modules of ours that run when this one is imported, itself included."""
    seen, waiting = set(), [name]
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += ours(module)
    return seen


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_imports_only_what_it_may(name: str) -> None:
    allowed = next((some for pattern, some in MAY_IMPORT.items() if fnmatch(name, pattern)), None)
    if allowed is not None:
        assert {other for other in ours(name) - {name} if not fits(other, allowed)} == set()
    if name.startswith("accounts"):
        assert not {other for other in ours(name) if other.startswith("generations")}
    if fits(name, DOORS) and name != "kling_platform.api" and name not in MAY_SPEAK:
        assert {other for other in ours(name) if fits(other, NOT_FOR_DOORS)} == set()
    assert not TASKS & ours(name), "tasks are named by their dotted path, never imported"
    assert not {other for other in imported(name) if other.split(".")[0] == "tests"}


@pytest.mark.parametrize("name", sorted(name for name in MODULES if name.startswith("generations.services")))
def test_no_service_touches_the_network(name: str) -> None:
    users = {module for module in reached(name) if fits_network(imported(module))}
    assert users <= {"kling_platform.egress"}, "only the form of an address may be looked at"
    if "kling_platform.egress" in users:
        ways = {module for module in reached(name) if "kling_platform.egress" in ours(module)}
        assert ways <= set(LOOKERS)


def fits_network(names: Iterable[str]) -> bool:
    return any(name == bad or name.startswith(bad + ".") for name in names for bad in NETWORK)


@pytest.mark.parametrize("name", LOOKERS)
def test_services_use_nothing_of_egress_but_the_look_at_an_address(name: str) -> None:
    source = MODULES[name].read_text()
    used = {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "egress"
    }
    assert used == {LOOKERS[name]}
    assert "from kling_platform.egress" not in source


def test_no_two_modules_import_each_other() -> None:
    for name in MODULES:
        for other in ours(name) - {name}:
            parent_and_child = name.startswith(other + ".") or other.startswith(name + ".")
            assert parent_and_child or name not in ours(other), f"{name} and {other}"


def test_the_sandbox_is_not_asked_for() -> None:
    """It is an address like any other: no production code knows whether it talks to the sandbox."""
    for name in MODULES:
        if not name.startswith("generations.omnimaas.sandbox") and name not in MAY_SPEAK:
            assert not {other for other in ours(name) if other.startswith("generations.omnimaas.sandbox")}, (
                name
            )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import generations.tasks", "generations.tasks"),
        ("from generations import tasks", "generations.tasks"),
        ("def f():\n    from generations.tasks import poll", "generations.tasks"),
        ("from . import tasks", "generations.tasks"),
        ("from .tasks import poll", "generations.tasks"),
    ],
)
def test_every_way_to_import_is_seen(source: str, expected: str) -> None:
    assert expected in imports(source, "generations.views", {"generations", "generations.tasks"})
