"""Every text column is judged: may somebody from outside write it, and then R22 writes markup into it."""

from __future__ import annotations

from tests.stained import COLUMNS, text_columns, why_not


def test_every_text_column_is_judged() -> None:
    unjudged = []
    for field in text_columns():
        try:
            why_not(field)
        except KeyError:
            unjudged.append(f"{field.model._meta.label}.{field.name}")
    assert unjudged == [], "write each into tests/stained.COLUMNS: who may fill it, or why nobody does"


def test_nothing_is_judged_that_is_not_there() -> None:
    there = {f"{field.model._meta.label}.{field.name}" for field in text_columns()}
    there |= {field.model._meta.label for field in text_columns()}
    assert set(COLUMNS) <= there
