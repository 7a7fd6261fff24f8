"""Years of use, made in bulk: people, generations with their histories, and the journal, all of one mind.

SQL makes the rows, because a million of them through the services would take a day; ``verify`` says afterwards
whether they are what the services would have written. PostgreSQL only.
"""

from __future__ import annotations

from typing import Any

from django.db import connection, models

from accounts import quotas
from accounts import services as people
from accounts.models import ApiKey, Team, Transfer, User, Wallet
from generations.models import Event, Generation, Video

TEAMS, KEYED = 20, 5  # every fifth person works by an API key
CREDITS = 10**7

# One line for each generation: who, what, when, and how it ended. ``lap`` counts how often each person comes.
ONES = """
    CREATE TEMPORARY TABLE many_ones AS
    SELECT n, md5(n::text)::uuid AS id, p.*, n / %(people)s AS lap, b.*,
        CASE WHEN (n / %(people)s) %% 20 IN (3, 11) THEN 'failed'
             WHEN (n / %(people)s) %% 20 = 7 THEN 'canceled' ELSE 'succeeded' END AS status,
        now() - interval '1 day' * %(days)s * (%(many)s - n) / %(many)s AS finished_at,
        interval '1 second' * (20 + (n * 37) %% 400) AS waited
    FROM generate_series(1, %(many)s) n
    JOIN many_people p ON p.place = n %% %(people)s
    JOIN (VALUES (0, 'kling-v2-5-turbo-std', 'std', 5, 15), (1, 'kling-v2-5-turbo-pro', 'pro', 10, 50),
                 (2, 'kling-v2-6', 'std', 10, 30)) b (kind, model, mode, seconds, price)
        ON b.kind = (n / %(people)s + n) %% 3
"""
CHAINS = {
    "succeeded": ("queued", "submitting", "running", "storing", "succeeded"),
    "failed": ("queued", "submitting", "running", "failed"),
    "canceled": ("queued", "canceled"),
}


def fill(*, generations: int, users: int, days: int, histories: bool = True, kept: bool = False) -> None:
    """So many generations of so many people in so many days, up to this moment; with the events of each.

    ``kept``: they stand in their libraries, the finished ones with a video. Else their files are gone long since.
    """
    _people(users)
    with connection.cursor() as cursor:
        numbers = {"many": generations, "people": users, "days": days}
        cursor.execute(ONES, numbers)
        _insert(
            cursor,
            Generation(prompt="A fox in the snow.", size="16:9", price_version="built-in"),
            "many_ones",
            id="id",
            user="user_id",
            made_for="team_id",
            team="team_id",
            api_key="key_id",
            created_at="finished_at - waited",
            finished_at="finished_at",
            deleted_at="NULL" if kept else "finished_at",
            purged_at="NULL" if kept else "finished_at",
            model="model",
            mode="mode",
            seconds="seconds",
            price="price",
            status="status",
            progress="100",
            upstream_id="CASE WHEN status <> 'canceled' THEN 'up-' || n END",
            upstream_cost="CASE WHEN status = 'succeeded' AND lap % 2 = 0 THEN price * 20000 END",
        )
        if kept:
            video = Video(file="v.mp4", poster="v.jpg", width=1280, height=720, seconds=5, fps=24, bytes=1)
            video.sha256, video.has_audio = "a" * 64, False
            _insert(cursor, video, "many_ones WHERE status = 'succeeded'", generation="id")
        for status, chain in CHAINS.items() if histories else ():
            steps = ", ".join(
                f"({number}, '{chain[number - 1] if number else ''}', '{to}')"
                for number, to in enumerate(chain)
            )
            _insert(
                cursor,
                Event(),
                f"many_ones, (VALUES {steps}) s (step, source, target) "
                f"WHERE status = '{status}' ORDER BY n, step",
                generation="id",
                from_status="source",
                to_status="target",
                at="finished_at",
            )
        _journal(cursor)
        cursor.execute("DROP TABLE many_ones, many_people")
        cursor.execute("ANALYZE")


def _people(users: int) -> None:
    """Everybody is in one of the teams and has credits enough; some have a key."""
    teams = Team.objects.bulk_create(Team(name=f"Team {number}") for number in range(TEAMS))
    everybody = User.objects.bulk_create(
        User(username=f"person-{number}", password="!", role=User.Role.MEMBER) for number in range(users)
    )
    membership = Team.members.through
    membership.objects.bulk_create(
        membership(team=teams[number % TEAMS], user=user) for number, user in enumerate(everybody)
    )
    rows: list[tuple[Any, ...]] = []
    for number, user in enumerate(everybody):
        people.set_quota(user, credits=CREDITS, period="total", actor=None)
        (wallet,) = quotas.paying_wallets(user=user)
        key = people.make_key(user, label="script")[0] if number % KEYED == 0 else None
        rows.append((number, user.pk, wallet, teams[number % TEAMS].pk, key and key.pk))
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE many_people (place int PRIMARY KEY, user_id bigint, wallet_id bigint, "
            "team_id bigint, key_id bigint)"
        )
        cursor.executemany("INSERT INTO many_people VALUES (%s, %s, %s, %s, %s)", rows)
    assert ApiKey.objects.count() >= users // KEYED


def _journal(cursor: Any) -> None:
    """A reserve for each, and what resolved it; then each wallet is what its lines come to."""
    cursor.execute("SELECT max(id) FROM accounts_transfer")
    (last,) = cursor.fetchone()
    place = "row_number() OVER (PARTITION BY wallet_id ORDER BY n)"
    spent = (
        "coalesce(sum(CASE WHEN status = 'succeeded' THEN price END) OVER (PARTITION BY wallet_id ORDER BY n "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)"
    )
    cursor.execute(
        f"CREATE TEMPORARY TABLE many_lines AS SELECT *, {place} AS line, {spent} AS spent FROM many_ones"
    )
    made = "status = 'succeeded'"
    _insert(
        cursor,
        Transfer(kind=Transfer.Kind.RESERVE),
        "many_lines",
        id=f"{last} + 2 * n - 1",
        wallet="wallet_id",
        seq="2 * line",
        amount="price",
        available_after=f"{CREDITS} - spent - price",
        generation_id="id",
        created_at="finished_at - waited",
    )
    _insert(
        cursor,
        Transfer(),
        "many_lines",
        id=f"{last} + 2 * n",
        wallet="wallet_id",
        seq="2 * line + 1",
        kind=f"CASE WHEN {made} THEN 'settle' ELSE 'release' END",
        amount="price",
        available_after=f"{CREDITS} - spent - CASE WHEN {made} THEN price ELSE 0 END",
        generation_id="id",
        reservation=f"{last} + 2 * n - 1",
        created_at="finished_at",
    )
    table = Wallet._meta.db_table
    cursor.execute(
        f"UPDATE {table} w SET spent = t.spent, available = w.available - t.spent, version = 1 + 2 * t.many "
        f"FROM (SELECT wallet_id, count(*) AS many, coalesce(sum(price) FILTER (WHERE {made}), 0) AS spent "
        "FROM many_lines GROUP BY wallet_id) t WHERE t.wallet_id = w.id"
    )
    cursor.execute(
        "SELECT setval(pg_get_serial_sequence('accounts_transfer', 'id'), (SELECT max(id) FROM accounts_transfer))"
    )
    cursor.execute("DROP TABLE many_lines")


def _insert(cursor: Any, like: models.Model, source: str, **given: str) -> None:
    """INSERT … SELECT: the fields that are given by SQL, all others as in ``like``."""
    columns, values, parameters = [], [], []
    for field in like._meta.local_concrete_fields:
        if field.primary_key and field.name not in given:
            continue
        columns.append(f'"{field.column}"')
        if field.name in given:
            values.append(f"({given[field.name]})".replace("%", "%%"))
        else:
            values.append(f"CAST(%s AS {field.db_type(connection)})")
            value = field.pre_save(like, add=True)
            parameters.append(field.get_db_prep_save(value, connection))
    table = like._meta.db_table
    cursor.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {source}",
        parameters,
    )
