"""The end of content: deleted, too old, or its maker has left. Files and words go; events and ledger stay."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from accounts import services as people
from accounts.invariants import ALL
from accounts.invariants import INVARIANTS as OF_ACCOUNTS
from accounts.models import AuditEntry, Team, Transfer, User
from accounts.services import make_key, set_active
from generations import services, upkeep
from generations.invariants import INVARIANTS as OF_GENERATIONS
from generations.models import Favourite, Generation, InputImage, Status, Video
from generations.omnimaas.reader import Reading
from generations.services.retention import forget_retention
from kling_platform.errors import Forbidden, InvalidValue, NotFound, WrongState
from tests.api import Api, finished
from tests.makers import ask, due, submitted
from tests.portal import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


@pytest.fixture
def film(alice: User, sandbox: Any, work: Any, picture: Callable[[int, int], str]) -> Generation:
    """A stored video with a poster, a first frame and the last one taken, all real files."""
    generation = ask(alice, prompt="A fox crosses a frozen lake.", images=[picture(640, 360)])
    work()
    generation.refresh_from_db()
    assert generation.status == Status.SUCCEEDED, generation.error_message
    services.want_last_frame(generation)
    work()
    return generation


@pytest.fixture
def files(settings: Any) -> Callable[[], list[Path]]:
    return lambda: [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]


def days_pass(days: float) -> None:
    back = timedelta(days=days)
    Generation.objects.filter(finished_at__isnull=False).update(finished_at=F("finished_at") - back)
    Generation.objects.filter(deleted_at__isnull=False).update(deleted_at=F("deleted_at") - back)


def breaches() -> list[str]:
    return [one for invariant in (*OF_ACCOUNTS, *OF_GENERATIONS) for one in invariant.breaches(ALL)]


def test_a_deleted_video_can_be_brought_back_for_seven_days_and_is_gone_after_that(
    alice: User, film: Generation, files: Callable[[], list[Path]]
) -> None:
    assert len(files()) == 4
    services.delete(film, actor=alice)
    days_pass(6.9)
    assert upkeep.purge() == 0
    services.undelete(film.pk, user=alice)
    services.delete(Generation.objects.get(), actor=alice)
    days_pass(7.1)
    with pytest.raises(NotFound):
        services.undelete(film.pk, user=alice)
    events, lines = film.events.count(), Transfer.objects.count()
    assert upkeep.purge() == 1
    assert files() == []
    film.refresh_from_db()
    assert (film.prompt, film.metadata, film.upstream_reply) == ("", {}, "")
    assert not Video.objects.exists() and not InputImage.objects.exists()
    assert (film.events.count(), Transfer.objects.count()) == (events, lines)
    assert upkeep.purge() == 0
    assert breaches() == []


def test_killed_between_file_and_row_it_goes_on(
    alice: User, film: Generation, files: Callable[[], list[Path]]
) -> None:
    services.delete(film, actor=alice)
    days_pass(8)
    (due,) = services.due_purges()
    for path in files()[:2]:
        path.unlink()
    assert upkeep.purge() == 1
    assert files() == []
    assert not services.record_purged(due)


def test_what_is_kept_is_never_touched(film: Generation, files: Callable[[], list[Path]]) -> None:
    days_pass(5_000)
    assert upkeep.purge() == 0
    assert len(files()) == 4


def test_by_setting_old_ones_are_deleted_and_people_are_told_before(
    alice: User, bob: User, film: Generation, settings: Any
) -> None:
    client = signed_in(alice)
    settings.RETENTION_DAYS = 90
    assert "deleted by itself" not in client.get("/").content.decode()
    assert "Kept until" in client.get(f"/g/{film.pk}").content.decode()
    days_pass(84)
    assert "1 video is deleted by itself within a week" in client.get("/").content.decode()
    assert "then deleted by itself" in client.get(f"/g/{film.pk}").content.decode()
    assert "deleted by itself" not in signed_in(bob).get("/").content.decode()
    assert upkeep.purge() == 0
    days_pass(6.1)
    Favourite.objects.create(user=alice, generation=film)
    upkeep.purge()
    page = client.get(f"/g/{film.pk}")
    assert page.status_code == 200 and "Kept until" not in page.content.decode(), "favourites are kept"
    Favourite.objects.all().delete()
    upkeep.purge()
    assert client.get(f"/g/{film.pk}").status_code == 404
    assert Video.objects.exists(), "it can be asked for during the seven days of every deletion"
    days_pass(7.1)
    assert upkeep.purge() == 1


def test_a_teams_rule_ends_what_was_made_for_it_and_never_without_a_weeks_notice(
    alice: User, boss: User, settings: Any
) -> None:
    settings.RETENTION_DAYS = 90
    team = people.make_team("Film", actor=boss)
    people.add_member(team, alice, actor=boss)
    ours, mine = finished(alice, team="Film"), finished(alice, team=None)
    days_pass(40)
    client = signed_in(alice)
    assert "deleted by itself" not in client.get("/").content.decode()
    form = {"name": "Film", "sharing": "on", "share_links": "on", "retention_days": 30, "version": 1}
    assert signed_in(boss).post(f"/manage/teams/{team.pk}", form).status_code == 302
    forget_retention()
    assert "1 video is deleted by itself within a week" in client.get("/").content.decode()
    assert "then deleted by itself" in client.get(f"/g/{ours.pk}").content.decode()
    assert services.delete_expired() == 0, "its makers have seen the rule for less than a week"

    Team.objects.update(retention_since=F("retention_since") - timedelta(days=7, seconds=1))
    until = services.kept_until(Generation.objects.get(pk=ours.pk))
    assert until is not None and until < timezone.now(), "its week is over"
    Favourite.objects.create(user=boss, generation=ours)
    assert services.delete_expired() == 0, "somebody's favourite"
    Favourite.objects.all().delete()
    assert services.delete_expired() == 1
    assert [row.pk for row in Generation.objects.filter(deleted_at=None)] == [mine.pk]
    assert services.kept_until(mine) is not None, "the platform's rule holds for it alone"


def test_a_leaver_is_out_at_once_and_forgotten_when_all_is_over(
    alice: User, boss: User, film: Generation, files: Callable[[], list[Path]], alice_key: str
) -> None:
    browser = signed_in(alice)
    link = Api(alice_key).get(f"/v1/video/generations/{film.pk}").json()["url"]
    running, waiting = submitted(alice), ask(alice)
    assert services.retire_user(alice, actor=boss, reason="new job") == 1
    assert browser.get("/").status_code == 302
    assert Api(alice_key).get("/v1/models").status_code == 401
    assert Api().get(link.removeprefix("http://127.0.0.1:8000")).status_code in (403, 404)
    waiting.refresh_from_db()
    assert waiting.status == Status.CANCELED
    with pytest.raises(WrongState):
        set_active(alice, True, actor=boss)

    assert upkeep.purge() == 2, "all but what is still in the making"
    alice.refresh_from_db()
    assert (files(), alice.username) == ([], "alice")
    services.record_reading(due(running), Reading("failed"))
    assert upkeep.purge() == 1
    alice.refresh_from_db()
    assert (alice.username, alice.email) == (f"former-{alice.pk}", "")
    assert not Generation.objects.exclude(prompt="").exists()
    assert Transfer.objects.filter(wallet__quota__user=alice).exists()
    assert AuditEntry.objects.get(action="user.retire").detail["reason"] == "new job"
    assert services.retire_user(alice, actor=boss, reason="again") == 0
    assert breaches() == []


def test_only_an_admin_retires_and_only_with_a_reason_and_never_himself(
    alice: User, bob: User, boss: User
) -> None:
    make_key(alice, label="kept")
    with pytest.raises(Forbidden):
        services.retire_user(alice, actor=bob, reason="x")
    with pytest.raises(InvalidValue):
        services.retire_user(alice, actor=boss, reason=" ")
    with pytest.raises(WrongState):
        services.retire_user(boss, actor=boss, reason="x")
    alice.refresh_from_db()
    assert alice.is_active and alice.api_keys.filter(revoked_at=None).exists()
