"""The portal's pages about webhooks, over HTTP."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client

from accounts.models import User
from generations import services
from generations.models import WebhookDelivery, WebhookEndpoint
from tests.receivers import Listen, canceled, move_on, work_off

pytestmark = pytest.mark.django_db

PAGE = "/account/webhooks"
URL = "https://example.com/hook"
EVENTS = ["generation.succeeded", "generation.failed", "generation.canceled"]
VERBS = ["/rotate", "/test", "/pause", "/resume", "/remove", "/replay", "/deliveries/{delivery}/replay"]


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text(answer: Any) -> str:
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def registered(user: User, **options: Any) -> WebhookEndpoint:
    return services.register_webhook(user, url=URL, **options)


def test_a_page_asks_who_you_are(client: Client, alice: User) -> None:
    for path in (PAGE, f"{PAGE}/{registered(alice).pk}"):
        assert client.get(path)["Location"] == f"/signin?next={path}"


def test_the_account_page_leads_here(alice: User) -> None:
    assert f'href="{PAGE}"' in text(signed_in(alice).get("/account"))


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_a_stranger_finds_nothing_and_changes_nothing(alice: User, boss: User, verb: str) -> None:
    endpoint = registered(alice)
    path = f"{PAGE}/{endpoint.pk}{verb.format(delivery=services.send_test(endpoint).pk)}"
    before = list(WebhookEndpoint.objects.values()), list(WebhookDelivery.objects.values())
    client = signed_in(boss)  # not even an admin
    assert client.post(path, {"url": "https://evil.example/", "events": EVENTS}).status_code == 404
    assert client.get(f"{PAGE}/{endpoint.pk}").status_code == 404
    assert str(endpoint.pk) not in text(client.get(PAGE))
    assert (list(WebhookEndpoint.objects.values()), list(WebhookDelivery.objects.values())) == before


@pytest.mark.parametrize("verb", VERBS)
def test_a_link_changes_nothing(alice: User, verb: str) -> None:
    path = f"{PAGE}/{registered(alice).pk}{verb.format(delivery=uuid.uuid4())}"
    assert signed_in(alice).get(path).status_code == 405


def test_the_secret_is_shown_in_one_answer(alice: User) -> None:
    client = signed_in(alice)
    answer = client.post(PAGE, {"url": URL, "name": "render farm", "events": EVENTS})
    shown = re.search(r'value="(whsec_[^"]+)"', text(answer))
    endpoint = WebhookEndpoint.objects.get()
    assert shown and shown[1] == endpoint.secret
    assert "no-store" in answer["Cache-Control"]
    for path in (PAGE, f"{PAGE}/{endpoint.pk}", "/account"):
        assert endpoint.secret not in text(client.get(path))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": ""}, "Give the address"),
        ({"url": "http://example.com/"}, "not encrypted"),
        ({"url": "https://10.0.0.1/"}, "private network"),
        ({"events": []}, "Choose one or more events"),
        ({"events": ["generation.exploded"]}, "generation.exploded is not one of"),
        ({"name": "x" * 101}, "up to 100 characters"),
    ],
)
def test_a_refusal_stands_at_its_field_and_keeps_what_was_typed(
    alice: User, fields: dict[str, Any], words: str
) -> None:
    client = signed_in(alice)
    typed = {"url": URL, "name": "render farm", "events": EVENTS, **fields}
    kept = registered(alice)
    for path in (PAGE, f"{PAGE}/{kept.pk}"):
        answer = client.post(path, typed)
        assert answer.status_code == 400
        page = answer.content.decode()
        assert words in page
        assert f'value="{typed["name"]}"' in page
    assert WebhookEndpoint.objects.count() == 1
    kept.refresh_from_db()
    assert (kept.url, kept.name, kept.events) == (URL, "", EVENTS)


def test_the_eleventh_is_refused_in_words(alice: User) -> None:
    for _ in range(10):
        registered(alice)
    answer = signed_in(alice).post(PAGE, {"url": URL, "events": EVENTS})
    assert answer.status_code == 409
    assert "Remove one first" in answer.content.decode()


def test_it_is_changed_paused_resumed_and_removed(alice: User) -> None:
    endpoint = registered(alice)
    client, path = signed_in(alice), f"{PAGE}/{endpoint.pk}"
    client.post(path, {"url": "https://example.org/", "name": "n", "events": ["generation.failed"]})
    endpoint.refresh_from_db()
    assert (endpoint.url, endpoint.name, endpoint.events) == (
        "https://example.org/",
        "n",
        ["generation.failed"],
    )
    assert "Nothing is sent until you resume it" in text(client.post(f"{path}/pause", follow=True))
    assert "Resume" in text(client.get(path))
    assert "This webhook is stopped" in text(client.post(f"{path}/test", follow=True))
    assert "from now on" in text(client.post(f"{path}/resume", follow=True))
    assert "is removed" in text(client.post(f"{path}/remove", follow=True))
    assert client.get(path).status_code == 404


def test_a_new_secret_is_shown_once_and_the_old_one_ends_when(alice: User) -> None:
    endpoint = registered(alice)
    client, path = signed_in(alice), f"{PAGE}/{endpoint.pk}"
    answer = client.post(f"{path}/rotate")
    endpoint.refresh_from_db()
    assert endpoint.secret in text(answer)
    assert "no-store" in answer["Cache-Control"]
    assert endpoint.old_secret not in text(answer)
    assert "The old secret signs too" in text(client.get(path))
    client.post(f"{path}/rotate", {"end_old": "on"})
    endpoint.refresh_from_db()
    assert endpoint.old_secret == ""


def test_the_log_shows_what_came_of_it(alice: User, listen: Listen) -> None:
    listen(alice, lambda heard: (500, b"<script>alert(1)</script>") if heard.nth == 1 else 204)
    generation = canceled(alice)
    endpoint = WebhookEndpoint.objects.get()
    client, path = signed_in(alice), f"{PAGE}/{endpoint.pk}"
    assert "on its way" in text(client.get(path))
    assert 'hx-trigger="every 2s"' in text(client.get(path))
    work_off()
    page = text(client.get(path))
    assert f"/g/{generation.pk}" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "next try in" in page
    assert "hx-trigger" not in page, "what waits for hours is not asked for every 2 s"
    assert "on its way again" in text(
        client.post(f"{path}/deliveries/{WebhookDelivery.objects.get().pk}/replay", follow=True)
    )
    work_off()
    fragment = text(client.get(path, headers={"hx-request": "true"}))
    assert fragment.lstrip().startswith('<div id="log-body"')
    assert "delivered" in fragment


def test_the_owner_reads_why_it_was_stopped_and_sends_again_what_was_lost(
    alice: User, listen: Listen
) -> None:
    state = {"answer": 410}
    receiver = listen(alice, lambda heard: state["answer"])
    canceled(alice)
    canceled(alice)
    work_off()
    client, path = signed_in(alice), f"{PAGE}/{WebhookEndpoint.objects.get().pk}"
    assert "its address answered 410, gone" in text(client.get(path))
    assert "stopped" in text(client.get(PAGE))
    assert "Send again what was given up" not in text(client.get(path)), "first it has to be resumed"
    state["answer"] = 200
    client.post(f"{path}/resume")
    assert "Send again what was given up" in text(client.get(path))
    assert "2 events are sent again" in text(client.post(f"{path}/replay", follow=True))
    move_on()
    work_off()
    assert len(receiver.taken) == 2


def test_the_log_has_pages(alice: User) -> None:
    endpoint = registered(alice)
    made = [str(services.send_test(endpoint).pk) for _ in range(25)]
    WebhookDelivery.objects.update(status="delivered", next_try_at=None)
    client, path = signed_in(alice), f"{PAGE}/{endpoint.pk}"
    first = text(client.get(path))
    onward = re.search(r'href="([^"]+\?after=[^"#]+)', first)
    assert onward
    second = text(client.get(onward[1]))
    on = [[ident for ident in made if f"deliveries/{ident}/" in page] for page in (first, second)]
    assert [len(page) for page in on] == [20, 5]
    assert not set(on[0]) & set(on[1])


@pytest.mark.parametrize("state", ["new", "made", "log", "stopped"])
def test_every_page_carries_a_strict_policy(alice: User, listen: Listen, state: str) -> None:
    client = signed_in(alice)
    listen(alice, lambda heard: 410)
    path = f"{PAGE}/{WebhookEndpoint.objects.get().pk}"
    if state != "new":
        canceled(alice)
        work_off()
    answer = (
        client.post(PAGE, {"url": URL, "events": EVENTS})
        if state == "made"
        else client.get({"new": PAGE}.get(state, path))
    )
    html = text(answer)
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", html)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", html)


def test_queries_of_the_log_do_not_grow_with_it(alice: User, django_assert_max_num_queries: Any) -> None:
    endpoint = registered(alice)
    for _ in range(12):
        delivery = services.send_test(endpoint)
        delivery.log.create(number=1, outcome="refused", status=500)
    WebhookDelivery.objects.update(next_try_at=Now())
    client = signed_in(alice)
    with django_assert_max_num_queries(10):
        client.get(f"{PAGE}/{endpoint.pk}")
