"""How a compare wall is laid out: whole rows, each as wide as the page, in which every tile has its own shape."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any

from django import template

from generations.templatetags.shots import SHAPES, shape

register = template.Library()

# A row of two wide pictures: what a screen shows well. More than two such rows make one scroll.
ROW, ROWS = 2 * 16 / 9, 2


@register.filter
def in_rows(tiles: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The tiles (``{"g": generation, …}``) in their order, cut into rows of about the same height."""
    ratios = [float(SHAPES[shape(tile["g"])]) for tile in tiles]
    wanted = max(ROW, sum(ratios) / ROWS)

    def unlike(rows: list[slice]) -> float:
        return sum((sum(ratios[row]) - wanted) ** 2 for row in rows)

    return [tiles[row] for row in min(_cuts(len(tiles)), key=unlike)]


def _cuts(count: int) -> Iterator[list[slice]]:
    """Every way to cut a line into parts: of nine, 256."""
    for parts in range(count):
        for places in combinations(range(1, count), parts):
            yield [slice(a, b) for a, b in pairwise((0, *places, count))]
