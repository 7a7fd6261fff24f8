"""Films of the sandbox for tests that do not look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from generations.omnimaas.sandbox import render, studio

_drawn: dict[render.Recipe, bytes] = {}


@contextmanager
def drawn_once() -> Iterator[None]:
    """Sandboxes hand out again what they drew before, whatever the prompt that stands on it: drawing the same
    lakes and hills took a tenth of the suite's time."""

    def once(recipe: render.Recipe, path: Path, stopping: Callable[[], bool]) -> None:
        like_it = replace(recipe, prompt="")
        if recipe.first is None and like_it in _drawn:
            part = path.with_suffix(".part")
            part.write_bytes(_drawn[like_it])
            part.replace(path)
        else:
            render.render(recipe, path, stopping)
        if recipe.first is None:  # no two pictures are the same
            _drawn[like_it] = path.read_bytes()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(studio, "render", once)
        yield
