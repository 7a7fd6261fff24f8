"""When a webhook is tried again, by whom, with which secrets; and what people may do about it."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django_q.models import OrmQ

from accounts.models import User
from accounts.services import set_active
from generations import deliveries, lanes, polling, services, tasks, webhooks
from generations.models import WebhookDelivery, WebhookEndpoint, WebhookTry
from generations.services.deliveries import JITTER, TRIES, WAITS
from tests.makers import ask
from tests.receivers import Heard, Listen, canceled, move_on, only_delivery, slowly, work_off

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


# --- the plan ---------------------------------------------------------------------------


def test_the_plan_is_ten_tries_over_75_hours() -> None:
    assert TRIES == 10
    assert 75 <= sum(WAITS) / 3600 < 76


def test_ten_tries_then_it_is_given_up_and_the_owner_is_told(alice: User, listen: Listen) -> None:
    User.objects.update(email="alice@example.com")
    receiver = listen(alice, lambda heard: 500, name="render farm")
    canceled(alice)
    work_off()
    for number, wait in enumerate(WAITS, start=1):
        delivery = only_delivery()
        assert (delivery.status, delivery.tries) == ("waiting", number)
        one = delivery.log.last()
        planned = (delivery.next_try_at - one.at).total_seconds()
        assert wait * (1 - JITTER) - 1 <= planned <= wait * (1 + JITTER) + 1
        move_on()
        work_off()
    delivery, endpoint = only_delivery(), WebhookEndpoint.objects.get()
    assert (delivery.status, delivery.tries, delivery.next_try_at) == ("failed", 10, None)
    assert len({heard.id for heard in receiver.heard}) == 1
    assert [one.number for one in delivery.log.all()] == list(range(1, 11))
    assert endpoint.stopped == "failing"
    (message,) = mail.outbox
    assert message.to == ["alice@example.com"]
    assert (
        message.subject == "Your webhook was stopped, because it did not answer for three days: render farm"
    )
    assert f"/account/webhooks/{endpoint.pk}" in message.body
    assert alice.notices.get().kind == "webhook"
    canceled(alice)
    work_off()
    assert WebhookDelivery.objects.count() == 1, "a stopped endpoint hears no more"
    assert len(receiver.heard) == 10


def test_the_planned_waits_differ_a_little(alice: User, listen: Listen) -> None:
    listen(alice, lambda heard: 500)
    for _ in range(6):
        canceled(alice)
    work_off()
    waits = set()
    for delivery in WebhookDelivery.objects.all():
        waits.add(round((delivery.next_try_at - delivery.log.get().at).total_seconds(), 2))
    assert len(waits) > 3, waits


def test_one_message_that_never_gets_through_stops_nothing_while_others_do(
    alice: User, listen: Listen
) -> None:
    bad = ask(alice)
    receiver = listen(alice, lambda heard: 500 if heard.event["data"]["id"] == str(bad.pk) else 200)
    services.cancel(bad, actor=alice)
    for _ in range(TRIES):
        work_off()
        canceled(alice)
        move_on()
    work_off()
    stuck = WebhookDelivery.objects.get(generation=bad)
    assert (stuck.status, stuck.tries) == ("failed", TRIES)
    assert WebhookEndpoint.objects.get().stopped == ""
    assert len(receiver.taken) == TRIES


def test_gone_stops_it_at_once(alice: User, listen: Listen) -> None:
    User.objects.update(email="alice@example.com")
    receiver = listen(alice, lambda heard: 410)
    canceled(alice)
    canceled(alice)
    work_off()
    assert len(receiver.heard) == 1
    assert WebhookEndpoint.objects.get().stopped == "gone"
    assert set(WebhookDelivery.objects.values_list("status", flat=True)) == {"failed"}
    assert "410 (gone)" in alice.notices.get().sentence
    assert "410 (gone)" in mail.outbox[0].body


def test_without_an_address_nobody_is_mailed(alice: User, listen: Listen) -> None:
    listen(alice, lambda heard: 410)
    canceled(alice)
    work_off()
    assert WebhookEndpoint.objects.get().stopped == "gone"
    assert mail.outbox == []
    assert alice.notices.get().link == f"/account/webhooks/{alice.webhooks.get().pk}", "the inbox has it"


# --- secrets --------------------------------------------------------------------------


def test_a_secret_is_as_the_standard_wants_it(alice: User) -> None:
    secrets = {services.register_webhook(alice, url="https://example.com/").secret for _ in range(5)}
    assert len(secrets) == 5
    for secret in secrets:
        assert secret.startswith("whsec_")
        assert 24 <= len(webhooks._key(secret)) <= 64


def test_two_secrets_sign_for_a_day(alice: User, listen: Listen) -> None:
    receiver = listen(alice)
    old = receiver.secrets[0]
    endpoint = services.rotate_webhook(WebhookEndpoint.objects.get())
    assert endpoint.secret != old
    receiver.secrets = [endpoint.secret, old]
    canceled(alice)
    work_off()
    assert receiver.heard[-1].signed_by == [endpoint.secret, old]
    hours = (endpoint.old_secret_until - endpoint.created_at).total_seconds() / 3600
    assert 23.9 < hours < 24.1
    WebhookEndpoint.objects.update(old_secret_until=Now() - timedelta(seconds=1))
    canceled(alice)
    work_off()
    assert receiver.heard[-1].signed_by == [endpoint.secret]
    services.forget_deliveries()
    assert WebhookEndpoint.objects.get().old_secret == ""


def test_a_leaked_secret_ends_at_once(alice: User, listen: Listen) -> None:
    receiver = listen(alice)
    old = receiver.secrets[0]
    endpoint = services.rotate_webhook(WebhookEndpoint.objects.get(), keep_old=False)
    receiver.secrets = [endpoint.secret, old]
    canceled(alice)
    work_off()
    assert receiver.heard[0].signed_by == [endpoint.secret]


def test_each_try_has_a_timestamp_of_its_own(alice: User, listen: Listen) -> None:
    receiver = listen(alice, lambda heard: 500)
    canceled(alice)
    work_off()
    time.sleep(1.1)
    move_on()
    work_off()
    first, second = (int(heard.headers["webhook-timestamp"]) for heard in receiver.heard)
    assert first < second
    assert all(heard.signed_by for heard in receiver.heard)


# --- one at a time, by everybody ----------------------------------------------------------


def test_one_call_at_a_time_for_each_endpoint_and_many_for_all(alice: User, listen: Listen) -> None:
    receivers = [listen(alice, slowly(0.2)) for _ in range(4)]
    for _ in range(3):
        canceled(alice)
    begin = time.monotonic()
    work_off()
    assert [receiver.most_at_once for receiver in receivers] == [1] * 4
    assert [len(receiver.taken) for receiver in receivers] == [3] * 4
    assert time.monotonic() - begin < 0.2 * 3 * 4, "the four were called one after the other"


def test_who_has_waited_longest_is_served_first(alice: User, listen: Listen) -> None:
    busy, quiet = listen(alice), listen(alice)
    for _ in range(5):
        canceled(alice)
    WebhookDelivery.objects.filter(endpoint__url=quiet.url).exclude(
        pk=WebhookDelivery.objects.filter(endpoint__url=quiet.url).first().pk
    ).delete()
    served = []
    while due := services.claim_deliveries(1):
        served.append(due[0].delivery.endpoint.url)
        assert services.record_try(due[0], outcome="delivered", status=200)
    assert quiet.url in served[:2]
    assert served.count(busy.url) == 5


def test_a_claimed_endpoint_is_nobody_elses(alice: User, listen: Listen) -> None:
    receiver = listen(alice)
    canceled(alice)
    canceled(alice)
    (due,) = services.claim_deliveries(9)
    assert services.claim_deliveries(9) == []
    work_off()
    assert receiver.heard == []
    assert services.record_try(due, outcome="delivered", status=200)
    assert len(services.claim_deliveries(9)) == 1


def test_what_a_killed_worker_held_is_sent_when_its_lease_is_over(alice: User, listen: Listen) -> None:
    receiver = listen(alice)
    canceled(alice)
    (lost,) = services.claim_deliveries(9)
    WebhookEndpoint.objects.update(claimed_until=Now())
    services.wake_deliver()
    work_off()
    assert list(receiver.taken.values()) == [1]
    assert only_delivery().tries == 1, "a kill costs no try"
    assert services.record_try(lost, outcome="refused", status=500) is False, "it comes too late to say so"
    assert only_delivery().status == "delivered"


def test_a_deliver_that_comes_twice_calls_once(alice: User, listen: Listen) -> None:
    receiver = listen(alice)
    canceled(alice)
    assert deliveries.deliver() == 1
    assert deliveries.deliver() == 0
    assert len(receiver.heard) == 1


def test_a_second_deliver_leaves_the_work_to_the_first(alice: User, listen: Listen) -> None:
    receiver = listen(alice)
    token = lanes.enter("deliver")
    canceled(alice)
    assert deliveries.deliver() == 0
    assert token and lanes.leave("deliver", token) is False, "it was told to look once more"
    assert receiver.heard == []


def test_what_is_left_when_the_time_is_over_wakes_a_successor(
    alice: User, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = listen(alice, slowly(0.3))
    for _ in range(4):
        canceled(alice)
    monkeypatch.setattr(deliveries, "DELIVER_SECONDS", 0.4)
    OrmQ.objects.all().delete()  # the wake-ups of the four themselves
    assert deliveries.deliver() < 4
    work_off()
    assert len(receiver.taken) == 4


def test_our_own_fault_is_a_try_and_stops_nobody_else(
    alice: User, bob: User, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlucky, lucky = listen(alice), listen(bob)
    WebhookEndpoint.objects.filter(user=alice).update(secret="whsec_A")
    canceled(alice)
    canceled(bob)
    work_off()
    assert (len(unlucky.heard), len(lucky.heard)) == (0, 1)
    delivery = WebhookDelivery.objects.get(endpoint__user=alice)
    assert (delivery.status, delivery.tries, delivery.log.get().outcome) == ("waiting", 1, "our_fault")


# --- what people do ----------------------------------------------------------------------


def test_a_paused_one_hears_nothing_until_it_is_resumed(alice: User, listen: Listen) -> None:
    receiver = listen(alice)
    endpoint = services.pause_webhook(WebhookEndpoint.objects.get())
    assert endpoint.stopped == "paused"
    canceled(alice)
    work_off()
    services.resume_webhook(endpoint)
    after = canceled(alice)
    work_off()
    assert [heard.event["data"]["id"] for heard in receiver.heard] == [str(after.pk)]


def test_a_removed_one_forgets_its_secret_and_what_waits(alice: User, listen: Listen) -> None:
    receiver = listen(alice)
    canceled(alice)
    services.remove_webhook(WebhookEndpoint.objects.get())
    canceled(alice)
    work_off()
    assert receiver.heard == []
    assert WebhookEndpoint.objects.get().secret == ""
    assert not WebhookEndpoint.objects.owned_by(alice).exists()
    WebhookEndpoint.objects.update(deleted_at=Now() - timedelta(days=2))
    assert services.forget_deliveries()
    assert not WebhookEndpoint.objects.exists()


def test_a_pause_during_a_call_is_kept(alice: User, listen: Listen) -> None:
    def pause(heard: Heard) -> int:
        return 500

    listen(alice, pause)
    canceled(alice)
    (due,) = services.claim_deliveries(1)
    services.pause_webhook(WebhookEndpoint.objects.get())
    assert services.record_try(due, outcome="refused", status=500)
    assert (only_delivery().status, only_delivery().next_try_at) == ("failed", None)


def test_a_replay_keeps_its_id_and_begins_a_new_plan(alice: User, listen: Listen) -> None:
    receiver = listen(alice)
    canceled(alice)
    work_off()
    services.replay_delivery(only_delivery())
    work_off()
    assert list(receiver.taken.values()) == [2]
    delivery = only_delivery()
    assert (delivery.status, delivery.tries, delivery.log.count()) == ("delivered", 1, 2)


def test_after_an_outage_everything_given_up_is_sent_again(alice: User, listen: Listen) -> None:
    state = {"status": 410}
    receiver = listen(alice, lambda heard: state["status"])
    for _ in range(3):
        canceled(alice)
    work_off()
    endpoint = services.resume_webhook(WebhookEndpoint.objects.get())
    state["status"] = 200
    assert services.replay_failed(endpoint) == 3
    work_off()
    assert len(receiver.taken) == 3
    assert services.replay_failed(endpoint) == 0


def test_a_suspended_owners_events_wait(alice: User, boss: User, listen: Listen) -> None:
    receiver = listen(alice)
    canceled(alice)
    set_active(alice, False, actor=boss)
    work_off()
    assert receiver.heard == []
    set_active(alice, True, actor=boss)
    move_on()
    work_off()
    assert len(receiver.taken) == 1


def test_old_logs_are_forgotten_and_young_ones_kept(alice: User, listen: Listen) -> None:
    listen(alice)
    old, young = canceled(alice), canceled(alice)
    work_off()
    WebhookDelivery.objects.filter(generation=old).update(created_at=Now() - timedelta(days=31))
    services.forget_deliveries()
    assert only_delivery().generation == young
    assert WebhookTry.objects.count() == 1


def test_what_waits_is_never_forgotten(alice: User, listen: Listen) -> None:
    listen(alice, lambda heard: 500)
    canceled(alice)
    work_off()
    WebhookDelivery.objects.update(created_at=Now() - timedelta(days=31))
    assert services.forget_deliveries() == 0


def test_the_poll_loop_nudges_what_is_due_between_two_minutes(
    alice: User, listen: Listen, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen(alice, lambda heard: 500)
    canceled(alice)
    work_off()
    WebhookDelivery.objects.update(next_try_at=Now())
    assert not OrmQ.objects.exists()
    monkeypatch.setattr(polling, "NUDGE_SECONDS", 0)
    tasks.poll(seconds=0.05)
    assert "generations.deliveries.deliver" in {row.func() for row in OrmQ.objects.all()}


def test_a_generation_is_told_once_only(alice: User, listen: Listen) -> None:
    listen(alice)
    generation = canceled(alice)
    twin = WebhookDelivery(
        id=uuid.uuid4(),
        endpoint=WebhookEndpoint.objects.get(),
        generation=generation,
        event="x",
        next_try_at=Now(),
    )
    with pytest.raises(IntegrityError, match=r"one_an_end|(?i:unique)"), transaction.atomic():
        twin.save(force_insert=True)
