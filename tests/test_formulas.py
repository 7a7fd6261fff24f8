"""R23: no cell of any export is a formula to the spreadsheet that opens it.

Every text that a person, a program or upstream can put into a row is a formula here, and every export is read
with a real reader. An export without a row in EXPORTS fails, and so does a column that nothing was put into.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from typing import Any, NamedTuple

import pytest
from django.utils import timezone

from accounts import services as people
from accounts.models import AuditEntry, Team, User
from generations.models import Generation, Tag
from tests.api import Api
from tests.conftest import person
from tests.portal import signed_in
from tests.test_imports import MODULES

pytestmark = pytest.mark.django_db

SIGNS = ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", " =", "\u3000=", "\ufeff=", "\u00a0+"]
ENDS = ["1+1", 'HYPERLINK("//x")', "cmd|'/C'!A0", "SUM(A1)*1,2"]
PAYLOADS = [sign + end for sign in SIGNS for end in ENDS]
# As they are, and as a part of JSON.
WRITTEN = PAYLOADS + [json.dumps(payload, ensure_ascii=False)[1:-1] for payload in PAYLOADS]
# What OWASP says a spreadsheet runs, with its blanks in front, and with the wide signs of a Chinese keyboard.
RUN = re.compile(r"^[\s\ufeff]*[=+\-@＝＋－＠]|^[\t\r\n]")
NUMBER = re.compile(r"-?\d+(\.\d+)?")


class Export(NamedTuple):
    """``calls`` is the function that writes it; ``ours`` are columns of our own words, numbers and times."""

    calls: str
    paths: tuple[str, ...]
    ours: str


SUMS = "succeeded failed canceled seconds credits upstream_cost upstream_costed waited within_30 within_60"
EXPORTS = [
    Export(
        "accounts.manage.people_views.export",
        ("/manage/people.csv",),
        "role active credits period quotas used last_sign_in",
    ),
    Export("accounts.manage.import_views.example", ("/manage/people/import/example.csv",), "*"),
    Export("accounts.manage.audit_views.export", ("/manage/audit.csv",), "at from"),
    Export(
        "generations.manage.usage_views.export",
        tuple(f"/manage/usage.csv?by={by}" for by in ("user", "team", "model", "key")),
        f"{SUMS} within_120 within_300 within_900 upstream_usd",
    ),
    Export(
        "generations.manage.usage_views.statement",
        ("/manage/usage/statement?format=csv",),
        "videos seconds credits upstream_usd upstream_known_of ended",
    ),
    Export(
        "generations.api.exports._csv",
        ("/v1/video/generations/export",),
        "id created_at finished_at status state mode seconds size sound cost key retry_of batch_id batch_line",
    ),
]


@pytest.fixture
def villain(boss: User) -> User:
    """Somebody whose every word is a formula, and sixty friends of the same kind."""
    owner = person("villain")
    made, now = [], timezone.now()
    for number, payload in enumerate(PAYLOADS):
        friend = User.objects.create(username=payload, email=f"{payload}@x.example", password="!")
        team = Team.objects.create(name=payload)
        team.members.add(friend)
        key = people.make_key(friend, label=f"key {number}")[0]
        type(key).objects.filter(pk=key.pk).update(label=payload)
        recipe = {
            "model": payload[:60],
            "prompt": payload,
            "metadata": {"negative_prompt": payload},
            "seconds": 5,
            "size": "16:9",
            "mode": "std",
            "price": 15,
            "price_version": "1",
            "finished_at": now,
        }
        made.append(Generation(**recipe, user=friend, made_for=team, api_key=key, status="canceled"))
        mine = {"status": "failed", "error_code": payload, "error_message": payload}
        made.append(Generation(**recipe, user=owner, **mine))
        AuditEntry.objects.create(actor=friend, action=payload, subject=payload, detail={payload: payload})
    Generation.objects.bulk_create(made)
    tags = Tag.objects.bulk_create(
        Tag(user=owner, name=payload.replace(",", ";")[:30]) for payload in PAYLOADS
    )
    for tag, generation in zip(tags, Generation.objects.filter(user=owner), strict=True):
        generation.tags.add(tag)
    return owner


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.calls)
def test_no_cell_is_run_in(export: Export, villain: User, boss: User) -> None:
    ours = set(export.ours.split())
    for path in export.paths:
        if path.startswith("/v1"):
            answer: Any = Api(people.make_key(villain, label="reader")[1]).get(path)
        else:
            answer = signed_in(boss).get(path)
        assert answer.status_code == 200
        header, *rows = csv.reader(io.StringIO(answer.getvalue().decode("utf-8-sig"), newline=""))
        cells = [(name, cell) for row in [header, *rows] for name, cell in zip(header, row, strict=True)]
        run = [(name, cell) for name, cell in cells if RUN.search(cell) and not NUMBER.fullmatch(cell)]
        assert run == []
        if export.ours == "*":
            continue
        for name in set(header) - ours:
            tried = sum(cell.startswith("'") for column, cell in cells if column == name)
            words = sum(any(p in cell for p in WRITTEN) for column, cell in cells if column == name)
            assert max(tried, words) >= len(PAYLOADS), f"{path}: nothing was put into the column {name}"


def test_every_export_has_its_row() -> None:
    """The one writer of CSV is called from here; nobody else writes any."""
    callers = set()
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text())
        tables = any(
            isinstance(node, ast.ImportFrom)
            and node.module == "kling_platform.tables"
            and "download" in {alias.name for alias in node.names}
            for node in ast.walk(tree)
        )
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                called = ast.unparse(call.func)
                if called == "csvs.lines" or (called == "download" and tables):
                    callers.add(f"{name}.{function.name}")
                assert called not in ("csv.writer", "csv.DictWriter") or name == "kling_platform.csvs", name
    callers -= {"kling_platform.tables.download", "kling_platform.tables.parts"}
    assert callers == {export.calls for export in EXPORTS}


def test_the_judge_knows_a_formula() -> None:
    assert all(RUN.search(payload) for payload in PAYLOADS) and len(PAYLOADS) == 60
    assert not any(RUN.search(f"'{payload}") for payload in PAYLOADS)
    assert not RUN.search("a=1")
