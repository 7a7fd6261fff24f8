"""Storyboards: each shot begins where the last one ended, none is paid twice, and one film comes of it."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import av
import pytest
from django.db import IntegrityError, connection
from django.db.models.functions import Now
from django.utils.module_loading import import_string
from django_q.models import OrmQ
from PIL import Image, ImageChops, ImageStat

from accounts.models import User
from accounts.quotas import balances
from accounts.services import set_quota
from generations import services
from generations.models import Generation, Shot, Status, Storyboard
from generations.services import Planned
from generations.services.storyboards import JOIN_ATTEMPTS
from kling_platform.errors import InsufficientQuota, InvalidValue, WrongState
from tests.conftest import person
from tests.makers import ask, claim_one

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]

TWO = [Planned("A fox wakes in the snow.", 5), Planned("It runs into the trees.", 5)]


def plan(user: User, shots: list[Planned] = TWO, **options: Any) -> Storyboard:
    options = {"title": "Fox", "model": "kling-v2-5-turbo-std", "size": "16:9", **options}
    return services.plan_storyboard(user=user, shots=shots, **options)


def available(user: User) -> int:
    return balances(user)[0].wallet.available


def fail_newest(message: str = "the prompt was refused") -> None:
    """Upstream refuses whatever is next in the queue."""
    assert services.record_refused(claim_one(), code="refused", message=message)


def advance(storyboard: Storyboard) -> bool:
    return import_string("generations.film_tasks.advance_storyboard")(str(storyboard.pk))


def picture_at(film: Any, second: float) -> Image.Image:
    with film.open() as file, av.open(io.BytesIO(file.read())) as container:
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= second:
                return frame.to_image()
    raise AssertionError(f"the film ends before {second} s")


def test_shots_follow_each_other_and_become_one_film(alice: User, sandbox: Any, work: Any) -> None:
    storyboard = plan(alice)
    assert services.price_left(storyboard) == 30
    assert available(alice) == 1_000, "a plan costs nothing"
    services.start_storyboard(storyboard)
    work()
    storyboard.refresh_from_db()
    assert (storyboard.status, storyboard.problem) == (Storyboard.Status.DONE, "")
    assert available(alice) == 970
    first, second = (shot.generation for shot in storyboard.shots.all())
    assert first and second
    assert (second.derived_from, second.derivation) == (first, "continuation")
    # It begins with the picture that the first one ends with.
    sent = Image.open(second.images.get(position=0).file).convert("L").resize((64, 36))
    ends = picture_at(first.video.file, first.video.seconds - 0.05).convert("L").resize((64, 36))
    assert ImageStat.Stat(ImageChops.difference(sent, ends)).mean[0] < 3
    lengths = first.video.seconds + second.video.seconds
    assert storyboard.film_seconds == pytest.approx(lengths, abs=0.1)
    picture_at(storyboard.film, lengths - 0.1)
    assert storyboard.film_bytes == storyboard.film.size


def test_a_finished_video_can_be_the_first_shot(alice: User, sandbox: Any, work: Any) -> None:
    begins = ask(alice)
    with pytest.raises(WrongState):
        plan(alice, begins_with=begins)
    work()
    begins.refresh_from_db()
    storyboard = plan(alice, TWO[:1], begins_with=begins)
    assert services.price_left(storyboard) == 15, "what is made already is paid already"
    services.start_storyboard(storyboard)
    work()
    storyboard.refresh_from_db()
    assert storyboard.status == Storyboard.Status.DONE
    assert storyboard.film_seconds == pytest.approx(10, abs=0.5)


def test_a_failed_shot_stops_it_and_can_be_changed_and_made_again(
    alice: User, sandbox: Any, work: Any
) -> None:
    storyboard = plan(alice)
    services.start_storyboard(storyboard)
    assert advance(storyboard)
    fail_newest()
    work()
    storyboard.refresh_from_db()
    assert (storyboard.status, storyboard.problem) == (Storyboard.Status.STOPPED, "shot_failed")
    assert available(alice) == 1_000
    first = storyboard.shots.get(position=0)
    services.change_shot(first, prompt="A hare wakes in the snow.", seconds=10)
    assert services.price_left(storyboard) == 45
    services.start_storyboard(storyboard)
    work()
    storyboard.refresh_from_db()
    assert storyboard.status == Storyboard.Status.DONE
    assert available(alice) == 955
    assert Generation.objects.filter(prompt="A hare wakes in the snow.", status=Status.SUCCEEDED).exists()


def test_a_stop_begins_no_further_shot_and_loses_none(alice: User, sandbox: Any, work: Any) -> None:
    storyboard = plan(alice)
    services.start_storyboard(storyboard)
    assert advance(storyboard)
    services.stop_storyboard(storyboard)
    work()
    assert Generation.objects.filter(user=alice).count() == 1
    with pytest.raises(WrongState):
        services.change_shot(storyboard.shots.get(position=0), prompt="Too late.", seconds=5)
    assert services.price_left(storyboard) == 15
    services.start_storyboard(storyboard)
    work()
    storyboard.refresh_from_db()
    assert storyboard.status == Storyboard.Status.DONE


def test_it_begins_only_when_all_of_it_can_be_paid(alice: User) -> None:
    set_quota(alice, credits=29)
    storyboard = plan(alice)
    with pytest.raises(InsufficientQuota, match="29 credits left, this needs 30"):
        services.start_storyboard(storyboard)
    storyboard.refresh_from_db()
    assert storyboard.status == Storyboard.Status.DRAFT
    assert not Generation.objects.exists()


def test_credits_spent_elsewhere_stop_it_with_a_reason(alice: User, sandbox: Any, work: Any) -> None:
    storyboard = plan(alice)
    services.start_storyboard(storyboard)
    assert advance(storyboard)
    set_quota(alice, credits=20)
    work()
    storyboard.refresh_from_db()
    assert (storyboard.status, storyboard.problem) == (Storyboard.Status.STOPPED, "unpaid")
    set_quota(alice, credits=1_000)
    services.start_storyboard(storyboard)
    work()
    storyboard.refresh_from_db()
    assert storyboard.status == Storyboard.Status.DONE


@pytest.mark.django_db(transaction=True)
def test_a_shot_is_paid_once_however_many_make_it(transactional_db: None) -> None:
    alice = person("alice")
    storyboard = plan(alice)
    services.start_storyboard(storyboard)
    step = services.next_step(storyboard.pk)
    assert step

    def make(_number: int) -> bool:
        try:
            return services.make_shot(step, b"") is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(make, range(8))) == 1
    assert Generation.objects.count() == 1
    assert available(alice) == 985


def test_a_lost_wake_up_is_made_good_by_the_sweep(alice: User, sandbox: Any, work: Any) -> None:
    storyboard = plan(alice)
    services.start_storyboard(storyboard)
    OrmQ.objects.all().delete()
    assert services.sweep_due()["storyboards"] == 1
    work()
    storyboard.refresh_from_db()
    assert storyboard.status == Storyboard.Status.DONE


def test_a_join_that_keeps_dying_is_given_up(alice: User, sandbox: Any, work: Any) -> None:
    storyboard = plan(alice)
    services.start_storyboard(storyboard)
    work()
    Storyboard.objects.filter(pk=storyboard.pk).update(
        status="joining", film="", due_at=Now(), join_attempts=0
    )
    for _try in range(JOIN_ATTEMPTS):
        assert services.claim_join(storyboard.pk)
        assert services.claim_join(storyboard.pk) is None, "leased"
        Storyboard.objects.filter(pk=storyboard.pk).update(due_at=Now() - timedelta(seconds=1))
    assert services.claim_join(storyboard.pk) is None
    storyboard.refresh_from_db()
    assert (storyboard.status, storyboard.problem) == (Storyboard.Status.STOPPED, "unjoined")


@pytest.mark.parametrize(
    ("shots", "options", "param"),
    [
        ([], {}, "shots"),
        ([Planned("x", 5)] * 13, {}, "shots"),
        ([Planned("x", 5), Planned(" ", 5)], {}, "shots.1.prompt"),
        ([Planned("x", 7)], {}, "shots.0.duration"),
        ([Planned("x", 5)], {"model": "none"}, "model"),
        ([Planned("x", 5)], {"sound": True}, "metadata.sound"),
        ([Planned("x", 5)], {"title": "\x00"}, "title"),
    ],
)
def test_a_plan_that_breaks_the_rules_is_refused(
    alice: User, shots: list[Planned], options: dict[str, Any], param: str
) -> None:
    with pytest.raises(InvalidValue) as refused:
        plan(alice, shots, **options)
    assert refused.value.param == param
    assert not Storyboard.objects.exists()


def test_a_deleted_storyboard_leaves_its_shots(alice: User, sandbox: Any, work: Any) -> None:
    storyboard = plan(alice)
    services.start_storyboard(storyboard)
    with pytest.raises(WrongState):
        services.delete_storyboard(storyboard)
    work()
    storyboard.refresh_from_db()
    services.delete_storyboard(storyboard)
    assert not Shot.objects.exists()
    assert Generation.objects.for_user(alice).count() == 2


def test_going_without_a_time_is_impossible(alice: User) -> None:
    with pytest.raises(IntegrityError, match=r"going_is_due|CHECK"):
        Storyboard.objects.filter(pk=plan(alice).pk).update(status="running")
