"""40 secrets through every door, through worker and errors: none is heard where it does not belong."""

from __future__ import annotations

import json
import logging
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core import mail
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.module_loading import import_string

from accounts import keys
from accounts import services as people
from accounts.models import SCOPES, ApiKey, User
from generations import links, services
from generations.models import Event, Generation, Status, WebhookEndpoint
from tests import scripted
from tests.api import GENERATIONS, TEXT, finished
from tests.canaries import Cage, Caller
from tests.conftest import run_queued
from tests.makers import ask
from tests.receivers import Listen
from tests.scripted import Scripted, answer

ROOT = Path(__file__).parent.parent
LONG = "correct horse battery staple "


def odd() -> str:
    return secrets.token_hex(12)


@pytest.fixture
def cage() -> Cage:
    return Cage()


@pytest.mark.django_db
def test_no_secret_is_heard_where_it_does_not_belong(
    cage: Cage, upstream: Scripted, listen: Listen, settings: Any, caplog: Any, capfd: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    settings.ROOT_URLCONF = "tests.broken_site"
    settings.SECRET_KEY = cage.keep("SECRET_KEY", odd() + odd())
    settings.METRICS_TOKEN = cage.keep("METRICS_TOKEN", odd())
    settings.EMAIL_HOST_PASSWORD = cage.keep("SMTP password", odd())
    owner, member, texts = people_and_keys(cage)
    programs(cage, owner, texts)
    pages(cage, member)
    webhooks(cage, owner, listen)
    worker(cage, owner, upstream)
    errors(cage, texts["key"])

    for session in Session.objects.all():
        cage.secrets.setdefault(f"session {session.pk[:4]}", session.pk)
    for message in mail.outbox:
        cage.listen("an e-mail", message.message().as_bytes())
    written = capfd.readouterr()
    cage.listen("the log", "\n".join([caplog.text, written.out, written.err]))
    cage.database(BELONGS | {"django_session.session_key": tuple(n for n in cage.secrets if "session" in n)})
    assert len(cage.secrets) >= 40, len(cage.secrets)
    assert cage.answers > 80
    assert not cage.heard, "\n".join(sorted(set(cage.heard)))


# Where a secret is kept because it is needed again: what we sign webhooks with.
BELONGS = {
    "generations_webhookendpoint.secret": (
        "webhook secret",
        "second webhook secret",
        "renewed webhook secret",
    ),
    "generations_webhookendpoint.old_secret": ("second webhook secret",),
}


def people_and_keys(cage: Cage) -> tuple[User, Caller, dict[str, str]]:
    """Alice with keys of every kind, each given to the cage; and her browser, signed in by her password."""
    password = cage.keep("password", LONG + odd())
    owner = people.provision("alice", password=password, email="alice@example.com", credits=10_000).user
    texts = {}
    for name, scopes in (("key", SCOPES), ("reading key", ("read",)), ("creating key", ("create",))):
        texts[name] = cage.keep(name, people.make_key(owner, label=name, scopes=scopes)[1])
    revoked, text = people.make_key(owner, label="revoked")
    texts["revoked key"] = cage.keep("revoked key", text)
    people.revoke_key(owner, revoked.pk)
    renewed, text = people.make_key(owner, label="renewed")
    texts["old key"] = cage.keep("old key", text)
    texts["renewed key"] = cage.keep("renewed key", people.rotate_key(owner, renewed.pk, overlap_hours=1)[1])
    limits = people.Limits(expires_at=timezone.now() + timedelta(seconds=1))
    ended, text = people.make_key(owner, label="ended", limits=limits)
    texts["ended key"] = cage.keep("ended key", text)
    ApiKey.objects.filter(pk=ended.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    texts["forged key"] = cage.keep("forged key", keys.make().text)
    texts["mistyped key"] = cage.keep("mistyped key", keys.make().text[:-2] + "!!")
    texts["gateway's key"] = cage.keep("gateway's key", "sk-" + odd())
    browser = cage.caller()
    for name in ("wrong password", "password as a name"):
        cage.keep(name, LONG + odd())
    browser.post("/signin", {"username": "alice", "password": cage.secrets["wrong password"]})
    browser.may_hear = ("password as a name",)  # whoever typed it sees it in the field again
    browser.post("/signin", {"username": cage.secrets["password as a name"], "password": odd()})
    browser.may_hear = ()
    browser.post("/signin", {"username": "alice", "password": password})
    cage.keep("session", browser.cookies["sessionid"].value)
    return owner, browser, texts


MISPLACED = ("query", "path", "cookie", "basic", "header", "client name")


def programs(cage: Cage, owner: User, texts: dict[str, str]) -> None:
    """Every key in the header, and where a key should never be: path, query, body, other headers, cookies."""
    video, program = finished(owner), cage.caller()
    for text in texts.values():
        bearer = {"authorization": f"Bearer {text}"}
        for path in (GENERATIONS, f"{GENERATIONS}/{video.pk}/content", "/v1/quota", "/v1/videos"):
            program.get(path, headers=bearer)
        program.post(GENERATIONS, b"{not json", content_type="application/json", headers=bearer)
        program.post(GENERATIONS, json.dumps(TEXT), content_type="application/json", headers=bearer)
        program.get(f"{GENERATIONS}/export?format=jsonl", headers=bearer)
        program.get(f"{GENERATIONS}/export", headers=bearer)
    for name in MISPLACED:
        cage.keep(f"key in a {name}", keys.make().text)
    lost = {name: cage.secrets[f"key in a {name}"] for name in MISPLACED}
    program.get(f"/v1/models?api_key={lost['query']}")
    program.get(f"{GENERATIONS}?key={lost['query']}", headers={"authorization": f"Bearer {texts['key']}"})
    program.get(f"/v1/{lost['path']}")
    program.get(f"/{lost['path']}")
    program.cookies["key"] = lost["cookie"]
    program.get("/v1/models")
    program.get("/account")
    program.get("/v1/models", headers={"authorization": f"Basic {lost['basic']}"})
    program.get(
        "/v1/models", headers={"x-api-key": lost["header"], "referer": f"https://x/?{lost['header']}"}
    )
    program.get("/v1/models", headers={"user-agent": f"render/{lost['client name']}"})
    query = links.content_url(video.pk).rpartition("?")[2]
    cage.keep("signature of a link", query.rpartition("sig=")[2])
    program.get(f"{GENERATIONS}/{video.pk}/content?{query}")
    share_links(cage, program, video, texts["key"])
    cage.keep("forged signature", odd() + odd())
    program.get(
        f"{GENERATIONS}/{video.pk}/content?expires=99999999999&sig={cage.secrets['forged signature']}"
    )


def share_links(cage: Cage, program: Caller, video: Generation, key: str) -> None:
    """Tokens of links for people outside, living, revoked and forged: shown to the owner and whoever follows them."""
    links_to, bearer = f"{GENERATIONS}/{video.pk}/links", {"authorization": f"Bearer {key}"}
    names = ("token of a link", "token of a revoked link")
    made = [services.make_link(video, actor=video.user, title=name) for name in names]
    tokens = [cage.keep(name, link.token()) for name, link in zip(names, made, strict=True)]
    services.revoke_link(made[1], actor=video.user)
    tokens.append(cage.keep("forged token", odd() + odd()))
    outside = cage.caller()
    outside.may_hear = (*names, "forged token")
    for token in tokens:
        for path in (
            f"/s/{token}",
            f"/s/{token}/video",
            f"/s/{token}/video?download=1",
            f"/s/{token}/poster",
        ):
            outside.get(path)
    program.may_hear = names[:1]
    program.get(links_to, headers=bearer)
    program.may_hear = ()
    program.get(f"{GENERATIONS}/{tokens[0]}", headers=bearer)
    program.delete(f"{links_to}/{made[0].pk}", headers=bearer)


def pages(cage: Cage, member: Caller) -> None:
    """The portal and the admin, with passwords and keys typed into them."""
    new = cage.keep("new password", LONG + odd())
    typed = cage.keep("old password, mistyped", LONG + odd())
    weak = cage.keep("password that was not repeated", LONG + odd())
    for old, first, second in ((typed, new, new), (cage.secrets["password"], weak, new)):
        member.post(
            "/account/password", {"old_password": old, "new_password1": first, "new_password2": second}
        )
    old = cage.secrets["password"]
    member.post("/account/password", {"old_password": old, "new_password1": new, "new_password2": new})
    cage.keep("session after it", member.cookies["sessionid"].value)
    for path in ("/", "/new", "/account", "/account/keys/new", "/account/webhooks", "/nothing"):
        member.get(path)
    admin_password = cage.keep("admin's password", LONG + odd())
    people.provision("boss", password=admin_password, role="admin")
    admin = cage.caller()
    admin.post("/admin/login/", {"username": "boss", "password": admin_password + "x"})
    admin.post("/signin", {"username": "boss", "password": admin_password})
    cage.keep("admin's session", admin.cookies["sessionid"].value)
    made = cage.keep("password made by an admin", LONG + odd())
    admin.post(
        "/admin/accounts/user/add/",
        {
            "username": "carol",
            "password1": made,
            "password2": made,
            "role": "member",
            "credits": 5,
            "period": "day",
        },
    )
    for path in ("accounts/user/", "accounts/apikey/", "accounts/auditentry/", "generations/generation/"):
        admin.get(f"/admin/{path}")
    for key in User.objects.get(username="alice").api_keys.all():
        admin.get(f"/admin/accounts/apikey/{key.pk}/change/")
    for generation in Generation.objects.all()[:3]:
        admin.get(f"/admin/generations/generation/{generation.pk}/change/")


def webhooks(cage: Cage, owner: User, listen: Listen) -> None:
    """Receivers that say back what they were sent, in their answer and in a refusal."""
    server = listen(owner, lambda heard: (500, f"no: {heard.headers} {heard.body!r}".encode()))
    cage.keep("webhook secret", server.secrets[0])
    second = services.register_webhook(owner, url="https://hooks.example.com/x")
    cage.keep("second webhook secret", second.secret)
    cage.keep("renewed webhook secret", services.rotate_webhook(second, keep_old=True).secret)
    server.behave = lambda heard: (500, f"secret was {cage.secrets['webhook secret']}".encode())
    endpoint = WebhookEndpoint.objects.exclude(pk=second.pk).get()
    services.send_test(endpoint)
    run_queued(time.monotonic() + 30)
    for number, heard in enumerate(server.heard):
        cage.keep(f"webhook signature {number}", heard.headers["webhook-signature"])
    assert server.heard


@pytest.fixture
def upstream(settings: Any, cage: Cage) -> Iterator[Scripted]:
    """A gateway that says our key back in every way it can; it refuses, until told to do otherwise."""
    settings.OMNIMAAS_API_KEY = cage.keep("upstream key", "sk-" + odd())
    with scripted.serve(answer(400, says(settings.OMNIMAAS_API_KEY))) as server:
        settings.OMNIMAAS_BASE_URL = server.url
        yield server


def says(key: str) -> dict[str, Any]:
    text = f"invalid token {key}; Authorization: Bearer {key}"
    return {
        "error": {"message": text, "code": key, "type": key},
        "status": "failed",
        "fail_reason": text,
        "id": key,
    }


def worker(cage: Cage, owner: User, upstream: Scripted) -> None:
    """What is refused, made and then failed, in doubt, each with our key in what upstream said."""
    key = cage.secrets["upstream key"]
    request_id = {"X_Oneapi_Request_Id": key}
    for play in (
        answer(400, says(key), **request_id),
        answer(200, {"id": "up-1", "status": "processing", "message": key}, **request_id),
        answer(500, f"<html>Bearer {key}</html>".encode(), **request_id),
    ):
        upstream.answers[:] = [play]
        ask(owner)
        run_queued(time.monotonic() + 30)
    upstream.answers[:] = [answer(200, says(key) | {"id": "up-1"})]
    running, deadline = Generation.objects.filter(status=Status.RUNNING), time.monotonic() + 30
    while running.update(next_check_at=Now()) and time.monotonic() < deadline:
        import_string("generations.tasks.poll")(seconds=0.01)
        run_queued(deadline)
    ends = set(Generation.objects.values_list("status", flat=True))
    assert ends >= {Status.FAILED, Status.UNKNOWN} and Status.RUNNING not in ends, ends
    kept = str([*Generation.objects.values_list("upstream_reply"), *Event.objects.values_list("detail")])
    assert kept.count("[key]") > 3, "what it said is kept, but for the key"


def errors(cage: Cage, key: str) -> None:
    """Bugs and a lost database, met by whoever carries a secret in every place."""
    caller = cage.caller()
    session = cage.keep("session of nobody", odd() + odd())
    caller.cookies["sessionid"] = session
    for kind in ("bug", "away", "gone", "forbidden", "suspicious"):
        for path in (f"/broken/{kind}", f"/v1/broken/{kind}"):
            caller.get(
                f"{path}?api_key={cage.secrets['key in a query']}", headers={"authorization": f"Bearer {key}"}
            )
            caller.post(
                path, {"password": cage.secrets["password"], "secret": cage.secrets["webhook secret"]}
            )
    token = cage.secrets["METRICS_TOKEN"]
    for headers in ({}, {"authorization": f"Bearer {token}"}, {"authorization": f"Bearer {token}x"}):
        caller.get("/metrics", headers=headers)
    for path in ("/healthz", "/readyz", "/api/schema", "/api/docs"):
        caller.get(path, headers={"authorization": f"Bearer {key}"})


BAD_STARTS = {
    "a database that does not answer": (
        {"DATABASE_URL": "postgresql://kling:{secret}@127.0.0.1:1/kling"},
        ["verify"],
    ),
    "a password with a slash": ({"DATABASE_URL": "postgresql://kling:{secret}/x@db/kling"}, ["check"]),
    "another kind of database": ({"DATABASE_URL": "mysql://kling:{secret}@db/kling"}, ["check"]),
    "a mail address that is none": ({"EMAIL_URL": "imap://kling:{secret}@mail"}, ["check"]),
    "a mail password with a slash": ({"EMAIL_URL": "smtp://kling:{secret}/x@mail"}, ["check"]),
    "a gateway with a password": ({"OMNIMAAS_BASE_URL": "https://kling:{secret}@gateway"}, ["check"]),
    "a public address with a password": ({"PUBLIC_URL": "https://kling:{secret}@kling"}, ["check"]),
    "the rest": (
        {"OMNIMAAS_API_KEY": "{secret}", "METRICS_TOKEN": "{secret}", "SECRET_KEY": "{secret}"},
        ["check"],
    ),
}


@pytest.mark.parametrize("kind", BAD_STARTS)
def test_no_secret_of_a_setting_is_heard_at_the_start(cage: Cage, kind: str, tmp_path: Path) -> None:
    told, command = BAD_STARTS[kind]
    secret = cage.keep("secret", odd())
    given = {name: value.format(secret=secret) for name, value in told.items()}
    environment = {**os.environ, "VAR_DIR": str(tmp_path), "SECRET_KEY": "x" * 60, **given}
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    cage.listen("what the start says", done.stdout + done.stderr)
    assert not cage.heard, done.stdout + done.stderr
    assert done.returncode or kind == "the rest"
