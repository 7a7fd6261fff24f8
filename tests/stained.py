"""A world in which every text that a person or upstream may write is markup that wants to run, and its pages."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin
from django.db import models
from django.urls import reverse
from django.utils import timezone

from accounts import services as people
from accounts.models import AuditEntry, Notice, PeopleImport, Quota, Team, User
from generations import catalogue, rulebook, services
from generations.models import (
    Alarm,
    AlarmDelivery,
    AlarmMessage,
    AlarmTarget,
    AttachWish,
    Batch,
    CatalogueVersion,
    Collection,
    Generation,
    Preset,
    ShareLink,
    Storyboard,
    Upstream,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookTry,
    Worker,
)
from tests.api import finished
from tests.conftest import person
from tests.makers import ask, claim_one, submitted

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Every payload, should it become markup, leaves an element with this attribute, whatever the policy forbids it to run.
MARK = "data-stain"
RUN = "window.stained=1"

MARKUP = (
    f"<script {MARK}>{RUN}</script>", f"<img src=x onerror={RUN} {MARK}>", f"<svg onload={RUN} {MARK}>",
    f"<svg><script {MARK}>{RUN}</script></svg>", f"<math><mi {MARK} xlink:href=javascript:{RUN}>x</math>",
    f"<iframe srcdoc='<script>parent.{RUN}</script>' {MARK}></iframe>", f"<b {MARK} onmouseover={RUN}>x",
    f"<a {MARK} href=javascript:{RUN}>x</a>",
    f"<form {MARK} action=/signout method=post><input autofocus onfocus={RUN}>",
    f"<base {MARK} href=//evil.example/>", f"<meta {MARK} http-equiv=refresh content='0;url=/nothing'>",
    f"<link {MARK} rel=stylesheet href=//evil.example/x.css>", f"<style {MARK}>*{{display:none}}</style>",
    f"<p {MARK} style=position:fixed;inset:0>x", f"<div {MARK} hx-get=/inbox hx-trigger=load>x</div>",
    f"<div {MARK} hx-on::load={RUN}>x</div>", f"<template {MARK}></template>", f"<dialog open {MARK}>x</dialog>",
    f"<details open ontoggle={RUN} {MARK}>x", f"<video {MARK}><source onerror={RUN}></video>",
    f"<object {MARK} data=javascript:{RUN}></object>", f"<noscript><p title='</noscript><img src=x {MARK}>'>",
    f"<x {MARK} contenteditable onblur={RUN} tabindex=1 autofocus>", f"<!--><img src=x {MARK}>-->",
    f"<ScRiPt\n{MARK}>{RUN}</sCrIpT>", f"<scr\0ipt {MARK}>{RUN}</script>".replace("\0", "\ufffd"),
)  # fmt: skip
# What would have to be left first: an attribute, a text, a script, a style, a comment.
LEAVING = ("", '">', "'>", "</textarea>", "</title>", "</script>", "-->", "\u2028</style>", '"}]}')
PLAIN = (
    "{{ 7|add:7 }}{% debug %}", "${7*7}#{7*7}", "javascript:alert(1)//", "&lt;img src=x&gt;&#60;b&#62;",
    "\\u003cscript\\u003e",
    "%3Cscript%3E", "');alert(1)//", '";alert(1)//', "\u202egnirts\u202c", "a\u200b" * 40,
    "👩‍👩‍👧‍👦" * 20, "مرحبا " * 12, "W" * 120,
)  # fmt: skip


def payloads(count: int, seed: int) -> list[str]:
    """So many different ones, the plain ones among them."""
    mixed = [start + markup for start, markup in itertools.product(LEAVING, MARKUP)]
    random.Random(seed).shuffle(mixed)
    return [*PLAIN, *mixed][:count] if count >= len(PLAIN) * 2 else [*mixed[: count - 3], *PLAIN[-3:]]


# --- what of the database people and upstream write -----------------------------

OURS = "written by the platform alone"
DIGEST = "computed, or random"
CHOSEN = "one of a list that the service holds it to"
# Every text column of ours: None where anybody from outside may fill it, else why nobody does.
COLUMNS: dict[str, str | None] = {
    "accounts.User": None,
    "accounts.User.password": DIGEST,
    "accounts.User.mailed_kinds": CHOSEN,
    "accounts.User.language": CHOSEN,
    "accounts.Team": None,
    "accounts.Team.models_allowed": CHOSEN,
    "accounts.SignInTry.who": DIGEST,
    "accounts.AuditEntry": None,
    "accounts.AuditEntry.action": OURS,
    "accounts.ApiKey.label": None,
    "accounts.ApiKey.lookup": DIGEST,
    "accounts.ApiKey.scopes": CHOSEN,
    "accounts.ApiKey.model_names": CHOSEN,
    "accounts.Transfer.reason": None,
    "accounts.Invitation": None,
    "accounts.Invitation.language": CHOSEN,
    "accounts.Notice.facts": None,
    "accounts.Notice.link": OURS,
    "accounts.CreditRequest": None,
    "accounts.PeopleImport": None,
    "accounts.PeopleImport.digest": DIGEST,
    "accounts.PeopleImport.language": CHOSEN,
    "accounts.PeopleImport.error": CHOSEN,
    "generations.WebhookEndpoint.name": None,
    "generations.WebhookEndpoint.url": None,
    "generations.WebhookEndpoint.events": CHOSEN,
    "generations.WebhookEndpoint.secret": DIGEST,
    "generations.WebhookEndpoint.old_secret": DIGEST,
    "generations.WebhookDelivery.event": CHOSEN,
    "generations.WebhookTry.excerpt": None,
    "generations.Alarm.kind": OURS,
    "generations.Alarm.text": None,
    "generations.AlarmTarget": None,
    "generations.AlarmTarget.kinds": CHOSEN,
    "generations.AlarmTarget.language": CHOSEN,
    "generations.AlarmMessage.kind": OURS,
    "generations.AlarmMessage.lines": None,
    "generations.AlarmDelivery.answer": None,
    "generations.CatalogueVersion.note": None,
    "generations.CatalogueVersion.version": OURS,
    "generations.CatalogueVersion.rules": CHOSEN,
    "generations.Upstream": None,
    "generations.Upstream.host": OURS,
    "generations.Upstream.key_fingerprint": DIGEST,
    "generations.Lane.name": OURS,
    "generations.Tag.name": None,
    "generations.Batch": None,
    "generations.Generation": None,
    **{f"generations.Generation.{name}": CHOSEN for name in ("model", "size", "mode", "price_version")},
    "generations.Generation.request_digest": DIGEST,
    "generations.Generation.result_url": "read by the engine, shown nowhere",
    "generations.Event": None,
    "generations.AttachWish": None,
    "generations.InputImage.url": None,
    **{f"generations.InputImage.{name}": OURS for name in ("file", "content_type", "sha256")},
    "generations.Video": OURS,
    "generations.KeptAnswer": "sent back as JSON to whom it was written for",
    "generations.Worker.host": None,
    "generations.Collection.name": None,
    "generations.Preset": None,
    "generations.Storyboard.title": None,
    **{f"generations.Storyboard.{name}": CHOSEN for name in ("model", "mode", "size")},
    **{f"generations.Storyboard.{name}": OURS for name in ("film", "film_sha256")},
    "generations.Shot.prompt": None,
    "generations.ShareLink.title": None,
    "generations.ShareLink.token_sha256": DIGEST,
    "generations.DailyUsage.model": CHOSEN,
}  # fmt: skip


def text_columns() -> Iterator[models.Field[Any, Any]]:
    """Every column of ours that holds a text, but for those with choices."""
    kinds = (models.CharField, models.TextField, models.JSONField, models.FileField)
    for app in ("accounts", "generations"):
        for model in apps.get_app_config(app).get_models():
            yield from (f for f in model._meta.local_fields if isinstance(f, kinds) and not f.choices)


def why_not(field: models.Field[Any, Any]) -> str | None:
    """Why nobody from outside writes it; None where somebody may. ``KeyError`` for a column that nobody judged."""
    model = field.model._meta.label
    own = f"{model}.{field.name}"
    return COLUMNS[own] if own in COLUMNS else COLUMNS[model]


# --- the world ------------------------------------------------------------------


def a_world() -> tuple[User, User]:
    """A member and an admin, and at least one of everything that has a text."""
    alice, boss = person("alice", credits=5_000), person("boss", role=User.Role.ADMIN)
    team = people.make_team("Film", actor=boss)
    people.add_member(team, alice, actor=boss)
    people.make_key(alice, label="key")
    people.invite("new@example.com", role="member", teams=[team], credits=5, actor=boss)
    people.ask_for_credits(alice, credits=5, reason="x")
    people.run_import(people.begin_import("user\nalice", digest="x", actor=boss).pk)
    told = ("asked", "granted", "declined", "done", "failed", "batch", "film", "halted", "webhook")
    for text in told:
        facts = dict.fromkeys(("who", "by", "reason", "answer", "prompt", "name", "title"), "x")
        Notice.objects.create(user=alice, kind="done", link="/inbox", facts={"as": text, **facts})
    _videos(alice)
    _rooms(alice)
    return alice, boss


def _videos(alice: User) -> None:
    film = finished(alice)
    submitted(alice)
    again = ask(alice, metadata={"negative_prompt": "x"})
    Generation.objects.filter(pk=again.pk).update(derived_from=film, derivation="variation")
    services.record_submitted(claim_one(), upstream_id="up-again")
    pictured = ask(alice, images=["https://example.com/a.png"])
    services.record_refused(claim_one(), code="refused", message="x", reply="x")
    doubtful = ask(alice)
    services.record_doubt(claim_one(), code="read_timeout", message="x")
    AttachWish.objects.create(generation=doubtful, upstream_id="x", reason="x", answer="x")
    services.make_link(film, actor=alice, title="x")
    services.add_tags([film, pictured], user=alice, names=["x"])
    services.collect([film], into=services.make_collection(user=alice, name="x"))
    Preset.objects.create(user=alice, name="x", text="x")
    shots = [services.Planned("x", 5), services.Planned("y", 5)]
    services.plan_storyboard(user=alice, title="x", model=film.model, shots=shots)
    lines = [services.Line(1, "line 1", {"model": film.model, "prompt": "x"})]
    batch = services.create_batch(user=alice, lines=lines, name="x")
    Batch.objects.filter(pk=batch.pk).update(refused=[{"line": 2, "code": "x", "message": "x", "param": "x"}])


def _rooms(alice: User) -> None:
    hook = WebhookEndpoint.objects.create(user=alice, url="https://example.com/", secret="whsec_x")
    delivery = WebhookDelivery.objects.create(
        endpoint=hook, event="x", status="failed", generation=Generation.objects.first()
    )
    WebhookTry.objects.create(delivery=delivery, number=1, outcome="refused", status=400, excerpt="x")
    Alarm.objects.create(kind="circuit", text="x")
    target = AlarmTarget.objects.create(
        name="x", service="webhook", url="https://example.com/", kinds=["circuit"], language="en"
    )
    message = AlarmMessage.objects.create(kind="circuit", about="begun", lines=[["x", "x", 1]])
    AlarmDelivery.objects.create(target=target, message=message, answer="x", next_try_at=timezone.now())
    CatalogueVersion.objects.create(
        version="later",
        rules=rulebook.as_data(catalogue.BUILT_IN),
        effective_from=timezone.now() + timedelta(days=9),
    )
    Upstream.objects.update(paused_at=timezone.now(), paused_reason="x")
    Worker.objects.create(host="x", pid=1)


APPEND_ONLY = ("accounts.Transfer", "accounts.AuditEntry")


def stain(text: str) -> None:
    """Write this into every column that anybody from outside may fill, cut to what the column takes."""
    for field in text_columns():
        if why_not(field) is not None or field.model._meta.label in APPEND_ONLY:
            continue
        rows = field.model._default_manager.all()
        if isinstance(field, models.JSONField):
            for row in rows:
                rows.filter(pk=row.pk).update(**{field.name: _stained(getattr(row, field.attname), text)})
        elif field.unique or _in_unique(field):
            for number, row in enumerate(rows.order_by("pk")):
                rows.filter(pk=row.pk).update(**{field.name: f"{number}{text}"[: field.max_length]})
        elif isinstance(field, models.URLField):
            rows.exclude(**{field.name: ""}).update(
                **{field.name: f"https://example.com/{text}"[: field.max_length]}
            )
        else:
            rows.update(**{field.name: text[: field.max_length]})
    # These take no change, only one line more.
    AuditEntry.objects.create(action="x", subject=text[:200], detail={"x": text, text: ["x", text]})
    alice, boss = User.objects.order_by("pk")
    people.grant(Quota.objects.get(user=alice), credits=1, reason=text[:200], actor=boss)


def _in_unique(field: models.Field[Any, Any]) -> bool:
    return any(field.name in getattr(c, "fields", ()) for c in field.model._meta.constraints)


def _stained(value: Any, text: str) -> Any:
    """The same shape with this text in every place; what names a sentence or counts stays."""
    if isinstance(value, dict):
        return {
            key: v if key in ("as", "line") else _stained(v, text) for key, v in (value or {"x": ""}).items()
        }
    if isinstance(value, list):
        return [_stained(each, text) for each in value]
    return text if isinstance(value, str) else value


def pages(alice: User, boss: User, *, admin_too: bool = False) -> dict[User, list[str]]:
    """Everywhere that a text of the world is shown, for who may look there."""
    own = [f"/g/{pk}" for pk in Generation.objects.values_list("pk", flat=True)]
    (batch,), (board,) = Batch.objects.all(), Storyboard.objects.all()
    (hook,), (team,), (shelf,) = WebhookEndpoint.objects.all(), Team.objects.all(), Collection.objects.all()
    film, link = Generation.objects.get(status="succeeded"), ShareLink.objects.get()
    return {
        alice: [
            *("/", "/?view=list", f"/?collection={shelf.pk}", "/?q=zz", "/new", f"/new?from={film.pk}"),
            *(
                *own,
                f"/compare?ids={','.join(map(str, Generation.objects.values_list('pk', flat=True)[:3]))}",
            ),
            *("/inbox", "/account", f"/account/keys/{alice.api_keys.get().pk}", "/account/webhooks"),
            *(
                f"/account/webhooks/{hook.pk}",
                "/storyboards",
                f"/storyboards/{board.pk}",
                f"/matrix/{batch.pk}",
            ),
            *("/links", f"/s/{link.token()}"),
        ],
        boss: [
            *(
                f"/manage/{name}"
                for name in ("people", "requests", "audit", "teams", "usage", "usage/videos")
            ),
            *(
                f"/manage/{name}"
                for name in ("usage/statement", "catalogue", "operations", "operations/alarms")
            ),
            f"/manage/people/imports/{PeopleImport.objects.get().pk}",
            *(f"/manage/people/{alice.pk}", f"/manage/teams/{team.pk}", "/manage/people/invite"),
            *(_admin_pages() if admin_too else ()),
        ],
    }


def _admin_pages() -> Iterator[str]:
    for model in admin.site._registry:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"admin:{name}_changelist")
        row = model._default_manager.order_by("pk").last()
        if row is not None and model._meta.app_label in ("accounts", "generations"):
            yield reverse(f"admin:{name}_change", args=[row.pk])


def look_everywhere(
    page: Page, portal: str, sign_in: Callable[[User], None], users: tuple[User, User], **which: bool
) -> list[str]:
    """What is wrong with any page of the stained world; a dialog fails at once."""
    page.set_viewport_size({"width": 390, "height": 844})
    return [
        line
        for user, paths in pages(*users, **which).items()
        for _signed_in in [sign_in(user)]
        for path in paths
        for line in look(page, portal + path)
    ]


# --- the look -------------------------------------------------------------------

WITNESS = """
  window.broken = [];
  addEventListener('securitypolicyviolation', (event) => broken.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
STATE = f"""() => ({{
  ran: window.stained === 1, elements: document.querySelectorAll('[{MARK}]').length, broken,
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  widest: [...document.querySelectorAll('main *:not(nav *)')]
    .filter((one) => one.getBoundingClientRect().right > innerWidth)
    .slice(0, 3).map((one) => `<${{one.localName}} class="${{one.className}}">`).join(' '),
}})"""


def look(page: Page, address: str) -> list[str]:
    """What is wrong with a page of the stained world: something ran or became markup, or it is too wide."""
    page.goto(address)
    state = page.evaluate(STATE)
    wrong = [f"{name}: {state[name]}" for name in ("ran", "elements", "broken") if state[name]]
    if state["wide"] > 0 and "/admin/" not in address:
        wrong.append(f"{state['wide']} px too wide: {state['widest']}")
    return [f"{address}: {line}" for line in wrong]
