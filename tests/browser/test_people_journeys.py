"""People come and go, in a real browser: a table is looked at before it is done; a leaver's library finds an heir."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from accounts import services as people
from accounts import tasks
from accounts.models import Invitation, PeopleImport, Team, User
from generations import upkeep
from generations.models import Generation
from tests.api import finished
from tests.conftest import person

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SignIn = Callable[[User], None]


def test_a_table_is_mended_looked_at_and_done(page: Page, portal: str, boss: User, sign_in: SignIn) -> None:
    alice = person("alice")
    sign_in(boss)
    page.goto(f"{portal}/manage/people")
    page.get_by_role("link", name="Import").click()
    table = page.get_by_label("Or cells copied from a spreadsheet")
    table.fill("email,user,teams,role\nlin@example.com,,Film,\n,alice,,manager")
    page.get_by_role("button", name="Show what it would do").click()
    expect(page.get_by_role("heading", name="1 line cannot be done")).to_be_visible()
    expect(page.get_by_text("There is no team “Film”.")).to_be_visible()
    expect(page.get_by_role("button", name="Do all of it")).to_have_count(0)
    people.make_team("Film", actor=boss)
    page.get_by_role("button", name="Show what it would do").click()
    expect(page.locator("#plan")).to_contain_text("1 new · 1 changed · 0 unchanged")
    assert not Invitation.objects.exists()
    page.get_by_role("button", name="Do all of it").click()
    expect(page.get_by_text("It waits for a worker.")).to_be_visible()
    tasks.import_people(PeopleImport.objects.get().pk.hex)
    expect(page.get_by_text("Done: 1 invited, 1 changed.")).to_be_visible()
    page.get_by_role("link", name="To the list of people").click()
    expect(page.get_by_text("lin@example.com")).to_be_visible()
    alice.refresh_from_db()
    assert alice.role == "manager"


def test_a_leaver_hands_over_and_is_gone(page: Page, portal: str, boss: User, sign_in: SignIn) -> None:
    alice, bob = person("alice"), person("bob")
    finished(alice)
    sign_in(boss)
    page.goto(f"{portal}/manage/people/{alice.pk}")
    page.get_by_role("link", name="What would happen").click()
    hand = page.locator("#hand-over")
    hand.get_by_label("To whom").fill("bob")
    hand.get_by_label("Type “alice”, to be sure").fill("alice")
    hand.get_by_role("button", name="Hand over").click()
    expect(page.get_by_text("1 video is bob's now.")).to_be_visible()
    assert Generation.objects.get().user == bob
    finished(alice)
    leave = page.locator("#leave")
    leave.get_by_label("Why").fill("new job")
    leave.get_by_label("Type “alice”, to be sure").fill("alice")
    leave.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text("Purged: 0 of 1 video.")).to_be_visible()
    upkeep.purge()
    expect(page.get_by_text("Everything is gone.")).to_be_visible(timeout=20_000)
    alice.refresh_from_db()
    assert alice.username == f"former-{alice.pk}"


def test_a_team_is_made_and_ruled_and_the_audit_tells(
    page: Page, portal: str, boss: User, alice: User, sign_in: SignIn
) -> None:
    sign_in(boss)
    page.goto(f"{portal}/manage/teams")
    page.get_by_role("button", name="New team").click()
    page.get_by_label("Name", exact=True).fill("Film")
    page.get_by_role("button", name="Make the team").click()
    expect(page.get_by_role("heading", name="Film", level=1)).to_be_visible()
    page.get_by_label("Add somebody who is here already").fill("alice")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#members")).to_contain_text("alice")
    page.get_by_label("Label videos as AI generated").check()
    page.locator("#rules").get_by_role("button").click()
    expect(page.get_by_label("Label videos as AI generated")).to_be_checked()
    team = Team.objects.get(name="Film")
    assert team.labelled and team.members.get() == alice

    page.get_by_role("link", name="Audit").click()
    page.get_by_label("Search the audit").fill("Film")
    expect(page.locator("#table tbody tr")).to_have_count(3)  # made, filled, ruled
    page.get_by_label("Of whom").fill("nobody")
    page.get_by_label("Of whom").press("Enter")
    expect(page.locator("#table tbody tr")).to_have_count(0)
    page.get_by_label("Of whom").fill("")
    page.get_by_label("Of whom").press("Enter")
    expect(page.locator("#table tbody tr")).to_have_count(3)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert Path(download.value.path()).read_text("utf-8-sig").count("boss") == 3, (
        "what is searched for, and no more"
    )
    page.get_by_role("columnheader", name="When").get_by_role("link").click()
    expect(page).to_have_url(re.compile(r"sort="))
    page.go_back()
    expect(page).not_to_have_url(re.compile(r"sort="))
    page.get_by_role("link", name="Teams", exact=True).click()
    expect(page.get_by_role("heading", name="Teams", level=1)).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Search the audit")).to_have_value("Film")
    expect(page.locator("#table tbody tr")).to_have_count(3)
