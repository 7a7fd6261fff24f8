"""Every operation of ``/v1``, a line each: who may do it, and to what. ``test_api_access`` tries everybody on all."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver, resolve
from django.utils import timezone

from accounts.models import User
from generations import services
from generations.models import Batch
from tests.api import GENERATIONS, TEXT, finished
from tests.makers import ask


@dataclass(frozen=True)
class Row:
    """``path`` names in braces what it is about (see THINGS); ``body`` is one that is accepted."""

    method: str
    path: str
    scope: str
    body: Any = field(default=None, hash=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_about_something(self) -> bool:
        return "{" in self.path

    @property
    def route(self) -> str:
        return resolve(self.path.format_map(Nothing())).route


VIDEOS, BATCHES, HOOKS = "/v1/videos", "/v1/batches", "/v1/webhooks"
ROWS = [
    Row("GET", "/v1/models", "read"),
    Row("GET", "/v1/quota", "read"),
    Row("GET", GENERATIONS, "read"),
    Row("POST", GENERATIONS, "create", TEXT),
    Row("GET", GENERATIONS + "/export", "read"),
    Row("GET", GENERATIONS + "/{queued}", "read"),
    Row("PATCH", GENERATIONS + "/{queued}", "create", {"tags": ["a"]}),
    Row("DELETE", GENERATIONS + "/{ready}", "create"),
    Row("POST", GENERATIONS + "/{queued}/cancel", "create"),
    Row("POST", GENERATIONS + "/{ready}/retry", "create"),
    Row("GET", GENERATIONS + "/{ready}/content", "read"),
    Row("GET", GENERATIONS + "/{ready}/links", "read"),
    Row("POST", GENERATIONS + "/{ready}/links", "create", {"days": 1}),
    Row("DELETE", GENERATIONS + "/{ready}/links/{link}", "create"),
    Row("GET", VIDEOS, "read"),
    Row("POST", VIDEOS, "create", {"model": "kling-v2-6", "prompt": "a kite"}),
    Row("GET", VIDEOS + "/{queued}", "read"),
    Row("DELETE", VIDEOS + "/{ready}", "create"),
    Row("GET", VIDEOS + "/{ready}/content", "read"),
    Row("GET", BATCHES, "read"),
    Row("POST", BATCHES, "create", {"requests": [TEXT]}),
    Row("GET", BATCHES + "/{batch}", "read"),
    Row("POST", BATCHES + "/{batch}/cancel", "create"),
    Row("POST", BATCHES + "/{paused}/resume", "create"),
    Row("GET", HOOKS, "webhooks"),
    Row("POST", HOOKS, "webhooks", {"url": "https://example.com/hook"}),
    Row("GET", HOOKS + "/{hook}", "webhooks"),
    Row("PATCH", HOOKS + "/{hook}", "webhooks", {"name": "x"}),
    Row("DELETE", HOOKS + "/{hook}", "webhooks"),
    Row("POST", HOOKS + "/{hook}/rotate", "webhooks", {}),
    Row("POST", HOOKS + "/{hook}/test", "webhooks"),
    Row("POST", HOOKS + "/{hook}/replay", "webhooks"),
    Row("GET", HOOKS + "/{hook}/deliveries", "webhooks"),
    Row("GET", HOOKS + "/{hook}/deliveries/{delivery}", "webhooks"),
    Row("POST", HOOKS + "/{hook}/deliveries/{delivery}/replay", "webhooks"),
]


class Things(dict[str, Any]):
    """What a path is about, made for its owner when the path names it."""

    def __init__(self, owner: User) -> None:
        self.owner = owner

    def __missing__(self, name: str) -> Any:
        self[name] = THINGS[name](self.owner, self)
        return self[name]


class Nothing(dict[str, Any]):
    """Ids of nothing."""

    def __missing__(self, name: str) -> Any:
        return uuid.uuid4()


def batch(owner: User, **fields: Any) -> Batch:
    made = services.create_batch(user=owner, lines=[services.Line(1, "requests[0]", TEXT)])
    Batch.objects.filter(pk=made.pk).update(**{"name": "", **fields})
    return made


THINGS: dict[str, Callable[[User, Things], Any]] = {
    "queued": lambda owner, things: ask(owner).pk,
    "ready": lambda owner, things: finished(owner).pk,
    "link": lambda owner, things: (
        services.make_link(owner.generations.get(pk=things["ready"]), actor=owner).pk
    ),  # type: ignore[attr-defined]
    "batch": lambda owner, things: batch(owner).pk,
    "paused": lambda owner, things: batch(owner, paused_at=timezone.now()).pk,
    "hook": lambda owner, things: services.register_webhook(owner, url="https://example.com/h").pk,
    "delivery": lambda owner, things: services.send_test(owner.webhooks.get(pk=things["hook"])).pk,  # type: ignore[attr-defined]
}


def declared() -> set[tuple[str, str]]:
    """(method, route) of everything that answers below ``/v1/``; the 404 at its end aside."""
    found = set()

    def walk(patterns: list[Any], before: str) -> None:
        for pattern in patterns:
            route = before + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                walk(pattern.url_patterns, route)
            elif isinstance(pattern, URLPattern) and route.startswith("v1/") and route != "v1/":
                view = pattern.callback.cls  # type: ignore[attr-defined]
                allowed = {name.upper() for name in view.http_method_names if hasattr(view, name)}
                found.update((method, route) for method in allowed - {"HEAD", "OPTIONS"})

    walk(get_resolver().url_patterns, "")
    return found
