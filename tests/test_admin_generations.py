"""Generations in the admin: found, looked at, canceled, and brought out of doubt with a reason."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from accounts.models import AuditEntry, Transfer, User
from generations import services
from generations.models import Event, Generation, Status
from tests.makers import ask, claim_one, storing
from tests.office import messages, text

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


@pytest.fixture
def office(boss: User) -> Client:
    """A browser in which an admin is signed in."""
    client = Client()
    client.force_login(boss)
    return client


def listed(office: Client, query: str) -> int:
    page = office.get(f"/admin/generations/generation/?{query}")
    assert page.status_code == 200
    return page.context["cl"].result_count


def test_generations_are_found_by_state_model_user_and_words(office: Client, alice: User, bob: User) -> None:
    running = storing(alice)
    first, second = ask(alice, prompt="a red fox"), ask(bob, prompt="100% silk_road", model="kling-v2-6")
    assert listed(office, "status=queued") == 2
    assert listed(office, f"user__id__exact={bob.pk}") == 1
    assert listed(office, "model=kling-v2-6") == 1
    assert listed(office, "q=red+fox") == listed(office, "q=100%25+silk_") == 1
    assert listed(office, f"q={first.pk}") == listed(office, f"q={second.pk.hex}") == 1
    assert listed(office, f"q={running.upstream_id}") == 1
    assert listed(office, "q=nothing+like+it") == 0


def test_the_page_of_a_generation_tells_history_and_money(office: Client, alice: User) -> None:
    generation = storing(alice)
    page = text(office.get(f"/admin/generations/generation/{generation.pk}/change/"))
    assert "一只可爱的小猫" in page and str(generation.upstream_id) in page
    assert re.search(r"held 15 alice .* charged 15 alice", page)
    for event in Event.objects.filter(generation=generation):
        assert event.get_to_status_display() in page


def test_a_prompt_is_text_and_never_markup(office: Client, alice: User) -> None:
    generation = ask(alice, prompt="<script>alert(1)</script><img src=x onerror=alert(2)>")
    for page in (f"{generation.pk}/change/", ""):
        body = office.get(f"/admin/generations/generation/{page}").content.decode()
        assert "<script>alert" not in body and "<img src=x" not in body and "&lt;script&gt;alert" in body


def test_what_is_deleted_is_gone_here_too(office: Client, alice: User) -> None:
    generation = ask(alice)
    services.delete(generation, actor=alice)
    assert listed(office, "") == 0
    assert office.get(f"/admin/generations/generation/{generation.pk}/change/").status_code == 302


def test_canceling_says_what_came_too_late(office: Client, alice: User) -> None:
    running, queued = storing(alice), ask(alice)
    chosen = {"action": "cancel", "_selected_action": [running.pk, queued.pk]}
    said = messages(office.post("/admin/generations/generation/", chosen, follow=True))
    assert f"{queued.pk} is canceled; its credits are returned." in said
    assert any(sentence.startswith(f"{running.pk}: It has been sent") for sentence in said)
    queued.refresh_from_db()
    assert queued.status == Status.CANCELED


def doubtful(alice: User) -> Generation:
    generation = ask(alice)
    assert services.record_doubt(claim_one(), code="no_answer", message="reset by peer")
    generation.refresh_from_db()
    assert generation.status == Status.UNKNOWN
    return generation


@pytest.mark.parametrize("how", ["release", "write-off"])
def test_a_doubt_is_ended_with_a_reason(office: Client, alice: User, boss: User, how: str) -> None:
    generation = doubtful(alice)
    page = office.get(f"/admin/generations/generation/{generation.pk}/change/").content.decode()
    url = f"/admin/generations/generation/{generation.pk}/{how}/"
    assert url in page
    assert office.get(url).status_code == 200
    assert office.post(url, {"reason": " "}).status_code == 400
    assert office.post(url, {"reason": "not on their list"}).status_code == 302
    generation.refresh_from_db()
    assert generation.status == Status.FAILED
    assert Transfer.objects.filter(generation_id=generation.pk, kind="release").exists()
    assert AuditEntry.objects.filter(actor=boss, subject=str(generation.pk)).exists()
    again = office.post(url, {"reason": "once more"})
    assert again.status_code == 400 and "not in doubt any more" in text(again)


def test_an_id_is_attached_as_a_wish(office: Client, alice: User) -> None:
    generation = doubtful(alice)
    url = f"/admin/generations/generation/{generation.pk}/attach/"
    assert office.post(url, {"reason": "their page", "upstream_id": ""}).status_code == 400
    answer = office.post(url, {"reason": "their page", "upstream_id": "up-77"}, follow=True)
    assert "up-77: checking…" in text(answer)


def test_what_is_not_in_doubt_offers_no_end_of_it(office: Client, alice: User) -> None:
    generation = ask(alice)
    page = office.get(f"/admin/generations/generation/{generation.pk}/change/").content.decode()
    assert "/release/" not in page
    assert office.get(f"/admin/generations/generation/{generation.pk}/destroy/").status_code == 404
