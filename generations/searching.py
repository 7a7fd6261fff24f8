"""How far one look goes through what no index helps with, prompts above all: the next look goes on from there."""

from __future__ import annotations

from django.db.models import QuerySet

from generations.models import Generation

WINDOW = 10_000  # rows
PATIENCE = 2.0  # seconds


def edge(rows: QuerySet[Generation]) -> tuple[Generation, Generation] | None:
    """The last of the ordered ``rows`` that one look goes through, and the first that it does not.

    None where it reaches their end.
    """
    ends = list(rows.only("pk", "created_at")[WINDOW - 1 : WINDOW + 1])
    return (ends[0], ends[1]) if len(ends) == 2 else None
