"""The page of operations: one look, the big switch, and a way out of every doubt."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from accounts.models import AuditEntry, User
from generations import services
from generations.models import Alarm, AttachWish, Generation, Status, Upstream, WebhookDelivery, WebhookTry
from generations.services.operations import forget_pause
from tests.conftest import person
from tests.makers import ask, claim_one, storing
from tests.office import text
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


def test_what_was_lost_for_good_is_listed_beside_what_is_still_tried(alice: User, boss: User) -> None:
    lost = storing(alice)
    for _ in range(3):
        Generation.objects.filter(pk=lost.pk).update(next_check_at=lost.created_at)
        assert services.claim_store(lost.pk)
        services.record_store_failed(lost.pk, message="404, twice", gone=True)
    office = signed_in(boss)
    page = text(office.get("/manage/operations"))
    assert "Every finished video is in storage." in page
    assert "3 tries · 15 credits returned" in page and "404, twice" in page


def test_one_time_for_the_whole_page(alice: User, boss: User) -> None:
    """What was lost, failed, rang or was given up five days ago is of the last week, and not of the last day."""
    long_ago = timezone.now() - timedelta(days=5)
    lost = storing(alice)
    for _ in range(3):
        Generation.objects.filter(pk=lost.pk).update(next_check_at=lost.created_at)
        services.claim_store(lost.pk)
        services.record_store_failed(lost.pk, message="gone five days ago", gone=True)
    Generation.objects.filter(pk=lost.pk).update(finished_at=long_ago)
    Alarm.objects.update(last_at=long_ago)
    hook = services.register_webhook(alice, url="https://example.com/hook")
    delivery = WebhookDelivery.objects.create(
        endpoint=hook, event="generation.failed", status="failed", created_at=long_ago
    )
    WebhookTry.objects.create(delivery=delivery, number=10, outcome="refused", status=502, at=long_ago)
    office = signed_in(boss)
    today, week = (text(office.get(f"/manage/operations{query}")) for query in ("", "?span=week"))
    told = ("gone five days ago", "video_gone", "could not be fetched any more", "1 event given up")
    assert [said for said in told if said in today or said not in week] == []
    assert "Webhooks given up 0" in today and "Webhooks given up 1" in week
    moving = office.get("/manage/operations?span=week", headers={"HX-Request": "true"})
    assert "video_gone" in moving.content.decode()
    office.post("/manage/operations/webhooks")
    delivery.refresh_from_db()
    assert delivery.status == "failed", "only what the page shows is sent again"
    answer = office.post("/manage/operations/webhooks?span=week")
    assert answer.headers["Location"] == "/manage/operations?span=week"
    delivery.refresh_from_db()
    assert delivery.status == "waiting"
    assert office.get("/manage/operations?span=century").context["chosen"] == "day"


def test_it_is_for_admins_alone(alice: User) -> None:
    for user in (alice, person("maria", role=User.Role.MANAGER), person("fred", role=User.Role.FINANCE)):
        client = signed_in(user)
        assert client.get("/manage/operations").status_code == 404
        assert client.post("/manage/operations/pause", {"reason": "x"}).status_code == 404


def test_what_webhooks_never_took_is_shown_and_sent_again(alice: User, bob: User, boss: User) -> None:
    hooks = [services.register_webhook(user, url="https://example.com/secret-path") for user in (alice, bob)]
    for hook in hooks:
        delivery = WebhookDelivery.objects.create(endpoint=hook, event="generation.failed", status="failed")
        WebhookTry.objects.create(delivery=delivery, number=10, outcome="refused", status=502)
    WebhookDelivery.objects.filter(endpoint=hooks[1]).update(created_at=timezone.now() - timedelta(days=9))
    WebhookTry.objects.filter(delivery__endpoint=hooks[1]).delete()
    services.pause_webhook(hooks[1])  # which gives up what waits, tried or not
    office = signed_in(boss)
    page = office.get("/manage/operations").content.decode()
    assert "example.com" in page and "secret-path" not in page
    assert "502" in page and "its owner has to resume it" in page
    office.post("/manage/operations/webhooks")
    states = dict(WebhookDelivery.objects.values_list("endpoint__user__username", "status"))
    assert states == {"alice": "waiting", "bob": "failed"}
    answer = office.post(f"/manage/operations/webhooks/{hooks[1].pk}", follow=True)
    assert "their owners have to resume" in answer.content.decode()
    assert AuditEntry.objects.filter(action="webhook.replay").count() == 1


def test_one_look_asks_twelve_times_at_most(alice: User, boss: User) -> None:
    for _ in range(5):
        ask(alice)
    office = signed_in(boss)
    office.get("/manage/operations")
    with CaptureQueriesContext(connection) as seen:
        office.get("/manage/operations")
    # Beside what every page asks: who is there, what is left to them, what is new; and (one more) whether it is paused.
    of_every_page = r'FROM "(django_session|accounts_(user|quota|wallet|notice))"'
    asked = [query["sql"] for query in seen if not re.search(of_every_page, query["sql"])]
    assert len(asked) <= 12 + 1, asked
