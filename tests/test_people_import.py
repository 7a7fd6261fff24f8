"""A table of people: read as spreadsheets write it, shown line by line, done as a whole or not at all."""

from __future__ import annotations

import csv
import io
import time
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models.signals import post_save
from django.test import Client
from django.utils import timezone, translation
from django_q.models import OrmQ

from accounts import rosters, services
from accounts.models import AuditEntry, Invitation, PeopleImport, Quota, Team, User
from kling_platform.errors import InvalidValue, WrongState
from tests.conftest import person, run_queued
from tests.office import text
from tests.portal import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]

HEAD = "email,user,role,teams,credits,period\n"


@pytest.fixture
def film(alice: User, boss: User) -> Team:
    """Alice is in the team Film; she has an address, 1,000 credits a month."""
    User.objects.filter(pk=alice.pk).update(email="Alice@example.com")
    alice.refresh_from_db()
    team = services.make_team("Film", actor=boss)
    services.add_member(team, alice, actor=boss)
    return team


def plan(actor: User, *lines: str) -> list[tuple[str, str]]:
    """(kind, what it says) of each line."""
    steps = services.plan_import(HEAD + "\n".join(lines), actor=actor).steps
    return [
        (
            step.kind,
            step.error or "; ".join(f"{c.field} {c.before}→{c.after}" for c in step.changes) or step.note,
        )
        for step in steps
    ]


def do(actor: User, *lines: str) -> services.Plan:
    table = HEAD + "\n".join(lines)
    return services.apply_import(table, digest=services.plan_import(table, actor=actor).digest, actor=actor)


def confirmed(client: Client, table: str, seen: str) -> Any:
    """Confirm what was seen, let a worker do it, and look at the page that follows it."""
    begun = client.post("/manage/people/import", {"table": table, "seen": seen})
    run_queued(time.monotonic() + 20)
    return client.get(begun.headers["Location"])


def test_every_line_says_what_it_would_do_and_nothing_is_done(film: Team, alice: User, boss: User) -> None:
    before = AuditEntry.objects.count()
    assert plan(
        boss,
        "lin@example.com,,manager,Film,500,week",
        "alice@example.com,,manager,-,2000,",
        ",boss,,,,",
        ",nobody,,,,",
        "alice@example.com,boss,,,,",
        "new@example.com,,king,,,",
        "other@example.com,,,Sound,,",
        ",alice,,,,",
    ) == [
        ("new", "role →manager; teams →Film; credits →500; period →week"),
        ("changed", "role member→manager; teams Film→; credits 1000→2000"),
        ("same", ""),
        ("wrong", "Nobody is called nobody. Give an e-mail address, and they are invited."),
        ("wrong", "boss has another e-mail address here. Only they, or the administration, change it."),
        ("wrong", "A role is one of member, manager, finance and admin."),
        ("wrong", "There is no team “Sound”. Make it first, or mend the name."),
        ("wrong", "Line 3 is about the same person. Keep one of them."),
    ]
    assert AuditEntry.objects.count() == before and not Invitation.objects.exists()


def test_it_is_done_as_it_was_shown_with_letters_and_audit(film: Team, alice: User, boss: User) -> None:
    sound = services.make_team("Sound", actor=boss)
    letters = OrmQ.objects.count()
    do(
        boss,
        "lin@example.com,,,Film; sound,500,week",
        "zhao@example.com,,,,,",
        ",alice,manager,Sound,2000,day",
    )
    lin, zhao = (
        Invitation.objects.get(email="lin@example.com"),
        Invitation.objects.get(email="zhao@example.com"),
    )
    assert (lin.credits, lin.period, set(lin.teams.all())) == (500, "week", {film, sound})
    assert (zhao.role, zhao.credits) == ("member", None), "what everybody new gets on that day"
    assert OrmQ.objects.count() == letters + 2, "each gets a letter by a task"
    alice.refresh_from_db()
    quota = Quota.objects.of(alice).standing().get()
    assert (alice.role, list(alice.teams.all())) == ("manager", [sound])
    assert (quota.credits, quota.period) == (2_000, "day")
    kinds = set(AuditEntry.objects.filter(actor=boss).values_list("action", flat=True))
    assert kinds >= {"user.import", "user.role", "team.add", "team.remove", "quota.set", "invitation.make"}
    entry = AuditEntry.objects.get(action="user.import")
    assert entry.detail == {"new": 2, "changed": 1, "same": 0}


def test_the_same_table_twice_changes_nothing(film: Team, boss: User) -> None:
    lines = "lin@example.com,,,Film,500,week", ",alice,manager,,2000,"
    do(boss, *lines)
    assert [kind for kind, _said in plan(boss, *lines)] == ["same", "same"]
    with pytest.raises(WrongState, match="nothing to do"):
        do(boss, *lines)


def test_one_wrong_line_stops_all(film: Team, alice: User, boss: User) -> None:
    with pytest.raises(WrongState, match="Nothing was changed"):
        do(boss, "lin@example.com,,,,,", ",alice,manager,,,", "broken,,,,,")
    alice.refresh_from_db()
    assert alice.role == "member" and not Invitation.objects.exists()


def test_what_changed_after_the_look_is_looked_at_again(film: Team, alice: User, boss: User) -> None:
    table = HEAD + ",alice,,,2000,\nlin@example.com,,,,,"
    client = signed_in(boss)
    seen = client.post("/manage/people/import", {"table": table}).context["plan"].digest
    services.set_quota(alice, credits=1_500, actor=boss)
    late = confirmed(client, table, seen)
    assert "Something changed meanwhile" in text(late)
    assert Quota.objects.get(user=alice).credits == 1_500 and not Invitation.objects.exists()
    with translation.override(None):  # what the request leaves behind ends here
        late = client.get(late.request["PATH_INFO"], headers={"accept-language": "zh-hans"})
    assert "其间情况有变" in text(late), "it is told in the language of whoever reads it"
    again = client.get(f"/manage/people/import?again={PeopleImport.objects.get().pk}")
    assert "1500 → 2000" in text(again), "it shows what it would do now"
    assert "Done: 1 invited, 1 changed." in text(confirmed(client, table, again.context["plan"].digest))
    assert Quota.objects.get(user=alice).credits == 2_000


def test_it_is_done_by_a_task_once_and_its_page_follows(film: Team, boss: User) -> None:
    client, table = signed_in(boss), "email\nlin@example.com"
    seen = client.post("/manage/people/import", {"table": table}).context["plan"].digest
    begun = client.post("/manage/people/import", {"table": table, "seen": seen}, REMOTE_ADDR="203.0.113.9")
    page = begun.headers["Location"]
    assert "It waits for a worker." in text(client.get(page)) and not Invitation.objects.exists()
    assert signed_in(person("other", role="admin")).get(page).status_code == 404
    run_queued(time.monotonic() + 20)
    moved = client.get(page, headers={"HX-Request": "true"})
    assert text(moved).startswith("Done: 1 invited, 0 changed. The letters are on their way.")
    assert "hx-get" not in moved.content.decode(), "it is over, so nothing is asked any more"
    assert AuditEntry.objects.get(action="user.import").address == "203.0.113.9"
    row = PeopleImport.objects.get()
    assert not services.run_import(row.pk) and Invitation.objects.count() == 1
    assert row.table == "", "what was done needs no list of addresses"
    PeopleImport.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert services.forget_imports() == 1 and client.get(page).status_code == 404


def test_one_that_was_killed_says_so_and_changes_nothing(film: Team, boss: User) -> None:
    seen = services.plan_import("email\nlin@example.com", actor=boss).digest
    row = services.begin_import("email\nlin@example.com", digest=seen, actor=boss)
    long_ago = timezone.now() - timedelta(hours=1)
    PeopleImport.objects.update(state="running", started_at=long_ago)
    page = text(signed_in(boss).get(f"/manage/people/imports/{row.pk}"))
    assert "A fault of the platform stopped it, and nothing was changed." in page
    assert not services.run_import(row.pk) and not Invitation.objects.exists()


def test_addresses_are_forgotten_after_a_day_though_nobody_ever_took_them_up(film: Team, boss: User) -> None:
    digest = services.plan_import("email\nlin@example.com", actor=boss).digest
    services.begin_import("email\nlin@example.com", digest=digest, actor=boss)
    assert services.forget_imports() == 0
    PeopleImport.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert services.forget_imports() == 1


def test_what_was_given_up_while_it_ran_is_undone(film: Team, boss: User) -> None:
    """Somebody has read that nothing was changed: so nothing may be, however late the worker is."""
    digest = services.plan_import("email\nlin@example.com", actor=boss).digest
    row = services.begin_import("email\nlin@example.com", digest=digest, actor=boss)

    def give_up(**_sent: object) -> None:
        PeopleImport.objects.filter(pk=row.pk).update(state="refused", ended_at=timezone.now())

    post_save.connect(give_up, sender=Invitation)
    try:
        assert not services.run_import(row.pk)
    finally:
        post_save.disconnect(give_up, sender=Invitation)
    assert not Invitation.objects.exists()


def test_who_was_suspended_meanwhile_imports_nothing(film: Team, boss: User) -> None:
    table = "email\nlin@example.com"
    row = services.begin_import(table, digest=services.plan_import(table, actor=boss).digest, actor=boss)
    services.set_active(boss, False, actor=person("other", role="admin"))
    assert not services.run_import(row.pk) and not Invitation.objects.exists()


def test_a_manager_invites_into_the_own_teams_and_gives_no_role(film: Team, alice: User, boss: User) -> None:
    manager, stranger = person("manager", role="manager"), person("stranger")
    services.add_member(film, manager, actor=boss)
    services.make_team("Sound", actor=boss)
    assert plan(
        manager,
        "lin@example.com,,,Film,,",
        "a@example.com,,admin,Film,,",
        "b@example.com,,,,,",
        "c@example.com,,,Film,9000,",
        "d@example.com,,,Sound,,",
        ",alice,manager,,,",
        ",stranger,,Film,,",
    ) == [
        ("new", "role →member; teams →Film; credits →1000; period →month"),
        ("wrong", "You invite members, into teams of yours: name one of these."),
        ("wrong", "You invite members, into teams of yours: name one of these."),
        ("wrong", "Only an admin changes roles and quotas. Leave these cells empty."),
        ("wrong", "You manage no team “Sound”."),
        ("wrong", "Only an admin changes roles and quotas. Leave these cells empty."),
        ("wrong", "Is here already, in no team of yours. Ask an admin to add them."),
    ]
    do(manager, ",alice,,-,,")
    assert not film.members.filter(pk=alice.pk).exists() and stranger.is_active


def test_nobody_changes_the_own_role_and_who_left_stays_away(alice: User, boss: User) -> None:
    services.close_account(alice, actor=boss, reason="new job")
    assert plan(boss, ",boss,member,,,", ",alice,,,5,") == [
        ("wrong", "Your own role is for another admin to change."),
        ("wrong", "Has left, and does not come back."),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_it_is_read_as_spreadsheets_write_it(boss: User, encoding: str, delimiter: str) -> None:
    services.make_team("视频组", actor=boss)
    cells = ["email", "teams", "credits"], ["lin@example.com", "视频组", '"1,000"']
    data = "\r\n".join(delimiter.join(row) for row in cells).encode(encoding)
    answer: Any = signed_in(boss).post(
        "/manage/people/import", {"file": SimpleUploadedFile("人员.csv", data)}
    )
    (step,) = answer.context["plan"].steps
    assert (step.kind, [team.name for team in step.teams], step.wish.credits) == ("new", ["视频组"], 1_000)


def test_chinese_words_do_in_chinese(boss: User) -> None:
    client = signed_in(boss)
    client.cookies["django_language"] = "zh-hans"
    table = "邮箱,角色,周期\nlin@example.com,管理员,每周"
    with translation.override(None):  # what the request leaves behind ends here
        (step,) = client.post("/manage/people/import", {"table": table}).context["plan"].steps
    assert (step.kind, step.wish.role, step.wish.period) == ("new", "admin", "week")
    with translation.override("zh-hans"):
        digest = services.plan_import(table, actor=boss).digest
        row = services.begin_import(table, digest=digest, actor=boss)
    assert services.run_import(row.pk), "the worker reads it in the language of who confirmed it"
    assert Invitation.objects.get().language == "zh-hans"


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("", "The table is empty"),
        ("email\n\n", "The table is empty"),
        ("mail\na@example.com", "This one does not: “mail”"),
        ("email,email\na@example.com,b", "each once"),
        ("role\nadmin", "needs the column|has the column email"),
        ('email\n"a@example.com', "at line 2"),
        ("email\n" + "\n".join(f"u{n}@example.com" for n in range(1_001)), "up to 1000 people"),
        ("email\na\x00@example.com", "cannot be kept"),
    ],
)
def test_what_is_no_table_of_people_is_refused(boss: User, table: str, why: str) -> None:
    with pytest.raises(InvalidValue, match=why):
        services.plan_import(table, actor=boss)
    assert signed_in(boss).post("/manage/people/import", {"table": table}).status_code == 400


def test_bytes_that_are_no_text_are_refused(boss: User) -> None:
    for data in (b"\xff\xfe\x00", b"\x81\xff\xff", b"a" * (rosters.MOST_BYTES + 1)):
        file = SimpleUploadedFile("people.csv", data)
        assert signed_in(boss).post("/manage/people/import", {"file": file}).status_code == 400


def test_the_exported_list_can_be_sent_back(film: Team, boss: User) -> None:
    person("@lin")
    client = signed_in(boss)
    exported = b"".join(client.get("/manage/people.csv").streaming_content)  # type: ignore[attr-defined]
    answer = client.post("/manage/people/import", {"file": SimpleUploadedFile("people.csv", exported)})
    counts = answer.context["plan"].counts
    assert counts == {"new": 0, "changed": 0, "same": 3, "wrong": 0}, text(answer)


def test_the_example_can_be_sent_as_it_is(film: Team, boss: User) -> None:
    services.make_team("Sound", actor=boss)
    client = signed_in(boss)
    example = b"".join(client.get("/manage/people/import/example.csv").streaming_content)  # type: ignore[attr-defined]
    assert list(csv.DictReader(io.StringIO(example.decode("utf-8-sig"))))
    shown = client.post("/manage/people/import", {"file": SimpleUploadedFile("e.csv", example)})
    table, seen = shown.context["text"], shown.context["plan"].digest
    assert "Done: 3 invited, 0 changed. The letters are on their way." in text(confirmed(client, table, seen))


def test_a_thousand_people_are_looked_at_with_a_handful_of_questions(
    film: Team, boss: User, django_assert_max_num_queries: Any
) -> None:
    table = "email,teams\n" + "\n".join(f"u{n}@example.com,Film" for n in range(1_000))
    with django_assert_max_num_queries(10):
        assert services.plan_import(table, actor=boss).counts["new"] == 1_000
