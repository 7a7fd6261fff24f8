"""Who used how much: days that are over are summed up once, the rest is counted from an index.

A generation counts on the day (of ``TIME_ZONE``) on which it ended, with what the journal charged for it: its
price where it succeeded, nothing where it failed, was canceled or refunded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Min, Q, QuerySet, Sum
from django.db.models.functions import Coalesce, Now, TruncDate
from django.utils import timezone

from accounts import periods
from generations.dispatch import database_now
from generations.models import DailyUsage, Generation, GenerationQuerySet, Status, UsageDay

# A day is summed up this long after its end: whatever began before midnight is committed by then.
SETTLES_AFTER = timedelta(minutes=10)
DAYS_A_RUN = 31
# Upstream's unit: so many are one US dollar, in its family's default.
UPSTREAM_PER_DOLLAR = 500_000
WAITS = (30, 60, 120, 300, 900)  # seconds
GROUPS = ("day", "user", "team", "model", "key")
_COLUMNS = {"user": "payer", "team": "made_for_id", "model": "model", "key": "api_key_id"}
_SUMMED = {"day": "day_id", "user": "user_id", "team": "team_id", "model": "model", "key": "api_key_id"}


@dataclass
class UsageSums:
    """UsageSums over some generations; see ``DailyUsage`` for the units."""

    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    seconds: int = 0
    credits: int = 0
    upstream_cost: int = 0
    upstream_costed: int = 0
    waited: float = 0.0
    within_30: int = 0
    within_60: int = 0
    within_120: int = 0
    within_300: int = 0
    within_900: int = 0

    def add(self, other: dict[str, Any]) -> None:
        """Add sums of other generations, by the same names."""
        for name in USAGE_NAMES:
            setattr(self, name, getattr(self, name) + other[name])

    @property
    def failure_rate(self) -> float | None:
        """Share of those that were tried; canceled ones were not. None where nothing was tried."""
        tried = self.succeeded + self.failed
        return self.failed / tried if tried else None

    @property
    def ended(self) -> int:
        """All of them, however they ended."""
        return self.succeeded + self.failed + self.canceled

    @property
    def upstream_dollars(self) -> float | None:
        """What upstream says that they cost, in US dollars; None where no reply carried a cost."""
        return self.upstream_cost / UPSTREAM_PER_DOLLAR if self.upstream_costed else None

    @property
    def mean_wait(self) -> float | None:
        """Seconds from the request to the stored video; None where there is none."""
        return self.waited / self.succeeded if self.succeeded else None

    def wait_of(self, share: float) -> float | None:
        """Seconds within which this share of the videos was there, between two of ``WAITS``; None beyond them."""
        wanted, below, shorter = share * self.succeeded, 0, 0
        if not self.succeeded:
            return None
        for seconds in WAITS:
            count = getattr(self, f"within_{seconds}")
            if count >= wanted:
                part = (wanted - below) / (count - below) if count > below else 1.0
                return shorter + part * (seconds - shorter)
            below, shorter = count, seconds
        return None


USAGE_NAMES = tuple(field.name for field in fields(UsageSums))


@dataclass(frozen=True)
class UsageScope:
    """Whose usage is asked for: everything, or the parts that fit. ``teams`` is None for all of them."""

    first: date
    last: date
    teams: frozenset[int] | None = None
    user: int | None = None
    team: int | None = None
    model: str = ""
    key: int | None = None

    def before(self) -> UsageScope:
        """The same for as many days right before."""
        days = self.last - self.first + timedelta(days=1)
        return UsageScope(
            self.first - days, self.last - days, self.teams, self.user, self.team, self.model, self.key
        )

    def of(self, names: dict[str, str]) -> Q:
        """What narrows rows whose columns have these names."""
        wanted = {"user": self.user, "team": self.team, "model": self.model, "key": self.key}
        chosen = Q(**{names[part]: value for part, value in wanted.items() if value})
        return chosen if self.teams is None else chosen & Q(**{f"{names['team']}__in": self.teams})


def _generations() -> GenerationQuerySet:
    """Generations with the user who paid: a video may be handed over later, and shared with another team."""
    return Generation.objects.annotate(payer=Coalesce("maker_id", "user_id"))


Groups = dict[Any, UsageSums]


def usage_by(scope: UsageScope, by: str) -> Groups:
    """UsageSums by ``day`` (a date), ``user``, ``team``, ``model`` or ``key`` (ids, None for none).

    Three queries, however many days: those that are over were summed up, and the rest is found by an index.
    """
    return usage_by_each(scope, by)[0]


def usage_by_each(scope: UsageScope, *groups: str) -> list[Groups]:
    """``usage_by`` for several groups at once, in a query more for each."""
    summed = _summed(scope)
    found = [_from_sums(scope, by, summed) for by in groups]
    for row in _uncounted(scope, summed, groups):
        for by, sums in zip(groups, found, strict=True):
            sums.setdefault(row[_counted_by(by)], UsageSums()).add(row)
    return found


class UsageReport(NamedTuple):
    """A scope by day and by what was chosen, and the whole of the time before it."""

    days: Groups
    groups: Groups
    before: UsageSums


def usage_report(scope: UsageScope, by: str) -> UsageReport:
    """What ``usage_by`` says of a scope, of its days and of the time before, in four queries together."""
    both = replace(scope, first=scope.before().first)
    summed = _summed(both)
    every_day, groups = _from_sums(both, "day", summed), _from_sums(scope, by, summed)
    for row in _uncounted(both, summed, ("day", by)):
        every_day.setdefault(row[_counted_by("day")], UsageSums()).add(row)
        if row[_counted_by("day")] >= scope.first:
            groups.setdefault(row[_counted_by(by)], UsageSums()).add(row)
    days = {day: sums for day, sums in every_day.items() if day >= scope.first}
    before = total_usage(sums for day, sums in every_day.items() if day < scope.first)
    return UsageReport(days, groups, before)


def _summed(scope: UsageScope) -> set[date]:
    """The days of a scope that are summed up."""
    days = UsageDay.objects.filter(day__gte=scope.first, day__lte=scope.last)
    return set(days.values_list("day", flat=True))


def _from_sums(scope: UsageScope, by: str, summed: set[date]) -> Groups:
    """Of the days that are summed up."""
    if not summed:
        return {}
    group = _SUMMED[by]
    rows = DailyUsage.objects.between(scope.first, scope.last).filter(scope.of(_SUMMED)).order_by()
    found = {}
    for row in rows.values(group).annotate(**{f"n_{name}": Sum(name) for name in USAGE_NAMES}):
        found[row[group]] = UsageSums(**{name: row[f"n_{name}"] for name in USAGE_NAMES})
    return found


def _uncounted(scope: UsageScope, summed: set[date], groups: Iterable[str]) -> Iterable[dict[str, Any]]:
    """Of the other days, by all of the groups together."""
    columns = tuple(dict.fromkeys(map(_counted_by, groups)))
    return _counted(_unsummed(scope, summed).filter(scope.of(_COLUMNS)), columns)


def _counted_by(by: str) -> str:
    return _COLUMNS.get(by, "ended_on")


def usage_generations(scope: UsageScope) -> GenerationQuerySet:
    """The generations behind the sums of a scope, the last one that ended first."""
    rows = _generations().filter(scope.of(_COLUMNS), _ended_within(scope.first, scope.last))
    return rows.order_by("-finished_at", "-pk")


def total_usage(groups: Iterable[UsageSums]) -> UsageSums:
    """All of them together."""
    whole = UsageSums()
    for sums in groups:
        whole.add(vars(sums))
    return whole


def _unsummed(scope: UsageScope, summed: set[date]) -> QuerySet[Generation]:
    """What ended on the days of a scope that nobody has summed up yet: today, and what a stopped worker left."""
    rows = _generations().annotate(ended_on=TruncDate("finished_at", tzinfo=timezone.get_default_timezone()))
    spans, day = Q(pk__in=[]), scope.first
    while day <= scope.last:
        first = day
        while day not in summed and day <= scope.last:
            day += timedelta(days=1)
        if first < day:
            spans |= _ended_within(first, day - timedelta(days=1))
        else:
            day += timedelta(days=1)
    return rows.filter(spans)


def _ended_within(first: date, last: date) -> Q:
    """On these days, both included."""
    begins, ends = periods.of_day(first, settings.TIME_ZONE)[0], periods.of_day(last, settings.TIME_ZONE)[1]
    return Q(finished_at__gte=begins, finished_at__lt=ends)


_MADE = Q(status=Status.SUCCEEDED)
_SUMS = {
    "n_succeeded": Count("pk", filter=_MADE),
    "n_failed": Count("pk", filter=Q(status=Status.FAILED)),
    "n_canceled": Count("pk", filter=Q(status=Status.CANCELED)),
    "n_seconds": Sum("seconds", filter=_MADE),
    "n_credits": Sum("price", filter=_MADE),
    "n_upstream_cost": Sum("upstream_cost"),
    "n_upstream_costed": Count("upstream_cost"),
    "n_waited": Sum("wait", filter=_MADE),
    **{
        f"n_within_{seconds}": Count("pk", filter=_MADE & Q(wait__lte=timedelta(seconds=seconds)))
        for seconds in WAITS
    },
}


def _counted(rows: QuerySet[Generation], groups: tuple[str, ...]) -> Iterable[dict[str, Any]]:
    """UsageSums over generations, for each of the groups; over all of them without any."""
    rows = rows.order_by().annotate(wait=F("finished_at") - F("created_at"))
    for row in rows.values(*groups).annotate(**_SUMS):
        waited = row["n_waited"]
        sums = {name: row[f"n_{name}"] or 0 for name in USAGE_NAMES}
        yield (
            {group: row[group] for group in groups}
            | sums
            | {"waited": waited.total_seconds() if waited else 0.0}
        )


# --- summing up ---------------------------------------------------------------


def sum_up_days() -> int:
    """Sum up the days that are over and were not yet, oldest first; how many. Twice is harmless."""
    begun = Generation.objects.aggregate(first=Min("finished_at"))["first"]
    if begun is None:
        return 0
    done = set(UsageDay.objects.values_list("day", flat=True))
    over = timezone.localdate(database_now() - SETTLES_AFTER)
    day, summed = timezone.localdate(begun), 0
    while day < over and summed < DAYS_A_RUN:
        if day not in done:
            sum_up(day)
            summed += 1
        day += timedelta(days=1)
    return summed


@transaction.atomic
def sum_up(day: date) -> None:
    """Make the sums of a day anew, as a whole."""
    UsageDay.objects.get_or_create(day=day)
    UsageDay.objects.select_for_update().get(day=day)
    DailyUsage.objects.filter(day_id=day).delete()
    DailyUsage.objects.bulk_create(
        [
            DailyUsage(
                day_id=day,
                **{_SUMMED[part]: row[group] for part, group in _COLUMNS.items()},
                **{name: row[name] for name in USAGE_NAMES},
            )
            for row in _counted(_generations().filter(_ended_within(day, day)), tuple(_COLUMNS.values()))
        ],
        batch_size=500,
    )
    UsageDay.objects.filter(day=day).update(summed_at=Now())
