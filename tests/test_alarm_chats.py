"""Alarms reach the rooms of chats: each service's rules are kept, noise is summed up, and the end is told too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.db.models.functions import Now

from accounts.models import AuditEntry, User
from generations import alarm_tasks, services
from generations.models import Alarm, AlarmDelivery, AlarmMessage, AlarmTarget, Upstream
from kling_platform import alarms
from kling_platform.errors import Forbidden, InvalidValue, WrongState
from tests.chats import Room
from tests.portal import signed_in
from tests.receivers import Receiver, is_signed, work_off

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]

Kind = Alarm.Kind
SECRET = "SECd2hhdGV2ZXI"
STANDARD = "whsec_" + "A" * 32
Open = Callable[..., Room]


@pytest.fixture
def room(settings: Any, boss: User) -> Iterator[Open]:
    """``room("feishu", secret=…)`` opens a room, and the platform knows it."""
    opened: list[Room] = []

    def open_(service: str, *, secret: str = "", known: str | None = None, **fields: Any) -> Room:
        made = Room(service, secret)
        opened.append(made)
        settings.EGRESS_ALLOW = frozenset({*settings.EGRESS_ALLOW, made.receiver.authority})
        known = secret if known is None else known
        services.add_alarm_target(
            actor=boss, name=service, service=service, url=made.url, secret=known, **fields
        )
        return made

    yield open_
    for each in opened:
        each.close()


def later(**time: float) -> None:
    """Everything happened so much earlier: the rows' times are moved, never the clock."""
    back = timedelta(**time)
    Alarm.objects.update(first_at=F("first_at") - back, last_at=F("last_at") - back)
    AlarmMessage.objects.update(created_at=F("created_at") - back)
    AlarmDelivery.objects.filter(next_try_at__isnull=False).update(next_try_at=F("next_try_at") - back)


@pytest.mark.parametrize(
    ("service", "secret"),
    [
        ("slack", ""),
        ("feishu", ""),
        ("feishu", SECRET),
        ("dingtalk", ""),
        ("dingtalk", SECRET),
        ("wecom", ""),
    ],
)
def test_each_service_takes_what_it_is_sent(room: Open, service: str, secret: str) -> None:
    there = room(service, secret=secret)
    for number in range(30):
        alarms.ring(Kind.BREACH, f"{number}: 钱包 <!channel> <at user_id='all'> & more " + "长" * 200)
    alarm_tasks.tell()
    (text,) = there.texts
    assert text.startswith("Kling · Alarm: an invariant is breached")
    assert "0: 钱包 <!channel> <at user_id='all'> & more" in text
    assert text.endswith("/manage/operations")
    assert AlarmDelivery.objects.get().status == "delivered"


@pytest.mark.parametrize(
    ("service", "code"), [("feishu", "19021"), ("dingtalk", "310000")], ids=["feishu", "dingtalk"]
)
def test_a_refusal_with_status_200_is_a_refusal_and_is_tried_again(
    room: Open, service: str, code: str
) -> None:
    there = room(service, secret=SECRET, known="SECanother")
    alarms.ring(Kind.DISK, "full")
    alarm_tasks.tell()
    refused = AlarmDelivery.objects.get()
    assert (refused.status, refused.outcome, refused.tries) == ("waiting", "refused", 1)
    assert code in refused.answer
    AlarmTarget.objects.update(secret=SECRET)
    later(minutes=2)
    alarm_tasks.tell()
    assert AlarmDelivery.objects.get().status == "delivered"
    assert len(there.texts) == 1


def test_what_is_never_taken_is_given_up_after_six_tries(room: Open) -> None:
    there = room("slack")
    there.broken = True
    alarms.ring(Kind.DISK, "full")
    for _ in range(8):
        alarm_tasks.tell()
        later(hours=4)
    delivery = AlarmDelivery.objects.get(message__about="begun")
    assert (delivery.status, delivery.tries) == ("failed", 6)
    assert len([heard for heard in there.receiver.heard if b"Alarm:" in heard.body]) == 6


def test_one_message_at_once_one_for_what_follows_and_an_all_clear(room: Open) -> None:
    there = room("wecom")
    alarms.ring(Kind.DISK, "first")
    alarm_tasks.tell()
    for _ in range(40):
        alarms.ring(Kind.DISK, "again")
    alarm_tasks.tell()
    assert len(there.texts) == 1
    alarms.ring(Kind.WORKER, "froze")
    alarm_tasks.tell()
    assert "froze" in there.texts[1], "another kind need not wait"
    later(minutes=61)
    alarm_tasks.tell()
    assert "Still: the disk is nearly full" in there.texts[2]
    assert "40 times since the last message" in there.texts[2]
    later(minutes=20)
    alarm_tasks.tell()
    assert "All clear: the disk is nearly full" in there.texts[3]
    alarms.ring(Kind.DISK, "a new one")
    alarm_tasks.tell()
    assert "Alarm: the disk is nearly full" in there.texts[4], "after an all clear the next is told at once"


def test_nothing_is_over_while_it_is_wrong(room: Open, monkeypatch: Any) -> None:
    there = room("slack")
    Upstream.objects.update_or_create(pk=1, defaults={"circuit": "open", "open_until": Now()})
    for kind in Kind:
        alarms.ring(kind, "x")
    monkeypatch.setattr("generations.archive.LOW_DISK_BYTES", 1 << 62)
    alarm_tasks.tell()
    later(hours=2)
    alarm_tasks.tell()
    assert len(there.texts) == 5
    monkeypatch.undo()
    Upstream.objects.update(circuit="closed", open_until=None, last_beat_at=Now())
    alarm_tasks.tell()
    over = sorted(AlarmMessage.objects.filter(about="over").values_list("kind", flat=True))
    assert over == ["circuit", "disk", "worker"], "a lost video has no end, a breach is looked for all day"


def test_a_room_hears_in_its_language_and_of_its_kinds(room: Open) -> None:
    chinese, other = room("feishu", language="zh-hans", kinds=["disk"]), room("slack", kinds=["breach"])
    alarms.ring(Kind.DISK, "full")
    alarm_tasks.tell()
    assert "警报：磁盘将满" in chinese.texts[0]
    assert other.texts == []


def test_a_program_gets_signed_json(settings: Any, boss: User) -> None:
    receiver = Receiver()
    settings.EGRESS_ALLOW = frozenset({receiver.authority})
    services.add_alarm_target(
        actor=boss, name="ops", service="webhook", url=receiver.url, secret=STANDARD, kinds=["disk"]
    )
    alarms.ring(Kind.DISK, "full")
    alarm_tasks.tell()
    receiver.close()
    (heard,) = receiver.heard
    assert is_signed(heard.body, heard.headers, STANDARD)
    said = json.loads(heard.body)
    assert (said["type"], said["data"]["kind"], said["data"]["times"]) == ("alarm.begun", "disk", 1)


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"url": "http://hooks.slack.com/x"}, "url"),
        ({"url": "https://127.0.0.1/x"}, "url"),
        ({"url": "https://user:pass@hooks.slack.com/x"}, "url"),
        ({"url": ""}, "url"),
        ({"secret": "x"}, "secret"),
        ({"service": "webhook", "secret": "whsec_short"}, "secret"),
        ({"service": "teams"}, "service"),
        ({"kinds": []}, "kinds"),
        ({"kinds": ["disk", "fire"]}, "kinds"),
        ({"name": " "}, "name"),
        ({"language": "xx"}, "language"),
    ],
)
def test_what_makes_no_sense_is_refused(boss: User, wrong: dict[str, Any], param: str) -> None:
    right = {"name": "Ops", "service": "slack", "url": "https://hooks.slack.com/services/T/B/x"}
    with pytest.raises(InvalidValue) as refusal:
        services.add_alarm_target(actor=boss, **{**right, **wrong})
    assert refusal.value.param == param


def test_a_name_that_leads_inside_is_found_out_when_it_is_called(boss: User) -> None:
    services.add_alarm_target(actor=boss, name="Ops", service="slack", url="https://localhost/services/x")
    alarms.ring(Kind.DISK, "full")
    alarm_tasks.tell()
    assert AlarmDelivery.objects.get().outcome == "unreachable"


def test_only_admins_decide(alice: User, boss: User) -> None:
    with pytest.raises(Forbidden):
        services.add_alarm_target(actor=alice, name="x", service="slack", url="https://hooks.slack.com/x")


def test_the_page_tests_masks_switches_and_removes(room: Open, boss: User) -> None:
    there = room("slack")
    office = signed_in(boss)
    target = AlarmTarget.objects.get()
    office.post(f"/manage/operations/alarms/{target.pk}/test")
    assert "on its way" in office.get("/manage/operations/alarms").content.decode()
    work_off()
    page = office.get("/manage/operations/alarms").content.decode()
    assert "test, taken" in page
    assert "A test" in there.texts[0]
    assert "t0ken" not in page + office.get(f"/manage/operations/alarms/{target.pk}").content.decode()
    there.broken = True
    office.post(f"/manage/operations/alarms/{target.pk}/test")
    work_off()
    assert "test, given up" in office.get("/manage/operations/alarms").content.decode()
    alarms.ring(Kind.DISK, "full")
    alarm_tasks.tell()
    office.post(f"/manage/operations/alarms/{target.pk}/switch")
    assert not AlarmDelivery.objects.filter(status="waiting").exists()
    target.refresh_from_db()
    with pytest.raises(WrongState):
        services.test_alarm_target(target, actor=boss)
    office.post(f"/manage/operations/alarms/{target.pk}/remove")
    assert not AlarmTarget.objects.exists()
    told = [
        json.dumps(entry.detail) for entry in AuditEntry.objects.filter(action__startswith="alarm.target.")
    ]
    assert len(told) == 3
    assert not any("t0ken" in detail for detail in told), "the audit knows the host, not the address"


def test_an_empty_address_or_secret_stays_as_it_was(boss: User) -> None:
    url = "https://oapi.dingtalk.com/robot/send?access_token=0123456789abcdef"
    target = services.add_alarm_target(actor=boss, name="Ding", service="dingtalk", url=url, secret=SECRET)
    office = signed_in(boss)
    sent = {"name": "Night watch", "kinds": ["disk"], "language": "zh-hans", "url": "", "secret": ""}
    assert office.post(f"/manage/operations/alarms/{target.pk}", sent).status_code == 302
    target.refresh_from_db()
    assert (target.name, target.url, target.secret, target.kinds) == ("Night watch", url, SECRET, ["disk"])
    office.post(f"/manage/operations/alarms/{target.pk}", {**sent, "unsigned": "on"})
    target.refresh_from_db()
    assert target.secret == ""
    answer = office.post(f"/manage/operations/alarms/{target.pk}", {**sent, "url": "http://x.example/"})
    assert answer.status_code == 400
