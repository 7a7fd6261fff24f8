"""Operators hear of trouble: in the log, by a number and by e-mail, and not all the time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client
from django_q.models import OrmQ

from accounts.models import User
from generations import alarm_tasks, dispatch, services, tasks
from generations.models import Alarm, AlarmDelivery, AlarmMessage
from kling_platform import alarms
from kling_platform.management.commands import worker
from tests.mailboxes import Mailbox, mail_server
from tests.makers import make_user, storing

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]
Kind = Alarm.Kind


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    with mail_server(settings) as box:
        yield box


@pytest.fixture
def admins(db: None) -> list[str]:
    """The addresses of two; a third has none, a fourth is suspended, and a member is no admin."""
    for name in ("ana", "ben"):
        make_user(name, role="admin", email=f"{name}@example.com")
    make_user("no-address", role="admin")
    make_user("gone", role="admin", email="gone@example.com")
    User.objects.filter(username="gone").update(is_active=False)
    make_user("member", email="member@example.com")
    return ["ana@example.com", "ben@example.com"]


def hours_later(hours: float = 1.1) -> None:
    back = timedelta(hours=hours)
    Alarm.objects.update(first_at=F("first_at") - back, last_at=F("last_at") - back)
    AlarmMessage.objects.update(created_at=F("created_at") - back)
    AlarmDelivery.objects.filter(next_try_at__isnull=False).update(next_try_at=F("next_try_at") - back)


def test_admins_with_an_address_get_one_mail(mailbox: Mailbox, admins: list[str], caplog: Any) -> None:
    alarms.ring(Kind.CIRCUIT, "401: the key\nis not valid")
    assert "alarm, circuit: 401: the key is not valid" in caplog.text
    assert OrmQ.objects.get().func() == "generations.alarm_tasks.tell"
    assert alarm_tasks.tell() == 1
    assert alarm_tasks.tell() == 0
    (mail,) = mailbox.received
    assert mailbox.recipients == [admins]
    assert mail["Subject"] == "Alarm: nothing is sent: upstream fails or refuses our account"
    assert "401: the key is not valid" in mail.get_content()


def test_a_kind_is_told_once_an_hour_and_then_all_that_came_meanwhile(
    mailbox: Mailbox, admins: list[str]
) -> None:
    alarms.ring(Kind.DISK, "first")
    alarm_tasks.tell()
    for _ in range(3):
        alarms.ring(Kind.DISK, "again")
    alarms.ring(Kind.DISK, "other")
    alarms.ring(Kind.WORKER, "froze")
    assert alarm_tasks.tell() == 1, "another kind need not wait"
    hours_later()
    assert alarm_tasks.tell() == 2
    first, froze, digest = [mail.get_content() for mail in mailbox.received]
    assert "first" in first and "froze" in froze
    assert "again (3 times)" in digest and "other" in digest and "first" not in digest


def test_a_mail_that_was_not_taken_is_sent_again(mailbox: Mailbox, admins: list[str]) -> None:
    alarms.ring(Kind.BREACH, "wallet 7")
    mailbox.refuses = True
    alarm_tasks.tell()
    mailbox.refuses = False
    alarm_tasks.tell()
    assert mailbox.received == [], "not before its time"
    hours_later(0.1)
    alarm_tasks.tell()
    assert len(mailbox.received) == 1


def test_nobody_to_tell_keeps_it_untold(mailbox: Mailbox) -> None:
    alarms.ring(Kind.BREACH, "wallet 7")
    assert alarm_tasks.tell() == 0
    assert Alarm.objects.get().told_at is None
    hours_later(24 * 91)
    assert alarms.forget() == 1


def test_a_circuit_rings_once_an_opening(alice: User) -> None:
    dispatch.note_account_fault("key refused")
    dispatch.note_account_fault("key refused")
    dispatch.note_probe(alive=True)
    dispatch.note_doubt("the one that tried")  # trying, and open again: the same trouble
    assert [alarm.text for alarm in Alarm.objects.filter(kind=Kind.CIRCUIT)] == ["key refused"]
    dispatch.note_success()
    dispatch.note_account_fault("key refused")
    assert Alarm.objects.get(text="key refused").times == 2


def test_a_video_that_is_gone_for_good_rings(alice: User) -> None:
    row = storing(alice)
    type(row).objects.update(store_attempts=3)
    assert services.record_store_failed(row.pk, message="404", gone=True)
    assert str(row.pk) in Alarm.objects.get(kind=Kind.LOST_VIDEO).text


def test_a_full_disk_rings_and_nothing_is_sent(alice: User, settings: Any, monkeypatch: Any) -> None:
    settings.OMNIMAAS_API_KEY = "key"
    monkeypatch.setattr("generations.archive.LOW_DISK_BYTES", 1 << 62)
    assert tasks.dispatch() == 0
    assert tasks.dispatch() == 0
    assert Alarm.objects.get(kind=Kind.DISK).times == 2


def test_a_frozen_worker_rings_and_a_missing_database_does_not_stop_the_watch(
    db: None, monkeypatch: Any, caplog: Any
) -> None:
    worker.ring("no beat for 60 s")
    assert "no beat for 60 s" in Alarm.objects.get(kind=Kind.WORKER).text

    def away(*args: Any) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(worker.alarms, "ring", away)
    monkeypatch.setattr(worker.connection, "close", lambda: None)
    worker.ring("no beat for 60 s")
    assert "no alarm could be noted" in caplog.text


def test_prometheus_counts_the_last_day(client: Client) -> None:
    alarms.ring(Kind.DISK, "now")
    alarms.ring(Kind.DISK, "now")
    Alarm.objects.create(kind=Kind.WORKER, text="old", last_at=Now() - timedelta(days=2))
    text = client.get("/metrics").content.decode()
    assert 'kling_alarms{kind="disk"} 2' in text
    assert 'kling_alarms{kind="worker"} 0' in text
