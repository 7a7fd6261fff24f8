"""Polls that are answered before Django's own way: as that way would, to the byte; and only the plain ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import OperationalError, close_old_connections, connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from accounts import rates
from accounts import services as accounts
from accounts.models import ApiKey, User
from generations import services
from generations.api.quick import QuickPolls
from generations.models import Generation
from tests.api import GENERATIONS, finished
from tests.makers import ask, submitted

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]

Answer = tuple[str, dict[str, str], bytes]
# What two answers to the same question need not have in common.
COUNTED = ("RateLimit", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")


class Asked:
    """The platform, with and without the quick way, and how often the quick one left it to the usual one."""

    def __init__(self) -> None:
        self.usual = WSGIHandler()
        self.quick = QuickPolls(self._count)
        self.left = 0

    def _count(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.left += 1
        return self.usual(environ, start)

    def both(self, key: str, path: str, **options: Any) -> tuple[Answer, Answer]:
        """The quick and the usual answer; what is counted is taken out, and looked at to be there."""
        return _hear(self.quick, key, path, **options), _hear(self.usual, key, path, **options)


def _hear(application: Any, key: str, path: str, method: str = "GET", **options: Any) -> Answer:
    told: list[Any] = []
    headers = {"authorization": f"Bearer {key}", "host": "testserver"} | options.pop("headers", {})
    environ = RequestFactory().generic(method, path, headers=headers, **options).environ
    body = application(environ, lambda status, heads, *_more: told.extend((status, heads)))
    text = b"".join(body)
    getattr(body, "close", lambda: None)()
    status, heads = told
    assert len({name for name, _value in heads}) == len(heads), "each header once"
    return status, {name: value for name, value in heads if name not in COUNTED}, text


@pytest.fixture
def asked() -> Asked:
    rates.calls.forget()
    return Asked()


def path_of(generation: Generation) -> str:
    return f"{GENERATIONS}/{generation.pk}"


@pytest.fixture(autouse=True)
def _the_line_stays() -> Iterator[None]:
    """Each test is a transaction, which a request would end, as Django's own client for tests knows as well."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture(autouse=True)
def _one_link_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer signs the film's address anew, and the second may turn between the two."""
    monkeypatch.setattr("generations.public.content_url", lambda pk: f"https://example.com/{pk}")


@pytest.mark.parametrize("https", [False, True])
@pytest.mark.parametrize("make", [ask, submitted, finished])
def test_it_says_what_the_usual_way_says(
    make: Callable[[User], Generation], https: bool, alice: User, alice_key: str, settings: Any
) -> None:
    if https:
        settings.SECURE_SSL_REDIRECT = settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = True
        settings.SECURE_HSTS_PRELOAD = True
        settings.SECURE_HSTS_SECONDS = 3600
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    generation = make(alice)
    services.set_tags(generation, names=["雪", "fox"])
    asked = Asked()
    quick, usual = asked.both(alice_key, path_of(generation), headers={"x-forwarded-proto": "https"})
    assert (quick[0], quick[2]) == ("200 OK", usual[2])
    assert quick[1] == usual[1]
    assert json.loads(quick[2])["tags"] == ["fox", "雪"]
    assert ("Strict-Transport-Security" in quick[1]) == https
    assert asked.left == 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"headers": {"accept-language": "zh-CN"}}, "words have a language"),
        ({"headers": {"prefer": "wait=1"}}, "it waits"),
        ({"headers": {"cookie": "language=zh-hans"}}, "a cookie chooses a language"),
        ({"query_params": {"x": "1"}}, "there is an option"),
        ({"method": "HEAD"}, "no body"),
        ({"headers": {"host": "evil.example"}}, "not a name of ours"),
        ({"headers": {"authorization": ""}}, "no key"),
        ({"headers": {"authorization": "bearer klp_x"}}, "no key of ours"),
    ],
)
def test_what_is_not_plain_goes_the_usual_way(
    options: dict[str, Any], why: str, asked: Asked, alice: User, alice_key: str
) -> None:
    quick, usual = asked.both(alice_key, path_of(finished(alice)), **options)
    assert quick == usual
    assert asked.left == 1, why


def test_http_is_sent_to_https_where_that_is_wanted(
    asked: Asked, alice: User, alice_key: str, settings: Any
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    asked = Asked()
    assert asked.both(alice_key, path_of(finished(alice)))[0][0].startswith("301")


@pytest.mark.parametrize("scheme", ["", "Basic ", "Token "])
def test_a_key_alone_is_no_authorization(scheme: str, asked: Asked, alice: User, alice_key: str) -> None:
    headers = {"authorization": scheme + alice_key}
    quick, usual = asked.both("", path_of(finished(alice)), headers=headers)
    assert quick == usual and quick[0].startswith("401")


def test_whoever_may_not_read_it_is_refused_as_usual(
    asked: Asked, alice: User, bob: User, bob_key: str
) -> None:
    film = path_of(finished(alice))
    creator = accounts.make_key(alice, label="creates only", scopes=["create"])[1]
    revoked, text = accounts.make_key(alice, label="revoked")
    ApiKey.objects.filter(pk=revoked.pk).update(revoked_at=revoked.created_at)
    for key, status in ((bob_key, "404"), (creator, "403"), (text, "401")):
        quick, usual = asked.both(key, film)
        assert quick == usual and quick[0].startswith(status)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    quick, usual = asked.both(bob_key, path_of(finished(alice)))
    assert quick == usual and quick[0].startswith("403")
    assert asked.left == 4


def test_a_failure_is_told_in_words_and_so_as_usual(asked: Asked, alice: User, alice_key: str) -> None:
    generation = ask(alice)
    services.cancel(generation, actor=alice)
    quick, usual = asked.both(alice_key, path_of(generation))
    assert quick == usual and json.loads(quick[2])["status"] == "failed"
    assert asked.left == 1


def test_it_counts_and_it_is_refused_in_the_usual_words(
    asked: Asked, alice: User, alice_key: str, settings: Any
) -> None:
    settings.API_CALLS_PER_MINUTE = 2
    film = path_of(finished(alice))
    assert [_hear(asked.quick, alice_key, film)[0][:3] for _time in range(3)] == ["200", "200", "429"]
    assert asked.left == 1


def test_a_database_that_is_away_is_the_usual_pause(
    asked: Asked, alice: User, alice_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = path_of(finished(alice))

    def away(*_asked: Any) -> None:
        raise OperationalError("terminating connection")

    monkeypatch.setattr("accounts.keys.find", away)
    monkeypatch.setattr("generations.api.quick.key_and_row", away)
    quick, usual = asked.both(alice_key, film)
    assert quick == usual and quick[0].startswith("503")


def test_it_asks_once(asked: Asked, alice: User, alice_key: str) -> None:
    film = path_of(finished(alice))
    accounts.make_key(alice, label="another")
    _hear(asked.quick, alice_key, film)  # notes the use
    with CaptureQueriesContext(connection) as seen:
        assert _hear(asked.quick, alice_key, film)[0] == "200 OK"
    assert len(seen) <= (1 if connection.vendor == "postgresql" else 3)
    assert asked.left == 0
