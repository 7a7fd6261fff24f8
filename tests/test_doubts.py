"""What an operator may do to a generation in doubt."""

from __future__ import annotations

import pytest

from accounts.models import AuditEntry, Wallet
from generations import services
from generations.models import Generation, Status
from kling_platform.errors import Forbidden, InvalidValue, WrongState
from tests.makers import ask, claim_one, submitted
from tests.portal import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def in_doubt(user, prompt="小猫"):
    generation = ask(user, prompt=prompt)
    services.record_doubt(claim_one(), code="line", message="broken")
    generation.refresh_from_db()
    return generation


def held(user) -> int:
    return Wallet.objects.get(quota__user=user).reserved


@pytest.mark.parametrize("decide", [services.release, services.write_off])
def test_a_decision_returns_the_credits_and_is_written_down(alice, boss, decide):
    generation = in_doubt(alice)
    decide(generation, actor=boss, reason="not in the gateway's console")
    generation.refresh_from_db()
    assert (generation.status, held(alice)) == (Status.FAILED, 0)
    entry = AuditEntry.objects.get(action__startswith="doubt.")
    assert (entry.actor, entry.detail["reason"]) == (boss, "not in the gateway's console")
    assert generation.events.last().actor == boss


def test_only_an_admin_decides_and_only_with_a_reason(alice, boss):
    generation = in_doubt(alice)
    with pytest.raises(Forbidden):
        services.release(generation, actor=alice, reason="mine")
    with pytest.raises(InvalidValue):
        services.release(generation, actor=boss, reason=" ")
    assert held(alice) == 15


def test_what_is_not_in_doubt_is_not_decided_about(alice, boss):
    with pytest.raises(WrongState):
        services.release(submitted(alice), actor=boss, reason="x")


def test_an_id_that_upstream_knows_goes_on_running(alice, boss, sandbox, work):
    generation = ask(alice, prompt="小猫 [break]")
    work()
    generation.refresh_from_db()
    assert generation.status == Status.UNKNOWN
    (entry,) = sandbox.journal()
    services.attach_id(generation, upstream_id=f" {entry['id']} ", actor=boss, reason="seen in the console")
    work()
    generation.refresh_from_db()
    assert (generation.status, generation.upstream_id) == (Status.SUCCEEDED, entry["id"])
    assert generation.attach_wish.answer == "confirmed"
    assert len(sandbox.journal()) == 1


def test_an_id_that_upstream_does_not_know_changes_nothing(alice, boss, sandbox, work):
    generation = in_doubt(alice)
    services.attach_id(generation, upstream_id="task_nowhere", actor=boss, reason="a guess")
    work()
    generation.refresh_from_db()
    assert (generation.status, generation.upstream_id) == (Status.UNKNOWN, None)
    assert "exist" in generation.attach_wish.answer.casefold()


def test_an_id_of_another_generation_is_refused(alice, boss):
    other = submitted(alice)
    with pytest.raises(InvalidValue, match="Another generation"):
        services.attach_id(in_doubt(alice), upstream_id=other.upstream_id, actor=boss, reason="x")


def test_its_owner_is_told_whether_anybody_can_be_asked(alice):
    without_id, with_id = in_doubt(alice), submitted(alice, "known-to-upstream")
    Generation.objects.filter(pk=with_id.pk).update(status=Status.UNKNOWN)
    told = {row: signed_in(alice).get(f"/g/{row.pk}").content.decode() for row in (without_id, with_id)}
    assert "We keep asking" not in told[without_id] and "within 3 days" in told[without_id]
    assert "We keep asking" in told[with_id]
