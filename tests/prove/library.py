"""The library at a million generations: what its pages ask of the database, and how long they take beside a page
that asks nothing.
"""

from __future__ import annotations

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import services as people
from accounts.models import User
from generations.models import Generation
from tests.makers import ask
from tests.prove.many import fill
from tests.prove.usage import Timed, look

MOST, MOST_ELSEWHERE, MOST_OF_PROGRESS = 8, 10, 3
# With all that a process remembers for a while, and with the transaction that gives a search its two seconds.
MOST_AT_FIRST = 16
OPEN = 30  # as many as a page has cards
HELLO = "/robots.txt"  # through every middleware, and nothing of the database


def show(*, generations: int, users: int, times: int) -> dict[str, list[Timed]]:
    """Fill, and hold every page to its word; what each address took, by whose library it is."""
    fill(generations=generations, users=users, days=365, histories=False, kept=True)
    member, admin = User.objects.get(username="person-1"), people.provision("ada", role=User.Role.ADMIN).user
    waiting = [ask(member, prompt=f"waiting {number}") for number in range(OPEN)]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    progress = f"/progress?ids={','.join(str(one.pk) for one in waiting)}"
    took = {}
    for user in (member, admin):
        client = Client()
        client.force_login(user)
        mine = Generation.objects.for_user(user).newest_first()
        middle = mine[mine.count() // 2].pk
        hello, *pages = [seen(client, path, times) for path in (HELLO, *paths(middle))]
        for page in pages:
            most = MOST_ELSEWHERE if "?" in page.path or user == admin else MOST
            assert page.queries <= most, page
            print(f"| {user.role} | {page.path[:40]} | {page.queries} | {page.ms:.0f} |", flush=True)
        asked = seen(client, progress, times)
        assert asked.queries <= MOST_OF_PROGRESS, asked
        took[str(user.role)] = [hello, *pages, asked._replace(path=f"the progress of {OPEN}")]
    return took


def seen(client: Client, path: str, times: int) -> Timed:
    """No question reads all; how many there are once the process remembers what it remembers."""
    timed = look(client, path, times, most=MOST_AT_FIRST)
    return timed._replace(queries=min(questions(client, path) for _ in range(3)))


def questions(client: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        client.get(path)
    asked = [query["sql"].lstrip("(") for query in captured]
    return sum(sql.startswith("SELECT") and "set_config" not in sql for sql in asked)


def paths(middle: object) -> list[str]:
    """The first page, one in the middle, and what narrows them: what many have, few have, and nobody has."""
    narrowed = (
        "?sort=old",
        "?show=ready",
        "?show=failed",
        "?model=kling-v2-6",
        "?q=fox",
        "?q=nobody-has-this",
    )
    return ["/", f"/?after={middle}", *(f"/{one}" for one in narrowed), "/?liked=1", "/?kind=image"]


def run(number: int, seed: int) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
    took = show(generations=1_000_000, users=1_000, times=5)
    for role, pages in took.items():
        for page in pages:
            print(f"| {role} | {page.path[:40]} | {page.queries} | {page.ms:.0f} |", flush=True)
    flat = [page for pages in took.values() for page in pages[1:]]
    hello = max(pages[0].ms for pages in took.values())
    queries, slowest = max(page.queries for page in flat), max(page.ms for page in flat)
    return (
        f"{len(flat)} addresses: at most {queries} queries, first page {took['member'][1].ms:.0f} ms, "
        f"slowest {slowest:.0f} ms, hello {hello:.0f} ms; none scans"
    )
