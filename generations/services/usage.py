"""Who used how much: days that are over are summed up once, the rest is counted from an index.

A generation counts on the day (of ``TIME_ZONE``) on which it ended, with what the journal charged for it: its
price where it succeeded, nothing where it failed, was canceled or refunded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Min, Q, QuerySet, Sum
from django.db.models.functions import Now
from django.utils import timezone

from accounts import periods
from generations.dispatch import database_now
from generations.models import DailyUsage, Generation, Status, UsageDay

# A day is summed up this long after its end: whatever began before midnight is committed by then.
SETTLES_AFTER = timedelta(minutes=10)
DAYS_A_RUN = 31
WAITS = (30, 60, 120, 300, 900)  # seconds
GROUPS = ("day", "user", "team", "model", "key")
_COLUMNS = {"user": "user_id", "team": "team_id", "model": "model", "key": "api_key_id"}


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
        for name in NAMES:
            setattr(self, name, getattr(self, name) + other[name])

    @property
    def failure_rate(self) -> float | None:
        """Share of those that were tried; canceled ones were not. None where nothing was tried."""
        tried = self.succeeded + self.failed
        return self.failed / tried if tried else None

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


NAMES = tuple(field.name for field in fields(UsageSums))


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

    def _filter(self) -> Q:
        wanted = {"user_id": self.user, "team_id": self.team, "model": self.model, "api_key_id": self.key}
        chosen = Q(**{name: value for name, value in wanted.items() if value})
        return chosen if self.teams is None else chosen & Q(team_id__in=self.teams)


def usage_by(scope: UsageScope, by: str) -> dict[Any, UsageSums]:
    """UsageSums by ``day`` (a date), ``user``, ``team``, ``model`` or ``key`` (ids, None for none).

    Three queries, and one more for each day that nobody has summed up yet: usually today alone.
    """
    found: dict[Any, UsageSums] = {}
    summed = set(
        UsageDay.objects.filter(day__gte=scope.first, day__lte=scope.last).values_list("day", flat=True)
    )
    if summed:
        rows = DailyUsage.objects.between(scope.first, scope.last).filter(scope._filter())
        group = "day_id" if by == "day" else _COLUMNS[by]
        for row in rows.order_by().values(group).annotate(**{f"n_{name}": Sum(name) for name in NAMES}):
            sums = {name: row[f"n_{name}"] for name in NAMES}
            found.setdefault(row[group], UsageSums()).add(sums)
    for day, ended in _unsummed(scope, summed):
        for row in _counted(ended.filter(scope._filter()), () if by == "day" else (_COLUMNS[by],)):
            found.setdefault(day if by == "day" else row[_COLUMNS[by]], UsageSums()).add(row)
    return found


def total_usage(groups: Iterable[UsageSums]) -> UsageSums:
    """All of them together."""
    whole = UsageSums()
    for sums in groups:
        whole.add(vars(sums))
    return whole


def _unsummed(scope: UsageScope, summed: set[date]) -> Iterable[tuple[date, QuerySet[Generation]]]:
    """The days of a scope that nobody has summed up yet: today, and what a stopped worker left.

    Days before the first generation, and after today, are not asked for.
    """
    begun = Generation.objects.aggregate(first=Min("finished_at"))["first"]
    if begun is None:
        return
    day = max(scope.first, timezone.localdate(begun))
    while day <= min(scope.last, timezone.localdate()):
        if day not in summed:
            yield day, _ended_on(day)
        day += timedelta(days=1)


def _ended_on(day: date) -> QuerySet[Generation]:
    first, after = periods.of_day(day, settings.TIME_ZONE)
    return Generation.objects.filter(finished_at__gte=first, finished_at__lt=after)


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
    for row in rows.values(*groups).annotate(**_SUMS) if groups else [rows.aggregate(**_SUMS)]:
        waited = row["n_waited"]
        sums = {name: row[f"n_{name}"] or 0 for name in NAMES}
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
    groups = tuple(_COLUMNS.values())
    DailyUsage.objects.bulk_create(
        [
            DailyUsage(
                day_id=day,
                **{group: row[group] for group in groups},
                **{name: row[name] for name in NAMES},
            )
            for row in _counted(_ended_on(day), groups)
        ],
        batch_size=500,
    )
    UsageDay.objects.filter(day=day).update(summed_at=Now())
