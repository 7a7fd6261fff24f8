"""What the API is measured beside asks the database what the platform asks: its statements fit today's tables."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from django.db import connection

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]

APP = Path(__file__).parent.parent / "benchmarks" / "fastapi" / "app.py"
# Its statements alone, without the packages that it is served with.
_CONSTANTS = [node for node in ast.parse(APP.read_text()).body if isinstance(node, ast.Assign)]
_PLAIN = [node for node in _CONSTANTS if isinstance(node.value, ast.JoinedStr | ast.Constant)]
_names: dict[str, object] = {}
exec(compile(ast.Module(_PLAIN, type_ignores=[]), APP, "exec"), _names)
STATEMENTS = {
    name: text
    for name, text in _names.items()
    if isinstance(text, str) and text.split()[:1] in (["WITH"], ["SELECT"], ["UPDATE"], ["INSERT"])
    if name != "NOTED"  # a beginning
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_of_the_rival_fits(name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PREPARE rival AS {STATEMENTS[name]}")
        cursor.execute("DEALLOCATE rival")


def test_all_of_them_are_seen() -> None:
    assert len(STATEMENTS) == 9
