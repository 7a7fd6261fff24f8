"""Whatever is answered, errors included, carries the security headers; nothing personal is kept by a cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from accounts.services import make_key, set_quota
from tests.api import FILM, GENERATIONS, TEXT, Api, error, finished
from tests.makers import ask

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parent.parent
POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
}
PLAIN = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def check(answer: Any) -> None:
    """Every header, each once, and no word that opens the policy."""
    headers = dict(answer.items())
    policy = {part.strip() for part in headers.get("Content-Security-Policy", "").split(";")}
    assert policy >= POLICY, headers
    assert "unsafe" not in str(policy) and "*" not in str(policy)
    assert {name: headers.get(name) for name in PLAIN} == PLAIN
    assert "camera=()" in headers["Permissions-Policy"]
    assert "Server" not in headers and "X-Powered-By" not in headers


@pytest.fixture
def site(settings: Any, tmp_path: Path) -> Client:
    """The site with its broken addresses and one static file, seen by somebody unknown."""
    settings.ROOT_URLCONF = "tests.broken_site"
    settings.STATIC_ROOT = tmp_path / "static"
    settings.STATIC_ROOT.mkdir()
    (settings.STATIC_ROOT / "app.css").write_text("body { color: teal }")
    return Client(raise_request_exception=False)


ANONYMOUS = [
    ("/signin", 200),
    ("/", 302),
    ("/account", 302),
    ("/admin/", 302),
    ("/nothing-here", 404),
    ("/signin/", 404),
    ("/static/app.css", 200),
    ("/static/nothing.css", 404),
    ("/favicon.ico", 301),
    ("/healthz", 200),
    ("/readyz", 200),
    ("/metrics", 200),
    ("/api/schema", 200),
    ("/api/docs", 200),
    ("/api/nothing", 404),
    ("/i18n/setlang/", 302),
    ("/broken/bug", 500),
    ("/broken/away", 503),
    ("/broken/gone", 503),
    ("/broken/forbidden", 403),
    ("/broken/suspicious", 400),
    ("/v1/broken/bug", 500),
    ("/v1/broken/away", 503),
    ("/v1/broken/gone", 503),
    ("/v1/broken/forbidden", 403),
    ("/v1/broken/suspicious", 400),
    ("/v1/models", 401),
    ("/v1/nothing", 404),
    ("/v1", 404),
]


@pytest.mark.parametrize(("path", "status"), ANONYMOUS)
def test_somebody_unknown_gets_every_header(site: Client, path: str, status: int) -> None:
    answer = site.get(path)
    assert answer.status_code == status
    check(answer)


@pytest.mark.parametrize(
    "path", ["/", "/new", "/account", "/account/password", "/progress?ids=", "/g/{id}", "/g/{id}/content"]
)
def test_a_members_pages_carry_them_and_are_not_shared(site: Client, alice: User, path: str) -> None:
    site.force_login(alice)
    answer = site.get(path.format(id=finished(alice).pk))
    assert answer.status_code in (200, 286)
    check(answer)
    assert "private" in answer["Cache-Control"]
    assert "Cookie" in answer["Vary"]


@pytest.mark.parametrize("path", ["", "accounts/user/", "generations/generation/"])
def test_an_admins_pages_carry_them(site: Client, boss: User, path: str) -> None:
    site.force_login(boss)
    answer = site.get(f"/admin/{path}")
    assert answer.status_code in (200, 404)
    check(answer)


def test_a_form_from_elsewhere_gets_them(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    answer = client.post("/new", {"prompt": "x"})
    assert answer.status_code == 403
    check(answer)


@pytest.mark.parametrize("path", ["/signin", "/v1/models", "/nothing"])
def test_another_host_gets_them(site: Client, path: str) -> None:
    answer = site.get(path, headers={"host": "evil.example"})
    assert answer.status_code == 400
    check(answer)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE"])
def test_odd_methods_get_them(site: Client, method: str) -> None:
    for path in ("/signin", "/healthz", "/static/app.css", "/v1/nothing"):
        check(site.generic(method, path))


def test_every_refusal_of_the_api_carries_them(site: Client, alice: User, alice_key: str) -> None:
    api = Api(alice_key)
    queued, canceled = ask(alice), api.create().json()["id"]
    api.post(f"{GENERATIONS}/{canceled}/cancel")
    _key, reader = make_key(alice, label="reader", scopes=("read",))
    seen = {
        200: api.get(GENERATIONS),
        400: api.create(duration=7),
        401: Api().get(GENERATIONS),
        403: Api(reader).create(),
        404: api.get(f"{GENERATIONS}/{alice.pk}"),
        405: api.send("PUT", "/v1/quota"),
        409: api.get(f"{GENERATIONS}/{queued.pk}/content"),
        413: api.post(GENERATIONS, b" " * (32 * 1024 * 1024 + 1)),
        415: api.post(GENERATIONS, TEXT, content_type="text/plain"),
    }
    set_quota(alice, credits=0)
    seen[402] = api.create()
    for status, answer in seen.items():
        assert answer.status_code == status
        check(answer)
        assert answer["Cache-Control"] == "private, no-store"
        assert "Authorization" in answer["Vary"]
        if status != 200:
            error(answer)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"range": "bytes=0-9"}, 206),
        ({"range": "bytes=9999999-"}, 416),
        ({"if-none-match": '"' + "a" * 64 + '"'}, 304),
    ],
)
def test_the_bytes_carry_them(
    site: Client, alice: User, alice_key: str, headers: dict[str, str], status: int
) -> None:
    answer = Api(alice_key).get(f"{GENERATIONS}/{finished(alice).pk}/content", headers=headers)
    assert answer.status_code == status
    check(answer)
    assert "private" in answer["Cache-Control"]
    assert FILM


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing", "/v1/models/"])
def test_a_wrong_address_of_the_api_is_told_in_json(site: Client, path: str) -> None:
    assert error(site.get(path))["type"] == "not_found_error"


@pytest.mark.parametrize("kind", ["bug", "away", "gone", "forbidden", "suspicious"])
def test_the_api_breaks_in_its_own_words(site: Client, kind: str) -> None:
    answer = site.get(f"/v1/broken/{kind}")
    refusal = error(answer)
    assert answer["Content-Type"] == "application/json"
    assert "a bug" not in refusal["message"] and "shutting down" not in refusal["message"]
    if answer.status_code == 503:
        assert answer["Retry-After"].isdigit()
        assert (refusal["type"], refusal["code"]) == ("server_error", "unavailable")


def test_the_api_passes_by_what_is_for_pages(site: Client, alice: User, alice_key: str) -> None:
    """No session is looked at, and so no cookie counts; languages and sizes are told as everywhere."""
    site.force_login(alice)
    page = site.get("/account")
    answer = site.get("/v1/models", headers={"authorization": f"Bearer {alice_key}"})
    assert (page.status_code, answer.status_code) == (200, 200)
    assert hasattr(page.wsgi_request, "session") and hasattr(page.wsgi_request, "user")
    assert not hasattr(answer.wsgi_request, "session") and not hasattr(answer.wsgi_request, "htmx")
    assert answer["Content-Length"] == str(len(answer.content))
    chinese = site.get("/v1/nothing", headers={"accept-language": "zh-hans"})
    assert chinese["Content-Language"] == "zh-hans" and "Accept-Language" in chinese["Vary"]
    assert "地址" in error(chinese)["message"]


def test_static_files_may_be_kept_by_caches(site: Client) -> None:
    answer = site.get("/static/app.css")
    assert "private" not in answer.get("Cache-Control", "")
    assert "Cookie" not in answer.get("Vary", "")


# --- behind https -------------------------------------------------------------------


@pytest.fixture
def https(settings: Any) -> None:
    """What a PUBLIC_URL with https switches on."""
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_HSTS_SECONDS = 365 * 24 * 3600
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = settings.SECURE_HSTS_PRELOAD = True


def test_the_way_to_https_carries_them(https: None, site: Client) -> None:
    answer = site.get("/signin")
    assert (answer.status_code, answer["Location"]) == (301, "https://testserver/signin")
    check(answer)


def test_https_is_remembered(https: None, site: Client) -> None:
    for path in ("/signin", "/v1/models", "/static/app.css", "/broken/bug", "/nothing"):
        answer = site.get(path, headers={"x-forwarded-proto": "https"})
        check(answer)
        assert answer["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload", path


def test_a_strange_host_over_http_gets_them_too(https: None, site: Client) -> None:
    answer = site.get("/signin", headers={"host": "evil.example"})
    assert answer.status_code == 400
    check(answer)


def test_djangos_own_deployment_check_is_clean(tmp_path: Path) -> None:
    environment = {
        **{
            name: value for name, value in os.environ.items() if name not in ("KLING_TESTING", "DATABASE_URL")
        },
        "SECRET_KEY": "a-key-of-fifty-random-characters-would-stand-here-0123456789",
        "DEBUG": "0",
        "PUBLIC_URL": "https://kling.example.com",
        "OMNIMAAS_API_KEY": "only-for-this-check",
        "VAR_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout
