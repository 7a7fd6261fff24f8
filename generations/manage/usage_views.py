"""Usage: who made how much, what it cost, and how it went. Managers see their teams, finance and admins everything."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.decorators.http import require_GET

from accounts import rooms
from accounts.models import ApiKey, Team, User
from generations import services
from generations.services import UsageScope, UsageSums
from kling_platform.tables import download
from kling_platform.text import whole_number

ROOM = "manage_usage"
GROUPS = {
    "day": pgettext_lazy("a column of a table", "day"),
    "user": gettext_lazy("person"),
    "team": gettext_lazy("team"),
    "model": gettext_lazy("model"),
    "key": gettext_lazy("API key"),
}
DAYS, MOST_DAYS = 30, 400
PAGE = 50
MOST_ROWS, MOST_PEOPLE = 500, 2_000


class Row(NamedTuple):
    """One line of the table; ``query`` narrows the page, or the list of videos, to it."""

    name: str
    sums: UsageSums
    query: str


class Tile(NamedTuple):
    """One number, and the same of the time before; ``better`` says whether more of it is good news."""

    label: str
    value: float | None
    before: float | None
    kind: str  # number, percent, dollars or seconds
    better: bool | None = None

    @property
    def change(self) -> int | None:
        """Per cent more (or less) than before; None where there is nothing to compare with."""
        if self.value is None or not self.before:
            return None
        return round(100 * (self.value - self.before) / self.before)

    @property
    def good(self) -> bool | None:
        """Whether the change is good news; None where it is neither."""
        return None if self.better is None or not self.change else (self.change > 0) == self.better


@require_GET
@rooms.look(ROOM)
def usage(request: HttpRequest) -> HttpResponse:
    """Tiles against the time before, charts by day, and a table by whatever was chosen."""
    choices = _choices(request)
    scope, by = _scope(request, choices["teams"]), _by(request)
    report = services.usage_report(scope, by)
    whole = services.total_usage(report.days.values())
    context = {
        "tiles": _tiles(whole, report.before),
        "whole": whole,
        "rows": _rows(scope, report.groups, by, known=choices),
        "charts": _charts(scope, report.days),
        "by": by,
        "groups": GROUPS,
        "asked": _asked(scope) | {"by": by},
        "query": urlencode(_asked(scope)),
        "presets": _presets(),
        **choices,
    }
    return render(request, "manage/usage.html", context)


@require_GET
@rooms.look(ROOM)
def export(request: HttpRequest) -> HttpResponseBase:
    """The table of the page, as CSV."""
    scope, by = _scope(request), _by(request)
    rows = _rows(scope, services.usage_by(scope, by), by, most=100_000)
    header = (str(by), *services.USAGE_NAMES, "upstream_usd")
    return download(
        f"usage-{scope.first:%Y%m%d}-{scope.last:%Y%m%d}",
        header,
        (
            (row.name, *(getattr(row.sums, name) for name in services.USAGE_NAMES), _cost(row)[0])
            for row in rows
        ),
    )


@require_GET
@rooms.look(ROOM)
def videos(request: HttpRequest) -> HttpResponse:
    """The generations behind a number, newest first, a page at a time by key."""
    scope = _scope(request)
    rows = services.usage_generations(scope).select_related("user", "made_for")
    after = request.GET.get("after", "")
    if after:
        try:
            cursor = get_object_or_404(services.usage_generations(scope), pk=uuid.UUID(after))
        except ValueError as error:
            raise Http404 from error
        rows = rows.ended_before(cursor)
    found = list(rows[: PAGE + 1])
    context = {
        "page": found[:PAGE],
        "older": found[PAGE - 1].pk if len(found) > PAGE else None,
        "query": urlencode(_asked(scope)),
        "scope": scope,
    }
    return render(request, "manage/usage_videos.html", context)


@require_GET
@rooms.look(ROOM)
def statement(request: HttpRequest) -> HttpResponseBase:
    """A month of one team (or of everything), to be printed, or as CSV with ``format=csv``."""
    first, last = _month(request.GET.get("month", ""))
    teams = {team.pk: team for team in _visible_teams(request)}
    chosen = whole_number(request.GET.get("team", ""))
    if chosen and chosen not in teams:
        raise Http404
    scope = UsageScope(first, last, _teams(request, teams), team=chosen)
    by_user, by_model = services.usage_by_each(scope, "user", "model")
    people = _named(by_user, _ordered(by_user, "user"), "user")
    models = _named(by_model, _ordered(by_model, "model"), "model")
    whole = services.total_usage(row.sums for row in people)
    if request.GET.get("format") == "csv":
        header = ("person", "videos", "seconds", "credits", "upstream_usd", "upstream_known_of", "ended")
        lines = (
            (row.name, row.sums.succeeded, row.sums.seconds, row.sums.credits, *_cost(row)) for row in people
        )
        return download(f"statement-{first:%Y-%m}", header, lines)
    context = {
        "month": first,
        "team": teams[chosen] if chosen else None,
        "people": people,
        "models": models,
        "whole": whole,
        "query": urlencode({"month": f"{first:%Y-%m}", "team": chosen or ""}),
        "earlier": f"{first - timedelta(days=1):%Y-%m}",
        "later": f"{last + timedelta(days=1):%Y-%m}" if last < timezone.localdate() else "",
        "teams": teams.values(),
    }
    return render(request, "manage/statement.html", context)


def _cost(row: Row) -> tuple[float | None, int, int]:
    """For a spreadsheet: upstream's real cost in US dollars, of how many it is known, and of how many in all."""
    cost = row.sums.upstream_dollars
    return (None if cost is None else round(cost, 4), row.sums.upstream_costed, row.sums.ended)


# --- what was asked for ---------------------------------------------------------


def _scope(request: HttpRequest, teams: Iterable[int] | None = None) -> UsageScope:
    """From the address; what makes no sense is as if it were not there. A manager's teams always bound it.

    ``teams`` are those that the viewer may see, where they are known already.
    """
    asked = request.GET
    today = timezone.localdate()
    last = min(_day(asked.get("to", "")) or today, today)
    first = _day(asked.get("from", "")) or last - timedelta(days=DAYS - 1)
    first = max(min(first, last), last - timedelta(days=MOST_DAYS - 1))
    return UsageScope(
        first,
        last,
        _teams(request, teams),
        user=whole_number(asked.get("user", "")),
        team=whole_number(asked.get("team", "")),
        model=asked.get("model", "")[:60].replace("\x00", ""),
        key=whole_number(asked.get("key", "")),
    )


def _teams(request: HttpRequest, visible: Iterable[int] | None = None) -> frozenset[int] | None:
    """The teams whose usage this person sees; None for all of it."""
    user = cast(User, request.user)
    if user.role in (User.Role.FINANCE, User.Role.ADMIN):
        return None
    return frozenset(_visible_teams(request).values_list("pk", flat=True) if visible is None else visible)


def _visible_teams(request: HttpRequest) -> QuerySet[Team]:
    return Team.objects.visible_to(cast(User, request.user)).order_by("name")


def _by(request: HttpRequest) -> str:
    by = request.GET.get("by", "day")
    return by if by in GROUPS else "day"


def _asked(scope: UsageScope) -> dict[str, Any]:
    """A scope in the words of the address."""
    parts = {"user": scope.user, "team": scope.team, "model": scope.model, "key": scope.key}
    days = {"from": scope.first.isoformat(), "to": scope.last.isoformat()}
    return days | {name: value for name, value in parts.items() if value}


def _day(text: str) -> date | None:
    try:
        day = parse_date(text)
    except ValueError:
        return None
    return day if day and 2000 <= day.year < 9000 else None


def _month(text: str) -> tuple[date, date]:
    """First and last day of “2026-11”; of this month where it is none."""
    first = (_day(f"{text}-01") or timezone.localdate()).replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)


def _presets() -> list[dict[str, Any]]:
    today = timezone.localdate()
    this_month = today.replace(day=1)
    last_month = (this_month - timedelta(days=1)).replace(day=1)
    spans = (
        (_("7 days"), today - timedelta(days=6), today),
        (_("30 days"), today - timedelta(days=29), today),
        (_("This month"), this_month, today),
        (_("Last month"), last_month, this_month - timedelta(days=1)),
        (_("12 months"), today - timedelta(days=364), today),
    )
    return [
        {"label": label, "first": first.isoformat(), "last": last.isoformat()} for label, first, last in spans
    ]


def _choices(request: HttpRequest) -> dict[str, Any]:
    """What the filters offer: only people, teams and models that this person may see."""
    people = User.objects.visible_to(cast(User, request.user)).order_by("username")
    return {
        "people": dict(people.values_list("pk", "username")[:MOST_PEOPLE]),
        "teams": dict(_visible_teams(request).values_list("pk", "name")),
        "models": [(model.name, model.label) for model in services.current_rules().models],
    }


# --- what is shown --------------------------------------------------------------


def _tiles(now: UsageSums, before: UsageSums) -> list[Tile]:
    return [
        Tile(_("Credits"), now.credits, before.credits, "number"),
        Tile(_("Videos"), now.succeeded, before.succeeded, "number", better=True),
        Tile(_("Seconds of video"), now.seconds, before.seconds, "number", better=True),
        Tile(_("Failed"), now.failure_rate, before.failure_rate, "percent", better=False),
        Tile(_("At upstream"), now.upstream_dollars, before.upstream_dollars, "dollars"),
        Tile(_("Half are ready within"), now.wait_of(0.5), before.wait_of(0.5), "seconds", better=False),
    ]


def _charts(scope: UsageScope, days: dict[Any, UsageSums]) -> dict[str, Any]:
    """For the script: a value for every day, those without anything included."""
    count = (scope.last - scope.first).days + 1
    every = [scope.first + timedelta(days=number) for number in range(count)]
    sums = [days.get(day, UsageSums()) for day in every]

    def percent(value: float | None) -> float | None:
        return None if value is None else round(100 * value, 1)

    return {
        "days": [day.isoformat() for day in every],
        "credits": [each.credits for each in sums],
        "succeeded": [each.succeeded for each in sums],
        "failed": [each.failed for each in sums],
        "seconds": [each.seconds for each in sums],
        "failure_rate": [percent(each.failure_rate) for each in sums],
        "half": [each.wait_of(0.5) for each in sums],
        "most": [each.wait_of(0.9) for each in sums],
    }


def _rows(
    scope: UsageScope,
    groups: dict[Any, UsageSums],
    by: str,
    *,
    most: int = MOST_ROWS,
    known: dict[str, Any] | None = None,
) -> list[Row]:
    """Days from the newest, everything else by credits."""
    base = _asked(scope)
    rows = []
    shown = _ordered(groups, by)[:most]
    for row, key in zip(_named(groups, shown, by, known or {}), shown, strict=True):
        own = {"from": key.isoformat(), "to": key.isoformat()} if by == "day" else {by: key}
        rows.append(row._replace(query=urlencode(base | own) if key is not None else ""))
    return rows


def _ordered(groups: dict[Any, UsageSums], by: str) -> list[Any]:
    if by == "day":
        return sorted(groups, reverse=True)
    return sorted(groups, key=lambda key: (-groups[key].credits, -groups[key].succeeded, str(key)))


def _named(
    groups: dict[Any, UsageSums], keys: list[Any], by: str, known: dict[str, Any] | None = None
) -> list[Row]:
    """These groups with names for people: one query at most, and none where the names are known already."""
    names = {"user": (known or {}).get("people", {}), "team": (known or {}).get("teams", {})}.get(by, {})
    if any(key not in names for key in keys):
        names = names | _names([key for key in keys if key not in names], by)
    return [Row(names.get(key, "–"), groups[key], "") for key in keys]


def _names(keys: Iterable[Any], by: str) -> dict[Any, str]:
    wanted = [key for key in keys if key is not None]
    if by == "day":
        return {key: key.isoformat() for key in wanted}
    if by == "model":
        rules = services.current_rules()
        return {key: model.label if (model := rules.model(key)) else key for key in wanted}
    if by == "user":
        return dict(User.objects.filter(pk__in=wanted).values_list("pk", "username"))
    if by == "team":
        named = dict(Team.objects.filter(pk__in=wanted).values_list("pk", "name")) if wanted else {}
        return named | {None: _("no team")}
    keyed = ApiKey.objects.filter(pk__in=wanted).values_list("pk", "label", "user__username")
    return {pk: f"{label} ({user})" for pk, label, user in keyed} | {None: _("the portal")}
