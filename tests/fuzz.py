"""Asks the API whatever its own schema allows, and what it forbids; each answer must be what the schema says.

Roles: a key with every scope, one that only reads, and nobody. Most ids in paths are of what is there.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hypothesis
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test.utils import override_settings
from hypothesis import HealthCheck, Phase, given, strategies
from schemathesis import checks
from schemathesis.generation import GenerationMode

from accounts import services as people
from accounts.models import SCOPES, User
from generations import services
from generations.models import Batch, Generation, WebhookDelivery, WebhookEndpoint
from tests.api import TEXT, finished
from tests.makers import ask

ROLES: dict[str, tuple[str, ...]] = {"every scope": SCOPES, "read only": ("read",), "nobody": ()}
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
THERE = 0.8  # of the ids


def fuzz(role: str, *, cases: int, seed: int) -> Counter[int]:
    """How often each status was answered; raises on the first answer that breaks the schema's word."""
    owner, headers = somebody(role)
    with one_connection(), override_settings(API_CREATES_PER_MINUTE=0, API_CALLS_PER_MINUTE=0):
        schema = schemathesis.openapi.from_wsgi("/api/schema?format=json", get_wsgi_application())
        operations = [found.ok() for found in schema.get_all_operations()]
        asked = [
            operation.as_strategy(generation_mode=mode)
            for operation in operations
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        ]
        answered: Counter[int] = Counter()
        dice = random.Random(seed)

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=cases,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategies.data())
        def ask_once(data: Any) -> None:
            case = data.draw(strategies.one_of(asked))
            for name in set(case.path_parameters) & set(PATHS):
                if dice.random() < THERE:
                    case.path_parameters[name] = str(dice.choice(PATHS[name](owner)))
            case.headers.pop("Prefer", None)  # it would wait for a video that nobody makes
            case.headers.pop("Authorization", None)
            answer = case.call(headers=headers)
            answered[answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)

        ask_once()
    return answered


@contextmanager
def one_connection() -> Iterator[None]:
    """As Django's own test client has it: a request does not close the connection of the test around it."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)


def somebody(role: str) -> tuple[User, dict[str, str]]:
    """A rich owner with something of everything, and the headers of one in this role."""
    owner = people.provision(f"fuzzed-{User.objects.count()}", credits=10**9).user
    restock(owner)
    if not ROLES[role]:
        return owner, {}
    _key, text = people.make_key(owner, label=role, scopes=ROLES[role])
    return owner, {"Authorization": f"Bearer {text}"}


def restock(owner: User) -> None:
    """Videos that are ready, one that waits, a webhook with a delivery: some are deleted on the way."""
    for _number in range(3):
        finished(owner)
    ask(owner)
    services.send_test(services.register_webhook(owner, url="https://example.com/h"))


def _generations(owner: User) -> list[Any]:
    rows = Generation.objects.owned_by(owner).newest_first()
    found = list(rows.values_list("pk", flat=True)[:20])
    return found if len(found) > 1 else [ask(owner).pk, services.cancel(ask(owner), actor=owner).pk]


def _hooks(owner: User) -> list[Any]:
    if not (found := list(WebhookEndpoint.objects.owned_by(owner).values_list("pk", flat=True))):
        services.send_test(services.register_webhook(owner, url="https://example.com/h"))
        return _hooks(owner)
    return found


def _deliveries(owner: User) -> list[Any]:
    found = WebhookDelivery.objects.filter(endpoint__user=owner).values_list("pk", flat=True)
    return list(found[:20]) or [owner.pk]


def _batches(owner: User) -> list[Any]:
    found = list(Batch.objects.filter(user=owner).order_by("-created_at").values_list("pk", flat=True)[:20])
    return found or [services.create_batch(user=owner, lines=[services.Line(1, "requests[0]", TEXT)]).pk]


PATHS: dict[str, Any] = {
    "batch_id": _batches,
    "generation_id": _generations,
    "video_id": _generations,
    "webhook_id": _hooks,
    "delivery_id": _deliveries,
}
