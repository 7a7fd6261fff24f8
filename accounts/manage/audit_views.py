"""The audit: who changed what, when, from what to what, from where. Looked at and exported, never written here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.timezone import make_aware
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET
from django_filters import CharFilter, DateFilter, FilterSet

from accounts import rooms
from accounts.models import AuditEntry
from kling_platform.tables import Column, download, searched, table

ROOM = "manage_audit"
SEARCHED = ("subject", "actor__username", "action", "told")
COLUMNS = (
    Column("at", gettext_lazy("When"), ("at",), numeric=True),
    Column("actor", gettext_lazy("Who"), ("actor__username",)),
    Column("action", gettext_lazy("What"), ("action",)),
    Column("subject", gettext_lazy("Of whom"), ("subject",)),
    Column("change", gettext_lazy("From what to what"), wide=True),
    Column("address", gettext_lazy("From where"), ("address",), wide=True),
)
# The first word of an action is what it is about.
ABOUT = {
    "user": gettext_lazy("people"),
    "invitation": gettext_lazy("invitations"),
    "team": gettext_lazy("teams"),
    "quota": gettext_lazy("quotas"),
    "key": gettext_lazy("API keys"),
    "catalogue": gettext_lazy("prices"),
    "request": gettext_lazy("requests for credits"),
    "sending": gettext_lazy("sending"),
    "doubt": gettext_lazy("doubts"),
    "store": gettext_lazy("storing"),
    "webhook": gettext_lazy("webhooks"),
    "share": gettext_lazy("sharing"),
    "link": gettext_lazy("share links"),
    "alarm": gettext_lazy("alarms"),
    "generation": gettext_lazy("videos"),
}
# Not the first and the last year: from there a time zone, or a day more, would leave the calendar.
DAYS = (MinValueValidator(date(2, 1, 1)), MaxValueValidator(date(9998, 12, 31)))
MOST_EXPORTED = 100_000
HEADER = ("at", "by", "action", "subject", "detail", "from")


@require_GET
@rooms.look(ROOM)
def audit(request: HttpRequest) -> HttpResponse:
    """Newest first."""
    page = table(request.GET, _rows(request), COLUMNS, first="-at")
    for entry in page.rows:
        entry.changes = changes(entry.detail)
    fragment = "manage/_audit.html" if request.headers.get("HX-Request") else "manage/audit.html"
    return render(request, fragment, {"table": page, "about": ABOUT})


class AuditFilter(FilterSet):
    """What an address may ask for; a value that means nothing counts as not said."""

    about = CharFilter(method="of_action")
    who = CharFilter("actor__username")
    of = CharFilter("subject")
    since = DateFilter(method="of_days", validators=DAYS)
    until = DateFilter(method="of_days", validators=DAYS)

    def of_action(self, rows: QuerySet[AuditEntry], _name: str, about: str) -> QuerySet[AuditEntry]:
        if about in ABOUT:
            return rows.filter(action__startswith=f"{about}.")
        return rows.filter(action=about) if about.partition(".")[0] in ABOUT else rows

    def of_days(self, rows: QuerySet[AuditEntry], name: str, day: date) -> QuerySet[AuditEntry]:
        """Days begin at midnight in the platform's time zone; a column that is not cast uses its index."""
        begin = make_aware(datetime.combine(day, time()))
        if name == "since":
            return rows.filter(at__gte=begin)
        return rows.filter(at__lt=begin + timedelta(days=1))


def _rows(request: HttpRequest) -> QuerySet[AuditEntry]:
    rows = AuditEntry.objects.select_related("actor").annotate(told=Cast("detail", TextField()))
    return searched(AuditFilter(request.GET, rows).qs, request.GET, SEARCHED)


def changes(detail: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(what, from, to) of each thing that an entry tells; ``from`` is empty where nothing was before."""
    rest = dict(detail)
    before, after = rest.pop("before", None), rest.pop("after", None)
    if isinstance(before, dict):
        after = after if isinstance(after, dict) else {key: rest.pop(key, None) for key in before}
        pairs = [(key, _said(old), _said(after.get(key))) for key, old in before.items()]
        pairs = [pair for pair in pairs if pair[1] != pair[2]]
    elif before is not None:
        key = next(iter(rest), "")
        pairs = [(key, _said(before), _said(rest.pop(key, None)))]
    else:
        pairs = []
    listed = rest.pop("changes", [])  # of prices: each has its own name, from and to
    pairs += [(one["what"], _said(one["from"]), _said(one["to"])) for one in listed]
    told = [(key.rstrip("_"), "", _said(value)) for key, value in rest.items() if value not in ("", None, [])]
    return pairs + told


def _said(value: Any) -> str:
    if value is None or value == []:
        return "–"
    if isinstance(value, list) and all(isinstance(one, str | int) for one in value):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@require_GET
@rooms.look(ROOM)
def export(request: HttpRequest) -> HttpResponseBase:
    """What the page shows, all of it, newest first."""
    return download("audit", HEADER, (_line(entry) for entry in _all(request)))


@require_GET
@rooms.look(ROOM)
def export_lines(request: HttpRequest) -> HttpResponseBase:
    """The same for programs: a JSON object a line, with the detail as it is kept."""
    lines = (_json(entry) for entry in _all(request))
    response = StreamingHttpResponse(lines, content_type="application/jsonl; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="audit.jsonl"'
    return response


def _all(request: HttpRequest) -> Iterator[AuditEntry]:
    return _rows(request).order_by("-at")[:MOST_EXPORTED].iterator(chunk_size=500)


def _json(entry: AuditEntry) -> str:
    cells = dict(zip(HEADER, _line(entry), strict=True)) | {"detail": entry.detail}
    return json.dumps(cells, ensure_ascii=False) + "\n"


def _line(entry: AuditEntry) -> tuple[Any, ...]:
    detail = json.dumps(entry.detail, ensure_ascii=False, sort_keys=True)
    by = entry.actor.username if entry.actor else ""
    return (entry.at.isoformat(), by, entry.action, entry.subject, detail, entry.address or "")
