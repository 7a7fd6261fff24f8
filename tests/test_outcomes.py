"""Every transition, with its credits, its event and its guard."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.db.models import DateTimeField, F
from django.db.models.functions import Now
from django_q.models import OrmQ

from accounts import ledger
from accounts.models import Transfer, User, Wallet
from generations import dispatch, lifecycle, services
from generations.models import OPEN, TERMINAL, Event, Generation, Status, Upstream, Video
from generations.omnimaas.reader import Reading
from kling_platform.errors import InsufficientQuota, NoQuota, NotFound, Suspended, WrongState
from tests.makers import ask, claim_one, due, make_user, storing, submitted

CLOCKS = [field.name for field in Generation._meta.fields if isinstance(field, DateTimeField)]

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


@pytest.fixture
def alice():
    return make_user("alice", credits=100)


def balance(user) -> tuple[int, int, int]:
    """(available, reserved, spent)"""
    return Wallet.objects.values_list("available", "reserved", "spent").get(quota__user=user)


def age(generation, **by) -> None:
    """Make a row older than it is."""
    row = Generation.objects.get(pk=generation.pk)
    shift = timedelta(**by)
    for name in CLOCKS:
        if getattr(row, name):
            Generation.objects.filter(pk=row.pk).update(**{name: getattr(row, name) - shift})


def a_video() -> Video:
    return Video(file="v.mp4", poster="p.jpg", width=16, height=9, seconds=5, bytes=9, sha256="0" * 64)


def words(generation) -> list[str]:
    return list(generation.events.values_list("to_status", flat=True))


def test_it_works_from_queue_to_storage(alice):
    generation = storing(alice)
    assert balance(alice) == (85, 0, 15)
    assert services.claim_store(generation.pk)
    assert services.record_stored(generation.pk, a_video())
    generation.refresh_from_db()
    assert generation.status == Status.SUCCEEDED
    assert generation.finished_at and generation.next_check_at is None and generation.result_url == ""
    assert words(generation) == ["queued", "submitting", "running", "storing", "succeeded"]
    assert balance(alice) == (85, 0, 15)


def test_creating_writes_a_row_a_hold_and_a_wake_up(alice):
    generation = ask(alice)
    assert generation.status == Status.QUEUED
    assert balance(alice) == (85, 15, 0)
    assert [OrmQ.objects.get().func()] == ["generations.tasks.dispatch"]


def test_a_refusal_leaves_nothing(alice):
    with pytest.raises(InsufficientQuota, match="Your monthly quota: 10 credits left, this needs 15, resets"):
        for _ in range(8):
            ask(alice)
    assert Generation.objects.count() == 6
    assert Event.objects.count() == 6
    assert OrmQ.objects.count() == 6
    assert balance(alice) == (10, 90, 0)


def test_without_a_quota_nothing_is_made():
    with pytest.raises(NoQuota):
        ask(User.objects.create_user("carol"))
    assert not Generation.objects.exists()


def test_a_suspended_user_makes_nothing(alice):
    alice.is_active = False
    with pytest.raises(Suspended):
        ask(alice)


def test_cancel_returns_what_was_held(alice):
    generation = services.cancel(ask(alice), actor=alice)
    assert generation.status == Status.CANCELED
    assert balance(alice) == (100, 0, 0)


def test_what_was_sent_cannot_be_canceled(alice):
    generation = submitted(alice)
    with pytest.raises(WrongState):
        services.cancel(generation, actor=alice)
    assert balance(alice) == (85, 15, 0)


def test_upstreams_refusal_returns_the_credits(alice):
    generation = ask(alice)
    assert services.record_refused(claim_one(), code="1301", message="content policy")
    generation.refresh_from_db()
    assert (generation.status, generation.error_code) == (Status.FAILED, "1301")
    assert balance(alice) == (100, 0, 0)


@pytest.mark.parametrize(
    "record", [services.record_not_sent, services.record_throttled, services.record_account_fault]
)
def test_what_was_surely_not_created_goes_back_into_the_queue(alice, record):
    generation = ask(alice)
    assert record(claim_one(), message="x")
    generation.refresh_from_db()
    assert (generation.status, generation.attempts, generation.claim_token) == (Status.QUEUED, 1, None)
    assert balance(alice) == (85, 15, 0)


def test_doubt_holds_the_credits_and_is_never_sent_again(alice):
    generation = ask(alice)
    services.record_doubt(claim_one(), code="line", message="x")
    generation.refresh_from_db()
    assert generation.status == Status.UNKNOWN
    assert balance(alice) == (85, 15, 0)
    age(generation, hours=1)
    services.sweep_due()
    assert dispatch.claim(5) == []


def test_a_lease_that_is_over_is_doubt_and_a_late_answer_still_counts(alice):
    generation = ask(alice)
    claim = claim_one()
    age(generation, minutes=10)
    assert services.sweep_due()["lease_over"] == 1
    generation.refresh_from_db()
    assert generation.status == Status.UNKNOWN
    assert services.record_submitted(claim, upstream_id="late")
    generation.refresh_from_db()
    assert (generation.status, generation.upstream_id) == (Status.RUNNING, "late")
    assert not services.record_submitted(claim, upstream_id="later"), "once"


def test_a_stale_token_changes_nothing(alice):
    ask(alice)
    claim = claim_one()
    stranger = dispatch.Claim(claim.generation_id, uuid.uuid4())
    assert not services.record_submitted(stranger, upstream_id="x")
    assert not services.record_refused(stranger, code="x", message="x")
    assert not services.record_not_sent(stranger, message="x")
    assert not services.record_doubt(stranger, code="x", message="x")
    assert Generation.objects.get().status == Status.SUBMITTING


def test_an_id_that_another_row_has_is_doubt(alice):
    submitted(alice, upstream_id="same")
    second = ask(alice)
    services.record_submitted(claim_one(), upstream_id="same")
    second.refresh_from_db()
    assert (second.status, second.upstream_id) == (Status.UNKNOWN, None)


def test_upstreams_failure_returns_the_credits(alice):
    generation = submitted(alice)
    services.record_reading(due(generation), Reading("failed", error_code="E", error_message="too dark"))
    generation.refresh_from_db()
    assert (generation.status, generation.error_message) == (Status.FAILED, "too dark")
    assert balance(alice) == (100, 0, 0)


def test_progress_never_goes_back(alice):
    generation = submitted(alice)
    for percent, shown in ((30, 30), (20, 30), (100, 99)):
        services.record_reading(due(generation), Reading("running", progress=percent))
        generation.refresh_from_db()
        assert generation.progress == shown


def test_success_without_a_link_is_no_verdict_for_fifteen_minutes(alice):
    generation = submitted(alice)
    services.record_reading(due(generation), Reading("succeeded"))
    generation.refresh_from_db()
    assert generation.status == Status.RUNNING
    age(generation, minutes=16)
    services.record_reading(due(generation), Reading("succeeded"))
    generation.refresh_from_db()
    assert generation.status == Status.UNKNOWN
    services.record_reading(due(generation), Reading("succeeded", url="https://cdn.example.com/v.mp4"))
    generation.refresh_from_db()
    assert generation.status == Status.STORING
    assert balance(alice) == (85, 0, 15)


def test_a_missing_id_is_no_verdict_before_three_times_over_ten_minutes(alice):
    generation = submitted(alice)
    for _ in range(5):
        services.record_missing(due(generation))
    generation.refresh_from_db()
    assert generation.status == Status.RUNNING
    age(generation, minutes=11)
    services.record_missing(due(generation))
    generation.refresh_from_db()
    assert generation.status == Status.UNKNOWN
    assert balance(alice) == (85, 15, 0)


def test_an_answer_in_between_forgets_that_it_was_missing(alice):
    generation = submitted(alice)
    services.record_missing(due(generation))
    services.record_reading(due(generation), Reading("running"))
    generation.refresh_from_db()
    assert (generation.missing_count, generation.missing_since) == (0, None)


def test_our_own_deadline_is_doubt_and_only_after_one_more_poll(alice):
    generation = submitted(alice)
    age(generation, hours=26)
    assert services.sweep_due()["overdue"] == 0, "not asked since"
    assert [poll.generation_id for poll in services.claim_polls(5)] == [generation.pk]
    assert services.sweep_due()["overdue"] == 0, "and not answered yet"
    Generation.objects.update(polled_at=F("polled_at") - timedelta(seconds=11))
    assert services.sweep_due()["overdue"] == 1
    generation.refresh_from_db()
    assert generation.status == Status.UNKNOWN


def test_doubt_ends_in_the_users_favour(alice):
    without_id = ask(alice)
    services.record_doubt(claim_one(), code="line", message="x")
    age(without_id, hours=71)
    assert services.sweep_due()["doubt_over"] == 0
    age(without_id, hours=2)
    assert services.sweep_due()["doubt_over"] == 1
    assert balance(alice) == (100, 0, 0)


def test_a_day_in_the_queue_is_given_back_but_not_while_the_circuit_is_open(alice):
    generation = ask(alice)
    age(generation, hours=25)
    dispatch.note_account_fault("key")
    assert services.sweep_due()["unsent"] == 0
    Upstream.objects.update(open_since=Now() - timedelta(hours=20))
    dispatch.note_success()
    assert services.sweep_due()["unsent"] == 0, "the clock stood"
    age(generation, hours=20)
    assert services.sweep_due()["unsent"] == 1
    assert balance(alice) == (100, 0, 0)


def test_a_link_that_is_gone_for_good_is_refunded(alice):
    generation = storing(alice)
    for attempt in range(1, 4):
        Generation.objects.filter(pk=generation.pk).update(next_check_at=Now())
        assert services.claim_store(generation.pk).store_attempts == attempt
        assert services.claim_store(generation.pk) is None, "leased"
        over = services.record_store_failed(
            generation.pk, message="404", gone=True, fresh_url="https://e.example/2"
        )
        assert over is (attempt == 3)
    generation.refresh_from_db()
    assert (generation.status, generation.error_code) == (Status.FAILED, "video_gone")
    assert balance(alice) == (100, 0, 0)


def test_trouble_in_storing_is_tried_for_as_long_as_it_takes(alice):
    generation = storing(alice)
    for _ in range(20):
        Generation.objects.filter(pk=generation.pk).update(next_check_at=Now())
        services.claim_store(generation.pk)
        assert not services.record_store_failed(generation.pk, message="disk full", gone=False)
    generation.refresh_from_db()
    assert generation.status == Status.STORING
    assert balance(alice) == (85, 0, 15)


def test_two_stores_make_one_video(alice):
    generation = storing(alice)
    assert services.record_stored(generation.pk, a_video())
    assert not services.record_stored(generation.pk, a_video())
    assert Video.objects.count() == 1


def test_a_retry_is_a_new_generation(alice):
    first = ask(alice, duration=10, size="9:16", metadata={"negative_prompt": "blur"})
    services.cancel(first, actor=alice)
    second = services.retry(first, user=alice)
    assert second.retry_of == first
    assert (second.seconds, second.size, second.metadata) == (10, "9:16", {"negative_prompt": "blur"})
    assert balance(alice) == (70, 30, 0)


def test_deleting_hides_and_can_be_undone_for_a_week(alice):
    generation = services.cancel(ask(alice), actor=alice)
    services.delete(generation, actor=alice)
    assert not Generation.objects.for_user(alice).exists()
    services.undelete(generation.pk, user=alice)
    assert Generation.objects.for_user(alice).get() == generation
    services.delete(generation, actor=alice)
    Generation.objects.update(deleted_at=Now() - timedelta(days=8))
    with pytest.raises(NotFound):
        services.undelete(generation.pk, user=alice)


def test_deleting_cancels_what_waits_and_refuses_what_runs(alice):
    queued = ask(alice)
    services.delete(queued, actor=alice)
    assert balance(alice) == (100, 0, 0)
    with pytest.raises(WrongState):
        services.delete(submitted(alice), actor=alice)


@pytest.mark.parametrize("source", list(Status))
@pytest.mark.parametrize("target", list(Status))
def test_only_the_tables_transitions_exist(source, target):
    if target in lifecycle.TRANSITIONS[source]:
        assert source in OPEN
    else:
        with pytest.raises(ValueError, match="no transition"):
            lifecycle.transition(uuid.uuid4(), source, target)
    if source in TERMINAL:
        assert not lifecycle.TRANSITIONS[source]


@pytest.mark.parametrize(
    "broken",
    [
        {"next_check_at": None},
        {"status": "dreaming"},
        {"status": "succeeded"},
        {"status": "running"},
        {"status": "submitting"},
        {"progress": 101},
        {"deleted_at": Now()},
    ],
)
def test_the_database_refuses_a_state_that_cannot_be(alice, broken):
    generation = ask(alice)
    with pytest.raises(IntegrityError), transaction.atomic():
        Generation.objects.filter(pk=generation.pk).update(**broken)


def test_credits_are_resolved_once(alice):
    generation = storing(alice)
    with pytest.raises(ledger.AlreadyResolved), transaction.atomic():
        ledger.settle(generation.pk)
    with pytest.raises(ledger.AlreadyResolved), transaction.atomic():
        ledger.release(generation.pk)
    assert Transfer.objects.filter(generation_id=generation.pk).count() == 2
