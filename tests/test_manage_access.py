"""Who may open what under ``/manage/``: every address × method × role, and a manager of another team.

A new address without a line in the table fails, and so does a line without an address.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts import services as people
from accounts.models import AuditEntry, Team, User
from generations import services
from tests.api import finished
from tests.conftest import person
from tests.makers import ask as ask_for_video
from tests.portal import signed_in

pytestmark = pytest.mark.django_db

# Who asks, in this order. "foreign" manages another team.
ROLES = ("nobody", "member", "foreign", "manager", "finance", "admin")
LOOK_ALL = "302 404 200 200 200 200"  # lists: a foreign manager sees the own team's part of them
LOOK_ONE = "302 404 404 200 200 200"
LOOK_MONEY = "302 404 404 404 200 200"
MANAGES = "302 404 404 302 403 302"
ADMINS = "302 404 403 403 403 302"
OPERATORS = "302 404 404 404 404 302"

GUEST: dict[str, object] = {
    "email": "n@example.com",
    "teams": "{team}",
    "role": "member",
    "credits": 10,
    "period": "day",
}


class Line(NamedTuple):
    """One address with a method; ``answers`` are the statuses in the order of ROLES."""

    method: str
    path: str
    answers: str
    sent: dict[str, object] = {}


LINES = [
    Line("GET", "/manage/", "302 404 302 302 302 302"),
    Line("GET", "/manage/people", LOOK_ALL),
    Line("GET", "/manage/people.csv", LOOK_ALL),
    Line("GET", "/manage/people/{alice}", LOOK_ONE),
    Line("GET", "/manage/people/invite", "302 404 200 200 403 200"),
    Line("POST", "/manage/people/invite", "302 404 400 302 403 302", GUEST),
    Line("GET", "/manage/people/import", "302 404 200 200 403 200"),
    Line("POST", "/manage/people/import", "302 404 200 200 403 200", {"table": "email\nnew@example.com"}),
    Line("GET", "/manage/people/imports/{table}", "302 404 404 404 403 200"),
    Line("GET", "/manage/people/import/example.csv", "302 404 200 200 403 200"),
    Line("POST", "/manage/people/{alice}/role", ADMINS, {"role": "manager"}),
    Line("POST", "/manage/people/{alice}/suspend", ADMINS),
    Line("POST", "/manage/people/{alice}/resume", ADMINS),
    Line("POST", "/manage/people/{alice}/sign-out", ADMINS),
    Line("POST", "/manage/people/{alice}/reset", ADMINS),
    Line("POST", "/manage/invitations/{invitation}/again", MANAGES),
    Line("POST", "/manage/invitations/{invitation}/withdraw", MANAGES),
    Line("POST", "/manage/people/{alice}/quotas", MANAGES, {"month": 900, "seen_month": 1}),
    Line("POST", "/manage/people/{alice}/grant", "302 404 404 404 403 404", {"quota": 0, "credits": 5}),
    Line("POST", "/manage/teams/{team}/quotas", ADMINS, {"month": 900}),
    Line("POST", "/manage/teams/{team}/grant", "302 404 403 403 403 404", {"quota": 0, "credits": 5}),
    Line("GET", "/manage/quotas", "302 404 200 200 403 200"),
    Line("POST", "/manage/quotas", "302 404 302 302 403 302"),
    Line("POST", "/manage/quotas/default", ADMINS, {"month": 500, "seen": 0}),
    Line("GET", "/manage/requests", "302 404 200 200 404 200"),
    Line("POST", "/manage/requests/{request}", "302 404 404 302 404 302", {"credits": 5}),
    Line("GET", "/manage/teams", LOOK_ALL),
    Line("POST", "/manage/teams/new", ADMINS, {"name": "Sound"}),
    Line("GET", "/manage/teams/{team}", LOOK_ONE),
    Line("POST", "/manage/teams/{team}", MANAGES, {"name": "Film", "version": 1}),
    Line("POST", "/manage/teams/{team}/add", MANAGES, {"user": "alice"}),
    Line("POST", "/manage/teams/{team}/remove/{alice}", MANAGES),
    Line("GET", "/manage/links", "302 404 200 200 404 200"),
    Line("POST", "/manage/links/{link}/revoke", "302 404 404 302 404 302"),
    Line("GET", "/manage/usage", LOOK_ALL),
    Line("GET", "/manage/usage.csv", LOOK_ALL),
    Line("GET", "/manage/usage/videos", LOOK_ALL),
    Line("GET", "/manage/usage/statement", LOOK_ALL),
    Line("GET", "/manage/catalogue", LOOK_MONEY),
    Line("GET", "/manage/catalogue/edit", "302 404 404 404 403 200"),
    Line("POST", "/manage/catalogue/edit", "302 404 404 404 403 409", {"base": "another"}),
    Line("POST", "/manage/catalogue/2099-01-01/withdraw", "302 404 404 404 403 302"),
    Line("GET", "/manage/operations", "302 404 404 404 404 200"),
    Line("POST", "/manage/operations/pause", OPERATORS, {"reason": "x"}),
    Line("POST", "/manage/operations/resume", OPERATORS),
    Line("POST", "/manage/operations/doubts/{video}/release", OPERATORS, {"reason": "x"}),
    Line("POST", "/manage/operations/stores/{video}", OPERATORS),
    Line("POST", "/manage/operations/webhooks", OPERATORS),
    Line("POST", "/manage/operations/webhooks/{hook}", OPERATORS),
    Line("GET", "/manage/operations/alarms", "302 404 404 404 404 200"),
    Line("POST", "/manage/operations/alarms", "302 404 404 404 404 400", {"name": ""}),
    Line("GET", "/manage/operations/alarms/{chat}", "302 404 404 404 404 200"),
    Line("POST", "/manage/operations/alarms/{chat}", "302 404 404 404 404 400", {"name": ""}),
    Line("POST", "/manage/operations/alarms/{chat}/test", OPERATORS),
    Line("POST", "/manage/operations/alarms/{chat}/switch", OPERATORS),
    Line("POST", "/manage/operations/alarms/{chat}/remove", OPERATORS),
    Line("GET", "/manage/audit", LOOK_MONEY),
    Line("GET", "/manage/audit.csv", LOOK_MONEY),
    Line("GET", "/manage/audit.jsonl", LOOK_MONEY),
    Line("GET", "/manage/people/{alice}/models", "302 404 403 403 403 200"),
    Line("POST", "/manage/people/{alice}/models", ADMINS, {"models": "kling-v2-6"}),
    # Last, because Alice is no longer there after it.
    Line("POST", "/manage/people/{alice}/hand-over", ADMINS, {"to": "boss", "name": "alice"}),
    Line("GET", "/manage/people/{alice}/leave", "302 404 403 403 403 200"),
    Line("POST", "/manage/people/{alice}/leave", ADMINS, {"name": "alice", "reason": "new job"}),
    Line("GET", "/manage/people/{alice}/farewell", "302 404 403 403 403 200"),
]


@pytest.fixture
def office(alice: User, boss: User) -> dict[str, object]:
    """Alice in the team Film with its manager; another team with another manager; an open invitation."""
    manager, foreign = person("manager", role="manager"), person("foreign", role="manager")
    person("finance", role="finance")
    person("member")
    film, other = people.make_team("Film", actor=boss), people.make_team("Other", actor=boss)
    for team, user in ((film, alice), (film, manager), (other, foreign)):
        people.add_member(team, user, actor=boss)
    invitation = people.invite("guest@example.com", actor=manager, teams=[film])
    request = people.ask_for_credits(alice, credits=5, reason="for a trailer")
    chat = services.add_alarm_target(
        actor=boss, name="Room", service="slack", url="https://hooks.slack.com/services/T0/B0/x"
    )
    link = services.make_link(finished(alice, team="Film"), actor=alice)  # while nothing waits
    return {
        "chat": chat.pk,
        "hook": services.register_webhook(alice, url="https://example.com/hook").pk,
        "alice": alice.pk,
        "team": film.pk,
        "invitation": invitation.pk,
        "request": request.pk,
        "video": ask_for_video(alice).pk,
        "link": link.pk,
        "table": people.begin_import("email\nlin@example.com", digest="x", actor=boss).pk,
    }


def ask(line: Line, client: Client, ids: dict[str, object]) -> int:
    path = line.path.format(**ids)
    sent = {name: str(value).format(**ids) for name, value in line.sent.items()}
    return (client.get(path) if line.method == "GET" else client.post(path, sent)).status_code


@pytest.mark.parametrize("role", ROLES)
def test_every_door_is_open_to_whom_it_should_be(office: dict[str, object], role: str) -> None:
    username = {"admin": "boss", "nobody": ""}.get(role, role)
    client = signed_in(User.objects.get(username=username)) if username else Client()
    before = AuditEntry.objects.count()
    got = {f"{line.method} {line.path}": ask(line, client, office) for line in LINES}
    assert got == {
        f"{line.method} {line.path}": int(line.answers.split()[ROLES.index(role)]) for line in LINES
    }
    if role not in ("manager", "admin"):
        assert AuditEntry.objects.count() == before, "somebody changed something without the right to"


def addresses(patterns: list[URLPattern | URLResolver], start: str = "/") -> set[str]:
    """The shape of every address: parts that vary are {}."""
    found = set()
    for pattern in patterns:
        here = start + re.sub(r"<[^>]+>", "{}", str(pattern.pattern))
        found |= addresses(pattern.url_patterns, here) if isinstance(pattern, URLResolver) else {here}
    return found


def test_every_address_has_its_line() -> None:
    all_of_them = {a for a in addresses(get_resolver().url_patterns) if a.startswith("/manage/")}
    varies = r"{\w+}|(?<=/catalogue/)2099-01-01|(?<=/doubts/{video}/)release"
    assert {re.sub(varies, "{}", line.path) for line in LINES} == all_of_them


def test_nothing_changes_by_looking(office: dict[str, object], boss: User) -> None:
    """A GET of what changes something is refused, or shows a form; a picture on another site moves nothing."""
    client, before = signed_in(boss), AuditEntry.objects.count()
    looked_at = {line.path for line in LINES if line.method == "GET"}
    for path in {line.path for line in LINES if line.method == "POST"}:
        status = client.get(path.format(**office)).status_code
        assert (path, status, AuditEntry.objects.count()) == (path, 200 if path in looked_at else 405, before)


def test_a_manager_sees_the_own_teams_people_alone(office: dict[str, object]) -> None:
    seen = User.objects.visible_to(User.objects.get(username="manager"))
    assert set(seen.values_list("username", flat=True)) == {"alice", "manager"}
    page = signed_in(User.objects.get(username="foreign")).get("/manage/people").content.decode()
    assert "foreign" in page and "alice" not in page and "guest@example.com" not in page


def test_people_are_narrowed_to_what_the_viewer_may_see(office: dict[str, object], boss: User) -> None:
    people.set_active(User.objects.get(username="member"), False, actor=boss)
    film, other = office["team"], Team.objects.get(name="Other").pk

    def listed(client: Client, query: str) -> set[str]:
        page = client.get(f"/manage/people?{query}")
        rows = {user.username for user in page.context["table"].rows}
        sheet = b"".join(client.get(f"/manage/people.csv?{query}").streaming_content)  # type: ignore[attr-defined]
        assert {line.split(",")[0] for line in sheet.decode().splitlines()[1:]} == rows
        return rows

    client = signed_in(boss)
    assert listed(client, "role=manager") == {"manager", "foreign"}
    assert listed(client, "state=suspended") == {"member"}
    assert listed(client, f"team={film}&state=active") == {"alice", "manager"}
    assert listed(client, f"team={film}&role=manager&q=man") == {"manager"}
    everybody = listed(client, "")
    for nothing in (
        "role=king",
        "role=null",
        "state=x",
        "team=0",
        "team=%00",
        f"team={'9' * 30}",
        "role=%00",
    ):
        assert listed(client, nothing) == everybody, nothing
    page = client.get(f"/manage/people?team={film}&state=suspended&role=finance").content.decode()
    assert all(f'<option value="{value}" selected>' in page for value in (film, "suspended", "finance"))
    own = signed_in(User.objects.get(username="manager"))
    assert listed(own, f"team={other}") == listed(own, "") == {"alice", "manager"}, "a team unseen is none"


def test_the_suspended_open_nothing(office: dict[str, object], boss: User) -> None:
    manager = User.objects.get(username="manager")
    client = signed_in(manager)
    people.set_active(manager, False, actor=boss)
    assert client.get("/manage/people").status_code == 302
    assert not User.objects.visible_to(manager).exists()
    assert not Team.objects.managed_by(manager).exists()
