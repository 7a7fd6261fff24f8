"""What must always hold of generations, their money, their history and their files. See ``accounts.invariants``."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models import Count, F, Model, Q, QuerySet, Sum, Value, Window
from django.db.models.functions import Coalesce, Lag, Mod

from accounts import periods
from accounts.invariants import ALL, Invariant, Scope, constraints_stand, rows_obey_checks, shown
from accounts.models import Quota, Transfer, Wallet
from generations.lifecycle import TRANSITIONS
from generations.models import DailyUsage, Event, Generation, InputImage, Status, UsageDay, Video

# How often each of its reservations is (settled, released, refunded) in a state; several ways may be right.
RESOLVED: dict[str, tuple[tuple[int, int, int], ...]] = {
    Status.QUEUED: ((0, 0, 0),),
    Status.SUBMITTING: ((0, 0, 0),),
    Status.RUNNING: ((0, 0, 0),),
    Status.UNKNOWN: ((0, 0, 0),),
    Status.STORING: ((1, 0, 0),),
    Status.SUCCEEDED: ((1, 0, 0),),
    Status.FAILED: ((0, 1, 0), (1, 0, 1)),
    Status.CANCELED: ((0, 1, 0),),
}
_TABLES = {
    "generation": Generation._meta.db_table,
    "event": Event._meta.db_table,
    "transfer": Transfer._meta.db_table,
    "wallet": Wallet._meta.db_table,
    "quota": Quota._meta.db_table,
}


# A look every few minutes sees the newest steps, and one part of all history: everything within a day.
NEWEST = 500
MOST_LINES = 50_000  # of the journals of the wallets that the newest lines are in
PARTS = 256
FILES = 200


def newest() -> Scope:
    """What was made last, and what the last steps and lines of the journal were about."""
    made = Generation.objects.newest_first().values_list("pk", flat=True)[:NEWEST]
    events = Event.objects.order_by("-pk").values_list("generation_id", flat=True)[:NEWEST]
    lines = Transfer.objects.order_by("-pk").values_list("wallet_id", flat=True)[:NEWEST]
    return Scope(
        Q(pk__in=_as_many_as_fit(set(lines)) or [0]),
        Q(pk__in={*made, *events} or [uuid.UUID(int=0)]),
        FILES,
        days=2,
    )


def _as_many_as_fit(wallets: set[int]) -> list[int]:
    """Some of these, at random, whose journals are not too long together to be read every few minutes."""
    taken: list[int] = []
    lines = 0
    for pk, version in Wallet.objects.filter(pk__in=wallets).order_by("?").values_list("pk", "version"):
        lines += version  # a wallet has as many lines
        if taken and lines > MOST_LINES:
            break
        taken.append(pk)
    return taken


def part(number: int) -> Scope:
    """One of ``PARTS`` parts of all history. Ids are random, so the parts are of one size."""
    width = (1 << 128) // PARTS
    first = number % PARTS * width
    ids = Q(pk__gte=uuid.UUID(int=first), pk__lte=uuid.UUID(int=first + width - 1))
    wallets = Wallet.objects.annotate(part=Mod("pk", Value(PARTS))).filter(part=number % PARTS)
    return Scope(Q(pk__in=wallets.values("pk")), ids, FILES, days=0)


def _within(column: str, model: type[Model], which: Q) -> tuple[str, list[Any]]:
    """SQL that holds where the column is the id of one of these rows, and its parameters."""
    if not which:
        return "1 = 1", []
    sql, parameters = model._default_manager.filter(which).values("pk").query.sql_with_params()
    return f"{column} IN ({sql})", list(parameters)


def _rows(sql: str, parameters: list[Any], **parts: str) -> list[tuple[Any, ...]]:
    """For joins that the ORM has no words for: the journal points at generations without a foreign key.

    ``parts`` are pieces of SQL that are made here, never values.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.format_map(_TABLES | parts), parameters)
        return list(cursor.fetchall())


def _id(value: Any) -> str:
    """SQLite answers a UUID as 32 hex digits."""
    return str(uuid.UUID(str(value)))


def credits_follow_the_state(scope: Scope = ALL) -> list[str]:
    """A generation holds exactly its price, and its reservations are resolved as its state says."""
    ways = [(status, *way) for status, all_ways in RESOLVED.items() for way in all_ways]
    right = " OR ".join(
        [
            "(g.status = %s AND t.settled = %s * t.held AND t.released = %s * t.held AND t.refunded = %s * t.held)"
        ]
        * len(ways)
    )
    mine, ids = _within("generation_id", Generation, scope.generations)
    seen, _same = _within("g.id", Generation, scope.generations)
    counts = ", ".join(
        f"SUM(CASE WHEN kind = '{kind}' THEN 1 ELSE 0 END) AS {name}"
        for name, kind in (
            ("held", Transfer.Kind.RESERVE),
            ("settled", Transfer.Kind.SETTLE),
            ("released", Transfer.Kind.RELEASE),
            ("refunded", Transfer.Kind.REFUND),
        )
    )
    rows = _rows(
        "SELECT g.id, g.status, g.price, t.lowest, t.highest, t.held, t.settled, t.released, t.refunded "
        "FROM {generation} g LEFT JOIN (SELECT generation_id, {counts}, MIN(amount) AS lowest, "
        "MAX(amount) AS highest FROM {transfer} WHERE generation_id IS NOT NULL AND {mine} "
        "GROUP BY generation_id) t ON t.generation_id = g.id WHERE {seen} "
        "AND NOT COALESCE(t.held > 0 AND t.lowest = g.price AND t.highest = g.price AND ({right}), FALSE)",
        [*ids, *ids, *(value for way in ways for value in way)],
        mine=mine,
        seen=seen,
        counts=counts,
        right=right,
    )
    return shown(
        f"generation {_id(pk)} ({status}): price {price}, journal {low}..{high}; "
        f"held {held or 0}, charged {settled or 0}, returned {released or 0}, refunded {refunded or 0} times"
        for pk, status, price, low, high, held, settled, released, refunded in rows
    )


def reservations_have_their_generation(scope: Scope = ALL) -> list[str]:
    """No credits are held for something that does not exist."""
    seen, ids = _within("t.wallet_id", Wallet, scope.wallets)
    rows = _rows(
        "SELECT t.id, t.wallet_id, t.amount FROM {transfer} t "
        "LEFT JOIN {generation} g ON g.id = t.generation_id "
        "WHERE t.generation_id IS NOT NULL AND g.id IS NULL AND {seen} ORDER BY t.id",
        ids,
        seen=seen,
    )
    return shown(f"line {pk}: {amount} credits in wallet {wallet}" for pk, wallet, amount in rows)


def the_right_ones_pay(scope: Scope = ALL) -> list[str]:
    """The maker's quota pays exactly once; any other that pays is the generation's team's or key's."""
    seen, ids = _within("t.generation_id", Generation, scope.generations)
    rows = _rows(
        "SELECT g.id, SUM({own}), SUM({alien}) FROM {transfer} t "
        "JOIN {generation} g ON g.id = t.generation_id "
        "JOIN {wallet} w ON w.id = t.wallet_id JOIN {quota} q ON q.id = w.quota_id "
        "WHERE t.kind = %s AND {seen} GROUP BY g.id HAVING SUM({own}) <> 1 OR SUM({alien}) <> 0",
        [str(Transfer.Kind.RESERVE), *ids],
        seen=seen,
        own="CASE WHEN q.user_id = COALESCE(g.maker_id, g.user_id) THEN 1 ELSE 0 END",
        alien="CASE WHEN q.user_id = COALESCE(g.maker_id, g.user_id) OR q.team_id = g.team_id "
        "OR q.api_key_id = g.api_key_id THEN 0 ELSE 1 END",
    )
    return shown(
        f"generation {_id(pk)}: paid {own} times by the owner, {alien} times by strangers"
        for pk, own, alien in rows
    )


def history_ends_in_the_state(scope: Scope = ALL) -> list[str]:
    """Every generation has a history, and its last event led to the state it is in."""
    mine, ids = _within("generation_id", Generation, scope.generations)
    seen, _same = _within("g.id", Generation, scope.generations)
    rows = _rows(
        "SELECT g.id, g.status, e.to_status FROM {generation} g "
        "LEFT JOIN (SELECT generation_id, MAX(id) AS last FROM {event} WHERE {mine} GROUP BY generation_id) l "
        "ON l.generation_id = g.id LEFT JOIN {event} e ON e.id = l.last "
        "WHERE (e.id IS NULL OR e.to_status <> g.status) AND {seen}",
        [*ids, *ids],
        mine=mine,
        seen=seen,
    )
    return shown(
        f"generation {_id(pk)}: {status}, its history says {last or 'nothing'}" for pk, status, last in rows
    )


def history_is_a_chain(scope: Scope = ALL) -> list[str]:
    """Each event begins where the one before ended, by a transition that exists."""
    before = Window(Lag("to_status"), partition_by=F("generation_id"), order_by=F("pk").asc())
    history = Event.objects.all()
    if scope.generations:
        history = history.filter(generation__in=Generation.objects.filter(scope.generations).values("pk"))
    broken = history.annotate(before=Coalesce(before, Value(""))).exclude(from_status=F("before"))
    found = [
        f"event {pk} of {generation}: from {source or 'nothing'}, the one before led to {before or 'nothing'}"
        for pk, generation, source, before in broken.values_list(
            "pk", "generation_id", "from_status", "before"
        )
    ]
    steps = history.order_by().values_list("from_status", "to_status").annotate(n=Count("pk"))
    found += [
        f"{n} events {source or 'nothing'} → {target}, which is no transition"
        for source, target, n in steps
        if target not in TRANSITIONS.get(source, ()) and source != target
    ]
    return shown(found)


def upstream_ids_are_unique(scope: Scope = ALL) -> list[str]:
    """No two generations stand for one job of upstream."""
    ids = Generation.objects.filter(upstream_id__isnull=False).order_by().values("upstream_id")
    twice = ids.annotate(n=Count("pk")).filter(n__gt=1)
    return shown(f"{row['upstream_id']}: {row['n']} generations" for row in twice)


def videos_are_where_they_should_be(scope: Scope = ALL) -> list[str]:
    """What succeeded has one video, whose file and poster are in storage, whole; nothing else has one."""
    living = Generation.objects.filter(scope.generations, status=Status.SUCCEEDED, deleted_at__isnull=True)
    found = [f"generation {pk}: no video" for pk in living.filter(video=None).values_list("pk", flat=True)]
    unfinished = Generation.objects.filter(scope.generations).exclude(status=Status.SUCCEEDED)
    early = Video.objects.filter(generation__in=unfinished)
    found += [
        f"generation {pk}: a video, although it did not succeed" for pk in early.values_list("pk", flat=True)
    ]
    kept = Video.objects.filter(generation__in=living).values_list("pk", "file", "poster", "bytes")
    for pk, file, poster, size in _some(kept, scope):
        found += [f"generation {pk}: {wrong}" for wrong in (_file(file, size), _file(poster)) if wrong]
    return shown(found)


def input_images_are_in_storage(scope: Scope = ALL) -> list[str]:
    """The pictures that we keep for a generation that is shown are there."""
    shown_ones = Generation.objects.filter(scope.generations, deleted_at__isnull=True)
    kept = InputImage.objects.filter(generation__in=shown_ones).exclude(file="")
    rows = _some(kept.values_list("generation_id", "file"), scope)
    return shown(f"generation {pk}: {wrong}" for pk, file in rows if (wrong := _file(file)))


def _some(rows: QuerySet[Any, Any], scope: Scope) -> Iterable[Any]:
    """Rows whose files are looked at: each one may be a question to a storage elsewhere."""
    return rows.iterator() if scope.files is None else rows.order_by("?")[: scope.files]


def _file(name: str, size: int | None = None) -> str:
    """What is wrong with a file in storage, or an empty string."""
    try:
        found = default_storage.size(name)
    except FileNotFoundError:
        return f"{name} is missing"
    if found == 0 or (size is not None and found != size):
        return f"{name} has {found} bytes instead of {size or 'some'}"
    return ""


def days_add_up(scope: Scope = ALL) -> list[str]:
    """What is summed up of the days that are over is what their generations say, and what the journal charged."""
    found = []
    for day in UsageDay.objects.order_by("-day").values_list("day", flat=True)[: scope.days]:
        first, after = periods.of_day(day, settings.TIME_ZONE)
        sums = DailyUsage.objects.filter(day_id=day).aggregate(
            ended=Sum(F("succeeded") + F("failed") + F("canceled")), credits=Sum("credits")
        )
        told = (sums["ended"] or 0, sums["credits"] or 0)
        charged = _rows(
            # Each of the payer's wallets was charged the same, however many there are.
            "SELECT SUM(net) FROM (SELECT SUM(CASE WHEN t.kind = %s THEN t.amount ELSE -t.amount END) "
            "/ COUNT(DISTINCT t.wallet_id) AS net FROM {generation} g "
            "JOIN {transfer} t ON t.generation_id = g.id AND t.kind IN (%s, %s) "
            "JOIN {wallet} w ON w.id = t.wallet_id JOIN {quota} q ON q.id = w.quota_id "
            "AND q.user_id = COALESCE(g.maker_id, g.user_id) WHERE g.finished_at >= %s AND g.finished_at < %s "
            "GROUP BY g.id) each_one",
            [
                *map(str, (Transfer.Kind.SETTLE, Transfer.Kind.SETTLE, Transfer.Kind.REFUND)),
                *(connection.ops.adapt_datetimefield_value(moment) for moment in (first, after)),
            ],
        )[0][0]
        charged = int(charged or 0)
        ended = Generation.objects.filter(finished_at__gte=first, finished_at__lt=after).count()
        if told != (ended, charged):
            found.append(
                f"{day:%Y-%m-%d}: {told[0]} ended and {told[1]} credits are summed up, "
                f"{ended} ended and the journal charged {charged}"
            )
    return shown(found)


INVARIANTS = (
    Invariant("credits follow the state of each generation", credits_follow_the_state),
    Invariant("no credits are held for nothing", reservations_have_their_generation),
    Invariant("the owner's quota pays, and no stranger's", the_right_ones_pay),
    Invariant("each history ends in the state", history_ends_in_the_state),
    Invariant("each history is a chain of transitions", history_is_a_chain),
    Invariant(
        "open generations are due, and every CHECK is obeyed",
        lambda _: rows_obey_checks("generations"),
        whole=True,
    ),
    Invariant("the sums of each day are those of its generations and of the journal", days_add_up),
    Invariant("no upstream id is used twice", upstream_ids_are_unique, whole=True),
    Invariant("what succeeded has its video, whole, in storage", videos_are_where_they_should_be),
    Invariant("kept pictures are in storage", input_images_are_in_storage),
    Invariant("the constraints of generations stand", lambda _: constraints_stand("generations")),
)
