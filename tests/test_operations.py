"""The big switch, and one look at how it goes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEntry, User
from generations import dispatch, services
from generations.models import Generation, Status, Upstream, Worker
from generations.services.operations import forget_pause
from kling_platform.errors import Forbidden, InvalidValue, WrongState
from tests.api import finished
from tests.makers import ask, claim_one, submitted
from tests.portal import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def pause(actor: User, reason: str = "The account is being renewed.") -> None:
    services.pause_sending(actor=actor, reason=reason)
    forget_pause()


def test_nothing_is_sent_while_sending_is_paused(alice: User, boss: User) -> None:
    ask(alice)
    pause(boss)
    ask(alice)
    assert dispatch.claim(10) == []
    assert not dispatch.has_work()
    services.resume_sending(actor=boss)
    assert len(dispatch.claim(10)) == 2


def test_what_is_running_goes_on(alice: User, boss: User) -> None:
    running = submitted(alice)
    pause(boss)
    Generation.objects.filter(pk=running.pk).update(next_check_at=timezone.now() - timedelta(seconds=1))
    assert [due.generation_id for due in services.claim_polls(10)] == [running.pk]


def test_nobody_runs_out_of_time_in_a_pause(alice: User, boss: User) -> None:
    generation = ask(alice)
    pause(boss)
    # A day and a half goes by: all times but the clock's are moved back.
    Generation.objects.update(give_up_at=F("give_up_at") - timedelta(hours=36))
    Upstream.objects.update(paused_at=F("paused_at") - timedelta(hours=36))
    services.sweep_due()
    generation.refresh_from_db()
    assert generation.status == Status.QUEUED
    services.resume_sending(actor=boss)
    services.sweep_due()
    generation.refresh_from_db()
    assert generation.status == Status.QUEUED
    assert generation.give_up_at > timezone.now() + timedelta(hours=23)


def test_everybody_reads_why(alice: User, boss: User) -> None:
    pause(boss, "Maintenance until <noon>")
    page = signed_in(alice).get("/").content.decode()
    assert "Sending is paused." in page and "Maintenance until &lt;noon&gt;" in page
    services.resume_sending(actor=boss)
    forget_pause()
    assert "Sending is paused." not in signed_in(alice).get("/").content.decode()


def test_only_admins_pull_the_switch_and_once(alice: User, boss: User) -> None:
    with pytest.raises(Forbidden):
        pause(alice)
    with pytest.raises(InvalidValue) as refused:
        pause(boss, " ")
    assert refused.value.param == "reason"
    pause(boss)
    with pytest.raises(WrongState):
        pause(boss)
    services.resume_sending(actor=boss)
    with pytest.raises(WrongState):
        services.resume_sending(actor=boss)
    entries = AuditEntry.objects.filter(action__startswith="sending.").order_by("at")
    assert list(entries.values_list("action", "actor")) == [
        ("sending.pause", boss.pk),
        ("sending.resume", boss.pk),
    ]


def test_one_look_says_how_it_goes(alice: User, bob: User, boss: User) -> None:
    finished(alice)
    ask(alice)
    assert services.record_refused(claim_one(), code="1301", message="no")
    submitted(alice)
    ask(alice)
    for _ in range(2):
        ask(bob)
    worker = Worker(host="north", pid=17)
    services.worker_seen(worker)
    services.worker_seen(worker)
    health = services.health()
    assert (health.states[Status.QUEUED], health.in_flight) == (3, 1)
    assert health.queue == [("bob", 2), ("alice", 1)]
    assert (health.ended, health.success_rate, health.errors) == (2, 0.5, [("1301", 1)])
    assert [row.host for row in health.workers] == ["north"]
    services.worker_gone(worker.pk)
    assert not Worker.objects.exists()


def test_a_look_costs_the_same_however_long_the_history(alice: User) -> None:
    finished(alice)
    last = ask(alice)
    names = ("model", "prompt", "seconds", "size", "mode", "price", "user_id", "next_check_at")
    recipe: dict[str, Any] = {name: getattr(last, name) for name in names}
    Generation.objects.bulk_create(Generation(**recipe) for _ in range(1_000))
    with CaptureQueriesContext(connection) as seen:
        services.health()
    assert len(seen) <= 12
