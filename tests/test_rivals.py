"""What the API is measured beside asks the database what the platform asks: its statements fit today's tables."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from django.db import connection

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]

APP = Path(__file__).parent.parent / "benchmarks" / "fastapi" / "app.py"
CONSTANTS = [node for node in ast.parse(APP.read_text()).body if isinstance(node, ast.Assign)]
STATEMENTS = {
    ast.unparse(node.targets[0]): node.value.value
    for node in CONSTANTS
    if isinstance(node.value, ast.Constant)
    and str(node.value.value).split()[0] in ("WITH", "SELECT", "UPDATE", "INSERT")
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_of_the_rival_fits(name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PREPARE rival AS {STATEMENTS[name]}")
        cursor.execute("DEALLOCATE rival")


def test_all_of_them_are_seen() -> None:
    assert len(STATEMENTS) == 10
