"""Webhooks from an end to the receiver: real services, the real task, real HTTP, judged by other people's libraries."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import transaction
from standardwebhooks import Webhook

from accounts.models import User
from generations import services, webhooks
from generations.models import WebhookDelivery, WebhookEndpoint
from tests.api import GENERATIONS, Api, finished
from tests.makers import ask, claim_one
from tests.receivers import Heard, Listen, canceled, move_on, only_delivery, work_off
from tests.wire import drip, hang, reply, say, wire

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


# --- what is told ---------------------------------------------------------------


def test_a_ready_video_is_told_as_the_api_tells_it(alice: User, alice_key: str, listen: Listen) -> None:
    receiver = listen(alice)
    generation = finished(alice)
    work_off()
    (heard,) = receiver.heard
    event = Webhook(receiver.secrets[0]).verify(heard.body, heard.headers)
    assert list(event) == ["type", "timestamp", "data"]
    assert event["type"] == "generation.succeeded"
    assert event["timestamp"].endswith("Z")
    read = Api(alice_key).get(f"{GENERATIONS}/{generation.pk}").json()
    link, _question, _signature = event["data"].pop("url").partition("?")
    assert link == read.pop("url").partition("?")[0]
    assert event["data"] == read
    assert heard.headers["content-type"] == "application/json"
    assert only_delivery().status == "delivered"


def test_the_link_in_it_opens_the_video(alice: User, listen: Listen) -> None:
    receiver = listen(alice)
    finished(alice)
    work_off()
    path = receiver.heard[0].event["data"]["url"].removeprefix("http://127.0.0.1:8000")
    assert Api().get(path).status_code == 200


def test_openais_own_client_unwraps_it(alice: User, listen: Listen) -> None:
    from openai import InvalidWebhookSignatureError, OpenAI  # takes half a second

    receiver = listen(alice)
    generation = canceled(alice)
    work_off()
    (heard,) = receiver.heard
    client = OpenAI(api_key="not-needed", webhook_secret=receiver.secrets[0])
    event: Any = client.webhooks.unwrap(heard.body, heard.headers)
    assert (event.type, event.data.id) == ("generation.canceled", str(generation.pk))
    with pytest.raises(InvalidWebhookSignatureError):
        client.webhooks.unwrap(heard.body.replace(b"canceled", b"succeeded"), heard.headers)
    with pytest.raises(InvalidWebhookSignatureError):
        client.webhooks.unwrap(heard.body, heard.headers, secret="whsec_" + "A" * 43 + "=")


def test_every_end_is_told(alice: User, listen: Listen) -> None:
    receiver = listen(alice)
    finished(alice)
    canceled(alice)
    ask(alice)
    services.record_refused(claim_one(), code="content_policy", message="No.")
    work_off()
    events = {heard.event["type"]: heard.event["data"] for heard in receiver.heard}
    assert set(events) == {"generation.succeeded", "generation.failed", "generation.canceled"}
    assert events["generation.failed"]["error"]["code"] == "content_policy"
    assert all(heard.signed_by == receiver.secrets for heard in receiver.heard)


def test_only_what_was_asked_for_is_told(alice: User, listen: Listen) -> None:
    receiver = listen(alice, events=["generation.failed", "generation.succeeded"])
    canceled(alice)
    finished(alice)
    work_off()
    assert [heard.event["type"] for heard in receiver.heard] == ["generation.succeeded"]


def test_each_endpoint_hears_it_and_no_strangers_does(alice: User, bob: User, listen: Listen) -> None:
    first, second, theirs = listen(alice), listen(alice), listen(bob)
    generation = canceled(alice)
    work_off()
    assert [one.event["data"]["id"] for one in first.heard + second.heard] == [str(generation.pk)] * 2
    assert theirs.heard == []


def test_what_is_rolled_back_is_not_told(alice: User, listen: Listen) -> None:
    receiver = listen(alice)
    generation = ask(alice)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        services.cancel(generation, actor=alice)
        assert WebhookDelivery.objects.count() == 1, "in the transition's own transaction"
        1 / 0  # noqa: B018
    work_off()
    assert not WebhookDelivery.objects.exists()
    assert receiver.heard == []


def test_a_whole_video_is_told_from_request_to_receiver(
    alice_key: str, alice: User, sandbox: Any, work: Any, listen: Listen
) -> None:
    receiver = listen(alice)
    created = Api(alice_key).create().json()
    work()
    assert [(heard.event["type"], heard.event["data"]["id"]) for heard in receiver.heard] == [
        ("generation.succeeded", created["id"])
    ]


def test_a_test_says_that_the_endpoint_works(alice: User, listen: Listen) -> None:
    receiver = listen(alice, events=["generation.failed"])
    endpoint = WebhookEndpoint.objects.get()
    services.send_test(endpoint)
    work_off()
    (heard,) = receiver.heard
    assert heard.event["type"] == "webhook.test"
    assert heard.event["data"] == {"id": str(endpoint.pk), "object": "webhook"}
    assert heard.signed_by == receiver.secrets


# --- what counts as taken -----------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226, 299])
def test_every_2xx_is_success(alice: User, listen: Listen, status: int) -> None:
    receiver = listen(alice, lambda heard: status)
    canceled(alice)
    work_off()
    assert (only_delivery().status, len(receiver.heard)) == ("delivered", 1)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 400, 401, 404, 409, 429, 500, 503])
def test_everything_else_is_tried_again(alice: User, listen: Listen, status: int) -> None:
    receiver = listen(alice, lambda heard: status if heard.nth == 1 else 200)
    canceled(alice)
    work_off()
    delivery = only_delivery()
    assert (delivery.status, delivery.tries) == ("waiting", 1)
    assert delivery.log.get().status == status
    move_on()
    work_off()
    first, second = receiver.heard
    assert first.id == second.id == str(delivery.pk)
    assert first.body == second.body
    assert only_delivery().status == "delivered"
    assert [one.outcome for one in delivery.log.all()][1] == "delivered"


def test_no_redirect_is_followed(alice: User, listen: Listen) -> None:
    receiver = listen(alice, lambda heard: 307)
    canceled(alice)
    work_off()
    assert [heard.path for heard in receiver.heard] == ["/hook"]
    assert only_delivery().log.get().outcome == "redirected"


@pytest.mark.parametrize(
    ("answer", "outcome", "status"),
    [
        (hang, "timed_out", None),
        (drip(b"HTTP/1.1 2", b"0"), "timed_out", None),
        (drip(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n", b"x"), "delivered", 200),
        (drip(b"HTTP/1.1 500 Oh\r\nContent-Length: 999999\r\n\r\n", b"x"), "refused", 500),
        (say(b""), "broken", None),
        (say(b"SSH-2.0-OpenSSH_9.2\r\n"), "broken", None),
        (say(reply(b"x" * 5_000_000)), "delivered", 200),
        (say(reply(b"hello")[:-3]), "delivered", 200),
        (say(reply(b"no", "500 No", content_length="99")), "refused", 500),
    ],
)
def test_a_strange_receiver_holds_nobody_up(
    alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch, answer: Any, outcome: str, status: int | None
) -> None:
    monkeypatch.setattr(webhooks, "SEND_SECONDS", 0.8)
    with wire({"/hook": answer}) as server:
        settings.EGRESS_ALLOW = frozenset({server.authority})
        services.register_webhook(alice, url=server.url("/hook"))
        canceled(alice)
        begin = time.monotonic()
        work_off()
        assert time.monotonic() - begin < 6
    one = only_delivery().log.get()
    assert (one.outcome, one.status) == (outcome, status)


def test_the_log_keeps_the_start_of_the_answer_without_secrets(alice: User, listen: Listen) -> None:
    def echo(heard: Heard) -> tuple[int, bytes]:
        headers = " ".join(heard.headers.values()).encode()
        key = b"Authorization: Bearer klp_abcdefgh \x00\x1b[31m sk-abcdefghijklmnop "
        return 500, key + receiver.secrets[0].encode() + b" " + headers + heard.body + b"\xff" + b"x" * 9000

    receiver = listen(alice, echo)
    finished(alice)
    work_off()
    one = only_delivery().log.get()
    assert len(one.excerpt) == 500
    assert one.excerpt.isprintable()
    for secret in (receiver.secrets[0], "klp_", "sk-", receiver.heard[0].headers["webhook-signature"][3:]):
        assert secret not in one.excerpt, secret
    assert one.ms is not None and 0 <= one.ms < 15_000


def test_a_signed_link_in_an_answer_is_not_kept() -> None:
    text = webhooks.excerpt(b'{"url":"https://k.example/v1/x/content?expires=17&sig=abc-DEF_1"} ok')
    assert text == '{"url":"https://k.example/v1/x/content?expires=17&sig=…"} ok'


# --- where it may go ----------------------------------------------------------------


@pytest.mark.parametrize("url", ["https://localhost/", "https://localhost:1/", "https://nothing.invalid/"])
def test_what_may_not_be_reached_reads_like_what_is_not_there(alice: User, url: str) -> None:
    services.register_webhook(alice, url=url)
    canceled(alice)
    work_off()
    one = only_delivery().log.get()
    assert (one.outcome, one.status, one.ms, one.excerpt) == ("unreachable", None, None, "")
    assert one.get_outcome_display() == "the address could not be reached"


def test_an_address_that_leads_inside_is_refused_though_it_was_saved(
    alice: User, listen: Listen, settings: Any
) -> None:
    receiver = listen(alice)
    settings.EGRESS_ALLOW = frozenset()
    canceled(alice)
    work_off()
    assert receiver.heard == []
    assert only_delivery().log.get().outcome == "unreachable"
