"""Usage at a million generations: every page and file in few questions, none of which reads all generations,
and numbers that are the journal's to the credit.
"""

from __future__ import annotations

import re
import statistics
import time
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Case, F, Sum, When
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import services as people
from accounts.invariants import INVARIANTS as OF_ACCOUNTS
from accounts.models import Team, Transfer, User
from generations import services
from generations.invariants import INVARIANTS as OF_GENERATIONS
from generations.invariants import days_add_up
from generations.services import UsageScope, total_usage, usage_by
from tests.prove.many import fill

DAYS_ADD_UP = next(one for one in OF_GENERATIONS if one.ask is days_add_up)
MOST_QUERIES = 12
GROUPS = ("day", "user", "team", "model", "key")
# Asked once in some seconds by each process, whatever the page.
REMEMBERED = re.compile(r"FROM \"generations_(upstream|catalogueversion)\"")
SCAN = re.compile(r"Seq Scan on generations_generation\b")


class Timed(NamedTuple):
    """What an address took: questions to the database, and milliseconds (the median of some times)."""

    path: str
    queries: int
    ms: float


def show(
    *, generations: int, users: int, days: int, spans: tuple[int, ...], times: int, histories: bool = True
) -> list[Timed]:
    """Fill, sum up, and hold everything to its word; what each address took."""
    begin = time.monotonic()
    fill(generations=generations, users=users, days=days, histories=histories)
    filled = time.monotonic()
    while services.sum_up_days():
        pass
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    print(f"filled in {filled - begin:.0f} s, summed up in {time.monotonic() - filled:.0f} s", flush=True)
    check_totals(days)
    finance = people.provision("fred", role=User.Role.FINANCE).user
    manager = people.provision("maria", role=User.Role.MANAGER).user
    Team.objects.order_by("pk")[0].members.add(manager)
    took = []
    for user in (finance, manager):
        client = Client()
        client.force_login(user)
        took += [look(client, path, times) for path in paths(spans)]
    for invariant in (*OF_ACCOUNTS, *OF_GENERATIONS) if histories else (*OF_ACCOUNTS, DAYS_ADD_UP):
        assert invariant.breaches() == [], invariant.name
    print(f"all in {time.monotonic() - begin:.0f} s", flush=True)
    return took


def paths(spans: tuple[int, ...]) -> list[str]:
    """Every address of usage, for so many days."""
    today = timezone.localdate()
    team = Team.objects.order_by("pk")[0].pk
    user = User.objects.get(username="person-1").pk
    found = []
    for days in spans:
        span = f"from={today - timedelta(days=days - 1)}&to={today}"
        found += [f"/manage/usage?{span}&by={by}" for by in GROUPS]
        found += [f"/manage/usage.csv?{span}&by={by}" for by in GROUPS]
        found += [f"/manage/usage/videos?{span}", f"/manage/usage/videos?{span}&user={user}&model=kling-v2-6"]
    month = f"{today.replace(day=1) - timedelta(days=1):%Y-%m}"
    for chosen in ("", f"&team={team}"):
        found += [f"/manage/usage/statement?month={month}{chosen}"]
        found += [f"/manage/usage/statement?month={month}{chosen}&format=csv"]
    return found


def look(client: Client, path: str, times: int, most: int = MOST_QUERIES) -> Timed:
    """Ask for an address, and judge every question that it asked."""
    with CaptureQueriesContext(connection) as seen:
        _read(client, path)
    asked = [query["sql"] for query in seen if not REMEMBERED.search(query["sql"])]
    assert len(asked) <= most, f"{path}: {len(asked)} queries"
    for sql in asked:
        if sql.startswith("SELECT"):
            assert not SCAN.search(plan := explained(sql)), f"{path}\n{sql}\n{plan}"
    took = []
    for _ in range(times):
        begin = time.perf_counter()
        _read(client, path)
        took.append(1000 * (time.perf_counter() - begin))
    return Timed(re.sub(r"\d{4}-\d\d(-\d\d)?", "…", path), len(asked), statistics.median(took or [0.0]))


def _read(client: Client, path: str) -> bytes:
    answer: Any = client.get(path)
    assert answer.status_code == 200, path
    return answer.getvalue() if answer.streaming else answer.content


def explained(sql: str) -> str:
    """How PostgreSQL would go about it."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}")
        return "\n".join(row[0] for row in cursor.fetchall())


def check_totals(days: int) -> None:
    """However it is grouped, all of it is what the journal charged, for everybody and for each person."""
    today = timezone.localdate()
    scope = UsageScope(today - timedelta(days=days + 2), today)
    net = Case(When(kind=Transfer.Kind.SETTLE, then=F("amount")), default=-F("amount"))
    charged = Transfer.objects.filter(
        kind__in=[Transfer.Kind.SETTLE, Transfer.Kind.REFUND], wallet__quota__user__isnull=False
    )
    journal = dict(charged.order_by().values_list("wallet__quota__user").annotate(n=Sum(net)))
    by_user = {user: sums.credits for user, sums in usage_by(scope, "user").items()}
    assert {user: credits for user, credits in by_user.items() if credits} == journal
    for by in GROUPS:
        assert total_usage(usage_by(scope, by).values()).credits == sum(journal.values()), by


def run(number: int, seed: int) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
    took = show(generations=1_000_000, users=1_000, days=365, spans=(30, 365), times=3)
    for one in took:
        print(f"| {one.path} | {one.queries} | {one.ms:.0f} |", flush=True)
    most = max(one.queries for one in took)
    slowest = max(one.ms for one in took)
    return f"{len(took)} addresses: at most {most} queries, {slowest:.0f} ms, none scans; totals are the journal's"
