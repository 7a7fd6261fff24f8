"""The audit: from what to what, from where; searched, filtered, exported, and never changed."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from accounts import services as people
from accounts.manage.audit_views import changes
from accounts.models import AuditEntry, Quota, User
from kling_platform import origin
from tests.office import text
from tests.portal import signed_in

pytestmark = pytest.mark.django_db


def test_a_change_says_from_what_to_what_and_from_where(alice: User, boss: User) -> None:
    client = Client(REMOTE_ADDR="203.0.113.7")
    client.force_login(boss)
    client.post(f"/manage/people/{alice.pk}/role", {"role": "finance"})
    entry = AuditEntry.objects.get(action="user.role", subject="alice")
    assert (entry.actor, entry.address) == (boss, "203.0.113.7")
    assert changes(entry.detail) == [("role", "member", "finance")]
    page = text(client.get("/manage/audit?about=user&q=finance"))
    assert "user.role" in page and "member → finance" in page and "203.0.113.7" in page


def test_lists_and_prices_are_told_in_words() -> None:
    prices = [{"what": "kling-v2-6 teams", "from": "everybody", "to": "Film"}]
    assert changes({"changes": prices, "from_": "2026-12-01"}) == [
        ("kling-v2-6 teams", "everybody", "Film"),
        ("from", "", "2026-12-01"),
    ]
    assert changes({"before": [], "models": ["a", "b"]}) == [("models", "–", "a, b")]


def test_a_quota_tells_both_sides(alice: User, boss: User) -> None:
    people.set_quota(alice, credits=1_500, actor=boss)
    entry = AuditEntry.objects.filter(action="quota.set", subject="alice").latest("at")
    assert ("credits", "1000", "1500") in changes(entry.detail)


def test_a_command_comes_from_nowhere(alice: User) -> None:
    assert set(AuditEntry.objects.values_list("address", flat=True)) == {None}


@pytest.mark.parametrize(
    ("remote", "forwarded", "proxies", "wanted"),
    [
        ("10.0.0.1", "", 0, "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6", 0, "10.0.0.1"),  # anybody can send the header
        ("10.0.0.1", "6.6.6.6, 203.0.113.7", 1, "203.0.113.7"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.7, 10.0.0.2", 2, "203.0.113.7"),
        ("10.0.0.1", "", 1, "10.0.0.1"),
    ],
)
def test_only_our_own_proxies_are_believed(remote: str, forwarded: str, proxies: int, wanted: str) -> None:
    assert origin.sender(remote, forwarded, proxies) == wanted


def test_nonsense_is_no_address() -> None:
    with origin.coming_from("not an address"):
        assert origin.address() is None
    with origin.coming_from("fe80::1%eth0"):
        assert origin.address() == "fe80::1"
    assert origin.address() is None


def test_it_is_searched_filtered_and_sorted(alice: User, boss: User) -> None:
    people.set_active(alice, False, actor=boss)
    client = signed_in(boss)

    def actions(query: str) -> list[str]:
        return [entry.action for entry in client.get(f"/manage/audit?{query}").context["table"].rows]

    assert actions("q=suspend") == ["user.suspend"]
    assert actions("q=alice+boss") == ["user.suspend"]
    assert set(actions("about=quota")) == {"quota.set"}
    assert actions("since=2100-01-01") == []
    assert actions("until=2000-01-01") == []
    assert actions("about=user.suspend") == ["user.suspend"]
    assert actions("who=boss") == ["user.suspend"] and actions("who=alice&of=boss") == []
    assert set(actions("of=alice")) == {"user.suspend", "user.make", "quota.set"}
    assert actions("sort=action") == sorted(actions("sort=action"))
    everything = AuditEntry.objects.count()
    for nonsense in (
        "page=-1",
        "page=x",
        "sort=nothing",
        "since=2026-13-99",
        "about=x",
        "q=%00",
        "page=99999999",
    ):
        assert len(actions(nonsense)) in (0, everything), nonsense


def asked(client: Client, query: str) -> list[str]:
    """Of whom the page tells, oldest first, and both exports with it."""
    page = [entry.subject for entry in client.get(f"/manage/audit?{query}").context["table"].rows]
    answers: list[Any] = [client.get(f"/manage/audit.{kind}?{query}") for kind in ("csv", "jsonl")]
    sheet, lines = (b"".join(answer.streaming_content).decode("utf-8-sig") for answer in answers)
    assert [row["subject"] for row in csv.DictReader(io.StringIO(sheet))] == page
    assert [json.loads(line)["subject"] for line in lines.splitlines()] == page
    return page[::-1]


def test_a_day_lasts_from_midnight_to_midnight_where_the_platform_is(boss: User, settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Shanghai"
    for subject, moment in (("last", "2026-03-01T15:59:59.999999Z"), ("first", "2026-03-01T16:00:00Z")):
        AuditEntry.objects.create(at=datetime.fromisoformat(moment), action="alarm.test", subject=subject)
    client = signed_in(boss)
    assert asked(client, "about=alarm.test&since=2026-03-01") == ["last", "first"]
    assert asked(client, "about=alarm.test&since=2026-03-02") == ["first"]
    assert asked(client, "about=alarm.test&until=2026-03-01") == ["last"]
    assert asked(client, "about=alarm&since=2026-03-02&until=2026-03-02&of=first&q=test") == ["first"]
    assert asked(client, "about=alarm&since=2026-03-02&until=2026-03-01") == []


def test_what_means_nothing_counts_as_not_said(alice: User, boss: User, settings: Any) -> None:
    client = signed_in(boss)
    everything = asked(client, "")
    edges = ("0001-01-01", "9999-12-31", "10000-01-01", "2026-02-30", "%00", "x")
    for zone in ("Pacific/Kiritimati", "America/Adak"):  # the first and the last where a day begins
        settings.TIME_ZONE = zone
        assert asked(client, "since=0002-01-01&until=9998-12-31") == everything
        for day in edges:
            assert asked(client, f"since={day}&until={day}") == everything, (zone, day)
    for nothing in ("who=%00a", "of=%00a", "about=%00user", "about=user%00", "about=x.y", "who=+&of="):
        assert asked(client, nothing) == everything, nothing
    assert asked(client, "since=9999-12-31&who=nobody") == [], "the rest holds"


def test_an_export_is_all_of_it_and_runs_no_formula(alice: User, boss: User) -> None:
    people.make_team("=HYPERLINK(1)", actor=boss)
    answer: Any = signed_in(boss).get("/manage/audit.csv?about=team")
    lines = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))
    assert [line["subject"] for line in lines] == ["'=HYPERLINK(1)"]


def test_a_program_reads_it_line_by_line(alice: User, boss: User) -> None:
    people.set_role(alice, "manager", actor=boss)
    answer: Any = signed_in(boss).get("/manage/audit.jsonl?about=user.role&of=alice")
    (line,) = b"".join(answer.streaming_content).decode().splitlines()
    told = json.loads(line)
    assert (told["by"], told["subject"]) == ("boss", "alice")
    assert told["detail"] == {"before": "member", "role": "manager"}


def test_no_line_is_changed_or_removed(alice: User) -> None:
    entry = AuditEntry.objects.first()
    assert entry is not None
    for change in (lambda: AuditEntry.objects.update(address="203.0.113.9"), AuditEntry.objects.all().delete):
        with pytest.raises(IntegrityError), transaction.atomic():
            change()


def test_the_list_asks_as_much_for_many_as_for_few(
    alice: User, boss: User, django_assert_max_num_queries: Any
) -> None:
    Quota.objects.get(user=alice)
    for number in range(60):
        people.set_quota(alice, credits=number, actor=boss)
    client = signed_in(boss)
    with django_assert_max_num_queries(8):
        assert len(client.get("/manage/audit").context["table"].rows) == 50
