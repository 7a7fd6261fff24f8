"""The page of operations: one look, the big switch, and a way out of every doubt."""

from __future__ import annotations

import pytest
from django_q.models import OrmQ

from accounts.models import AuditEntry, User
from generations import services
from generations.models import AttachWish, Generation, Status, Upstream
from generations.services.operations import forget_pause
from tests.conftest import person
from tests.makers import ask, claim_one, storing
from tests.portal import signed_in

pytestmark = pytest.mark.django_db


def in_doubt(user: User) -> Generation:
    generation = ask(user)
    assert services.record_doubt(claim_one(), code="500", message="oops", reply='{"error": "oops"}')
    generation.refresh_from_db()
    return generation


def test_it_works(alice: User, boss: User) -> None:
    ask(alice)
    page = signed_in(boss).get("/manage/operations").content.decode()
    assert "No worker has given a sign of life" in page
    assert "Nothing is in doubt." in page


def test_the_switch_is_pulled_and_pushed_back(boss: User) -> None:
    office = signed_in(boss)
    office.post("/manage/operations/pause", {"reason": "Renewing the account"})
    forget_pause()
    assert Upstream.objects.get().paused_reason == "Renewing the account"
    assert "Resume sending" in office.get("/manage/operations").content.decode()
    office.post("/manage/operations/resume")
    assert Upstream.objects.get().paused_at is None


def test_a_pause_needs_a_reason(boss: User) -> None:
    answer = signed_in(boss).post("/manage/operations/pause", {"reason": " "}, follow=True)
    assert "Say why" in answer.content.decode()
    assert not Upstream.objects.filter(paused_at__isnull=False).exists()


def test_a_doubt_shows_its_evidence_and_three_ways_out(alice: User, boss: User) -> None:
    doubt = in_doubt(alice)
    office = signed_in(boss)
    page = office.get("/manage/operations").content.decode()
    assert doubt.prompt in page and "{&quot;error&quot;: &quot;oops&quot;}" in page
    office.post(f"/manage/operations/doubts/{doubt.pk}/attach", {"upstream_id": "up-9", "reason": "console"})
    assert AttachWish.objects.get().upstream_id == "up-9"
    assert "checking" in office.get("/manage/operations").content.decode()
    office.post(f"/manage/operations/doubts/{doubt.pk}/release", {"reason": "not in the console"})
    doubt.refresh_from_db()
    assert doubt.status == Status.FAILED
    other = in_doubt(alice)
    office.post(f"/manage/operations/doubts/{other.pk}/write-off", {"reason": "billed, and gone"})
    other.refresh_from_db()
    assert other.status == Status.FAILED
    actions = (
        AuditEntry.objects.filter(action__startswith="doubt.").order_by("at").values_list("action", flat=True)
    )
    assert list(actions) == ["doubt.attach", "doubt.released", "doubt.written_off"]
    assert office.post(f"/manage/operations/doubts/{other.pk}/forget").status_code == 404


def test_a_stuck_video_is_tried_at_once(alice: User, boss: User) -> None:
    generation = storing(alice)
    for _ in range(3):
        Generation.objects.filter(pk=generation.pk).update(next_check_at=generation.created_at)
        assert services.claim_store(generation.pk)
        services.record_store_failed(generation.pk, message="503", gone=False)
    OrmQ.objects.all().delete()
    office = signed_in(boss)
    assert "3 tries" in office.get("/manage/operations").content.decode()
    office.post(f"/manage/operations/stores/{generation.pk}")
    assert OrmQ.objects.count() == 1
    assert services.claim_store(generation.pk) is not None


def test_it_is_for_admins_alone(alice: User) -> None:
    for user in (alice, person("maria", role=User.Role.MANAGER), person("fred", role=User.Role.FINANCE)):
        client = signed_in(user)
        assert client.get("/manage/operations").status_code == 404
        assert client.post("/manage/operations/pause", {"reason": "x"}).status_code == 404
