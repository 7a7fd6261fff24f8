"""The whole history as a table or as lines of JSON, streamed: a hundred thousand rows need no more memory than one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from django.http import StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.request import Request

from generations import public
from generations.api.filters import condition
from generations.api.pages import descends
from generations.api.serializers import RecordSerializer
from generations.models import Generation, GenerationQuerySet
from kling_platform import csvs
from kling_platform.errors import InvalidValue

# Rows that are in memory at a time, here and in the database.
CHUNK = 500
FORMATS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}
OPTIONS = ("format", "order", "bom")
# The columns, in order.
RECORD = tuple(RecordSerializer().fields)


def answer(request: Request) -> StreamingHttpResponse:
    """The file that the address asks for. Everything is checked before its first byte."""
    query = request.query_params
    kind, bom = query.get("format", "csv"), query.get("bom", "0")
    if kind not in FORMATS:
        raise InvalidValue(_("format is csv or jsonl."), param="format")
    if bom not in ("0", "1"):
        raise InvalidValue(_("bom is 0 or 1."), param="bom")
    rows = Generation.objects.owned_by(request.user).filter(condition(query, besides=OPTIONS))
    rows = rows.select_related("api_key").with_tags().defer("upstream_reply", "result_url")
    write = _csv if kind == "csv" else _jsonl
    records = (as_record(generation) for generation in _all(rows, descends(query)))
    lines = _joined([csvs.BOM] if kind == "csv" and bom == "1" else [], write(records))
    first = next(lines)  # asks the database: once the answer has begun, nothing can be refused any more
    response = StreamingHttpResponse(chain([first], lines), content_type=FORMATS[kind])
    name = f"generations-{timezone.localdate():%Y-%m-%d}.{kind}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


def _all(rows: GenerationQuerySet, down: bool) -> Iterator[Generation]:
    """Page after page by key: a cursor would make the database read everything before the first byte.

    What is deleted meanwhile is left out, what is made meanwhile comes where it is still ahead.
    """
    ordered = rows.newest_first() if down else rows.newest_first().reverse()
    page = list(ordered[:CHUNK])
    while page:
        yield from page
        rest = ordered.before(page[-1]) if down else ordered.after(page[-1])
        page = list(rest[:CHUNK]) if len(page) == CHUNK else []


def as_record(generation: Generation) -> dict[str, Any]:
    """A generation as a row of a table: what was asked for, what became of it, what it cost. No links: they end."""
    status = public.outward(generation.status)
    error = public.error_of(generation) if status == public.FAILED else {"code": None, "message": None}
    values = {
        "id": str(generation.pk),
        "created_at": generation.created_at.isoformat(timespec="milliseconds"),
        "finished_at": generation.finished_at and generation.finished_at.isoformat(timespec="milliseconds"),
        "status": status,
        "state": generation.status,
        "cost": public.cost_of(generation),
        "negative_prompt": generation.metadata.get("negative_prompt", ""),
        "tags": public.tags_of(generation),
        "key": generation.api_key and generation.api_key.lookup,
        "retry_of": generation.retry_of_id and str(generation.retry_of_id),
        "batch_id": generation.batch_id and str(generation.batch_id),
        "error_code": error["code"],
        "error_message": error["message"],
    }
    return {name: values[name] if name in values else getattr(generation, name) for name in RECORD}


def _csv(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    rows = ([*(record | {"tags": ",".join(record["tags"])}).values()] for record in records)
    return csvs.lines(RECORD, rows)


def _jsonl(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    return (json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _joined(begin: list[str], lines: Iterator[str]) -> Iterator[str]:
    """Some lines at a time: a chunk of the answer for each would be half a packet."""
    for line in lines:
        begin.append(line)
        if len(begin) == CHUNK:
            yield "".join(begin)
            begin = []
    yield "".join(begin)
