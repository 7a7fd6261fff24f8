"""Each operation is asked for whatever it can answer: the schema names every status and header, and no other."""

from __future__ import annotations

import json
import re
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import OperationalError, connection
from django.test import override_settings
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator

from accounts import rates
from accounts.models import SCOPES, ApiKey, User
from accounts.services import make_key, set_quota
from generations import services
from generations.links import content_url
from generations.models import Generation
from generations.services import forecasts, forget_rules
from kling_platform.documents import headers_of
from tests.api import GENERATIONS, TEXT, Api, finished
from tests.api_table import BATCHES, HOOKS, ROWS, VIDEOS, Row, Things, batch
from tests.makers import ask, submitted

pytestmark = pytest.mark.django_db

# What HTTP itself, the browser's safety (see test_headers) and caches are told; OpenAPI has no words for these.
EVERYWHERE = {
    "Allow",
    "Cache-Control",
    "Content-Language",
    "Content-Length",
    "Content-Security-Policy",
    "Content-Type",
    "Cross-Origin-Opener-Policy",
    "Cross-Origin-Resource-Policy",
    "Permissions-Policy",
    "Referrer-Policy",
    "Vary",
    "X-Content-Type-Options",
    "X-Frame-Options",
}
Seen = dict[str, dict[str, set[str]]]  # the headers (in small letters) of each status of each operation


def test_every_status_and_header_that_is_answered_is_declared_and_the_reverse(
    alice: User, bob: User, settings: Any
) -> None:
    declared, seen = said_by_the_schema(), heard(alice, bob, settings)
    shared = {name.lower() for status in (*"45", "401", "429", "404") for name in headers_of(status)}
    wrong = []
    for operation, statuses in declared.items():
        answered = seen[operation]
        wrong += [f"{operation}: {status} is not declared" for status in set(answered) - set(statuses)]
        wrong += [f"{operation}: nothing answers {status}" for status in set(statuses) - set(answered)]
        for status in set(answered) & set(statuses):
            extra = answered[status] - statuses[status]
            wrong += [f"{operation}: {status} has {name}, which is not declared" for name in extra]
            unheard = statuses[status] - answered[status] - shared
            wrong += [f"{operation}: no {status} has {name}" for name in unheard]
    everything = [answered for statuses in seen.values() for answered in statuses.items()]
    for status in {status for status, _names in everything}:
        ever = set().union(*(names for other, names in everything if other == status))
        missing = {name.lower() for name in headers_of(status)} - ever
        wrong += [f"no {status} at all has {name}" for name in missing]
    assert not wrong, "\n".join(sorted(wrong))


def said_by_the_schema() -> Seen:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    return {
        f"{method.upper()} {path}": {
            status: {name.lower() for name in answer.get("headers", {})}
            for status, answer in operation["responses"].items()
        }
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
        if path.startswith("/v1/")
    }


def heard(alice: User, bob: User, settings: Any) -> Seen:
    settings.MAX_BODY_BYTES = 4_000
    seen: Seen = defaultdict(lambda: defaultdict(set))
    stage = Stage(alice, bob)
    for row, path in stage.paths.items():
        path_declared = re.sub(r"<uuid:([a-z_]+)>", r"{\1}", row.route)
        operation = f"{row.method} /{path_declared}"
        own = OWN.get(str(row), lambda stage: ())
        for answer in [*own(stage), *stage.common(row, path)]:
            names = {name.lower() for name in answer.headers} - {name.lower() for name in EVERYWHERE}
            seen[operation][str(answer.status_code)] |= names
            b"".join(answer)
    return seen


class Stage:
    """An owner with something in every state; a stranger; and what is wrong with any call."""

    def __init__(self, owner: User, stranger: User) -> None:
        self.owner, self.api = owner, Api(make_key(owner, label="all")[1])
        self.stranger = Api(make_key(stranger, label="all")[1])
        self.keys = {scope: Api(make_key(owner, label=scope, scopes=(scope,))[1]) for scope in SCOPES}
        narrow, text = make_key(owner, label="narrow")
        ApiKey.objects.filter(pk=narrow.pk).update(model_names=["kling-v2-6"])
        self.narrow = Api(text)
        # What is ready is made while nothing waits; each row has things of its own, for some delete them.
        rows = sorted(ROWS, key=lambda row: "{ready}" not in row.path)
        self.ready, self.running = finished(owner), submitted(owner)
        shared = Things(owner)  # a user has ten webhooks at most
        self.paths = {
            row: row.path.format_map(
                shared if "{hook}" in row.path and row.method != "DELETE" else Things(owner)
            )
            for row in rows
        }
        self.queued, self.over = ask(owner), batch(owner)
        services.cancel_batch(self.over, actor=owner)
        self.hook = services.register_webhook(owner, url="https://example.com/stopped")
        self.delivery = services.send_test(self.hook)
        services.pause_webhook(self.hook)

    def common(self, row: Row, path: str) -> Iterator[Any]:
        data = b"" if row.body is None else json.dumps(row.body).encode()

        def send(api: Api, *, body: bytes = data, kind: str = "application/json") -> Any:
            return api.send(row.method, path, data=body, content_type=kind)

        yield send(Api())
        yield send(next(api for scope, api in self.keys.items() if scope != row.scope))
        with self.too_often():
            yield send(self.api)
        with away():
            yield send(self.api)
        if "{" in row.path:
            yield send(self.stranger)
        if row.body is not None:
            yield send(self.api, body=b"[")
            yield send(self.api, kind="text/plain")
            yield send(self.api, body=b" " * 5_000)
        yield send(self.api)

    @contextmanager
    def too_often(self) -> Iterator[None]:
        """Every call is one too many."""
        with override_settings(API_CREATES_PER_MINUTE=1, API_CALLS_PER_MINUTE=1):
            ahead = timezone.now().timestamp() + 3_600
            ApiKey.objects.update(creates_whole_at=int(ahead * 1_000_000))
            rates.calls = rates.Memory()
            self.api.get("/v1/models")
            yield
        ApiKey.objects.update(creates_whole_at=0)
        rates.calls = rates.Memory()

    @contextmanager
    def poor(self) -> Iterator[None]:
        set_quota(self.owner, credits=0)
        yield
        set_quota(self.owner, credits=1_000)


@contextmanager
def away() -> Iterator[None]:
    """The database goes away just after it was asked for the key."""

    def fail(execute: Any, sql: str, *rest: Any) -> Any:
        if "SAVEPOINT" in sql or ("accounts_apikey" in sql and "generations_generation" not in sql):
            return execute(sql, *rest)
        raise OperationalError("the database system is shutting down")

    forget_rules()
    forecasts.forget()
    with connection.execute_wrapper(fail):
        yield


def lists(path: str, param: str = "limit") -> Callable[[Stage], Iterator[Any]]:
    def answers(stage: Stage) -> Iterator[Any]:
        yield stage.api.get(f"{path}?{param}=x")
        yield stage.api.get(f"{path}?after={uuid.uuid4()}")

    return answers


def creates(path: str, body: Any, *also: tuple[str, Any]) -> Callable[[Stage], Iterator[Any]]:
    """Refused for want of credits, made, answered again, and refused under the name of another call."""

    def answers(stage: Stage) -> Iterator[Any]:
        to = path.format(ready=stage.ready.pk)
        key = {"idempotency-key": path}
        yield stage.api.post(to, body, headers={"idempotency-key": "a b"})
        with stage.poor():
            yield stage.api.post(to, body)
        yield stage.narrow.post(to, body)
        made = stage.api.post(to, body, headers=key)
        yield made
        yield stage.api.post(to, body, headers=key)
        if rows := Generation.objects.filter(pk=made.json()["id"]):
            services.cancel(rows[0], actor=stage.owner)
            yield stage.api.post(to, body, headers=key | {"prefer": "wait=1"})
        yield stage.api.post(
            GENERATIONS, TEXT | {"prompt": "x"}, headers=key | {"idempotency-key": f"{path}2"}
        )
        yield stage.api.post(to, body, headers={"idempotency-key": f"{path}2"})

    return answers


def files(path: str, *more: str) -> Callable[[Stage], Iterator[Any]]:
    def answers(stage: Stage) -> Iterator[Any]:
        to = path.format(ready=stage.ready.pk)
        whole = stage.api.get(to)
        asked = {
            "range": "bytes=0-9",
            "if-none-match": whole["ETag"],
            "if-match": '"another"',
        }
        yield from (stage.api.get(to, headers={name: value}) for name, value in asked.items())
        yield stage.api.get(to, headers={"range": "bytes=999999-"})
        yield stage.api.get(path.format(ready=stage.queued.pk))
        yield from (stage.api.get(to + query) for query in more)

    return answers


def reads(path: str) -> Callable[[Stage], Iterator[Any]]:
    def answers(stage: Stage) -> Iterator[Any]:
        yield stage.api.get(f"{path}/{stage.queued.pk}")
        yield stage.api.get(f"{path}/{stage.ready.pk}", headers={"prefer": "wait=1"})

    return answers


def linked(stage: Stage) -> Iterator[Any]:
    address = urlsplit(content_url(stage.ready.pk))
    yield Api().get(f"{address.path}?{address.query}")


def too_many_hooks(stage: Stage) -> Iterator[Any]:
    made = [
        services.register_webhook(stage.owner, url="https://example.com/h")
        for _number in range(10 - stage.owner.webhooks.count())
    ]
    yield stage.api.post(HOOKS, {"url": "https://example.com/h"})
    for endpoint in made:
        services.remove_webhook(endpoint)


def somebody_else_rotates(stage: Stage) -> Iterator[Any]:
    """Between the look and the change of this call."""

    def meanwhile(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("UPDATE") and "generations_webhookendpoint" in sql:
            with connection.cursor() as cursor:
                cursor.cursor.execute("UPDATE generations_webhookendpoint SET secret = 'whsec_another'")
        return execute(sql, *rest)

    with connection.execute_wrapper(meanwhile):
        yield stage.api.post(f"{HOOKS}/{stage.hook.pk}/rotate", {})


def sent(method: str, path: str) -> Callable[[Stage], Iterator[Any]]:
    """One call more, about what the stage has; its body is an empty object."""

    def answers(stage: Stage) -> Iterator[Any]:
        to = path.format(**{name: thing.pk for name, thing in vars(stage).items() if hasattr(thing, "pk")})
        yield stage.api.send(method, to, data=b"{}", content_type="application/json")

    return answers


def all_of(*parts: Callable[[Stage], Iterator[Any]]) -> Callable[[Stage], Iterator[Any]]:
    return lambda stage: chain.from_iterable(part(stage) for part in parts)


ONE = GENERATIONS + "/{queued}"
OWN: dict[str, Callable[[Stage], Iterator[Any]]] = {
    f"GET {GENERATIONS}": lists(GENERATIONS),
    f"GET {GENERATIONS}/export": lists(f"{GENERATIONS}/export", "format"),
    f"POST {GENERATIONS}": creates(GENERATIONS, TEXT),
    f"GET {ONE}": reads(GENERATIONS),
    f"DELETE {GENERATIONS}/{{ready}}": sent("DELETE", GENERATIONS + "/{running}"),
    f"POST {ONE}/cancel": sent("POST", GENERATIONS + "/{ready}/cancel"),
    f"POST {GENERATIONS}/{{ready}}/retry": creates(GENERATIONS + "/{ready}/retry", None),
    f"GET {GENERATIONS}/{{ready}}/content": all_of(files(GENERATIONS + "/{ready}/content"), linked),
    f"POST {GENERATIONS}/{{ready}}/links": sent("POST", GENERATIONS + "/{running}/links"),
    f"GET {VIDEOS}": lists(VIDEOS),
    f"POST {VIDEOS}": creates(VIDEOS, TEXT),
    f"GET {VIDEOS}/{{queued}}": reads(VIDEOS),
    f"DELETE {VIDEOS}/{{ready}}": sent("DELETE", VIDEOS + "/{running}"),
    f"GET {VIDEOS}/{{ready}}/content": all_of(
        files(VIDEOS + "/{ready}/content"),
        sent("GET", VIDEOS + "/{ready}/content?variant=thumbnail"),
        sent("GET", VIDEOS + "/{ready}/content?variant=x"),
    ),
    f"GET {BATCHES}": lists(BATCHES),
    f"POST {BATCHES}": creates(BATCHES, {"requests": [TEXT]}),
    f"POST {BATCHES}/{{batch}}/cancel": sent("POST", BATCHES + "/{over}/cancel"),
    f"POST {BATCHES}/{{paused}}/resume": sent("POST", BATCHES + "/{over}/resume"),
    f"POST {HOOKS}": too_many_hooks,
    f"POST {HOOKS}/{{hook}}/rotate": somebody_else_rotates,
    f"POST {HOOKS}/{{hook}}/test": sent("POST", HOOKS + "/{hook}/test"),
    f"POST {HOOKS}/{{hook}}/replay": sent("POST", HOOKS + "/{hook}/replay"),
    f"GET {HOOKS}/{{hook}}/deliveries": sent("GET", HOOKS + "/{hook}/deliveries?limit=x"),
    f"POST {HOOKS}/{{hook}}/deliveries/{{delivery}}/replay": sent(
        "POST", HOOKS + "/{hook}/deliveries/{delivery}/replay"
    ),
}
