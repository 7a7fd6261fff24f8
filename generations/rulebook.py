"""The catalogue's rules as data to be kept and edited, checked as a whole; and what two versions differ in (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from django.utils.translation import gettext as _

from generations.catalogue import Mode, Model, Rules
from kling_platform.errors import InvalidValue
from kling_platform.text import check_text

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,58}")
SIZE = re.compile(r"[1-9][0-9]?:[1-9][0-9]?")
# Beyond these a number is a typing error. Upstream's family takes no longer videos, and no third picture.
MOST_MODELS, MOST_MODES, MOST_SECONDS, MOST_PER_SECOND, MOST_CHARACTERS = 50, 8, 600, 100_000, 100_000
MOST_IMAGES = 2


def as_data(rules: Rules) -> dict[str, Any]:
    """Everything but the version, as JSON takes it; ``from_data`` reads it again."""
    data = asdict(rules)
    del data["version"]
    return data


def from_data(data: dict[str, Any], version: str) -> Rules:
    """The rules that were kept. Raises ``TypeError`` or ``KeyError`` for what no ``as_data`` has written."""
    models = tuple(
        Model(
            **{
                **model,
                "modes": tuple(Mode(**mode) for mode in model["modes"]),
                "seconds": tuple(model["seconds"]),
                "sizes": tuple(model["sizes"]),
                "teams": tuple(model.get("teams", ())),  # no older version says it
            }
        )
        for model in data["models"]
    )
    return Rules(
        **{**data, "models": models, "metadata_keys": tuple(data["metadata_keys"]), "version": version}
    )


def check(rules: Rules) -> Rules:
    """Rules that make sense, or ``InvalidValue`` whose ``param`` is ``model``, ``model/mode`` or a field.

    The modes of each model come back ordered from cheap to dear: the first that fits is taken.
    """
    _positive(rules.prompt_characters, MOST_CHARACTERS, "prompt_characters")
    if not 0 <= rules.images <= MOST_IMAGES:
        raise InvalidValue(
            _("A request has at most two pictures: the first frame and the last."), param="images"
        )
    _unique(list(rules.metadata_keys), "metadata_keys")
    for key in rules.metadata_keys:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", key):
            raise InvalidValue(
                _("“%(key)s” can be no key of metadata.") % {"key": key}, param="metadata_keys"
            )
    if not 0 < len(rules.models) <= MOST_MODELS or not rules.offered:
        raise InvalidValue(
            _("Leave at least one model switched on, or nobody can make anything."), param="models"
        )
    _unique([model.name for model in rules.models], "models")
    return replace(rules, models=tuple(_checked(model) for model in rules.models))


def _checked(model: Model) -> Model:
    if not NAME.fullmatch(model.name):
        raise InvalidValue(
            _("“%(name)s” can be no model: use the gateway's own name, small letters, digits and hyphens.")
            % {"name": model.name[:60]},
            param=model.name[:60] or "models",
        )
    check_text(model.label, param=model.name)
    if not model.label.strip() or len(model.label) > 60 or not model.label.isprintable():
        raise InvalidValue(_("Give the model a name for people, of up to 60 characters."), param=model.name)
    if not model.seconds or not 0 < len(model.modes) <= MOST_MODES:
        raise InvalidValue(_("A model has at least one length and one mode."), param=model.name)
    for number in model.seconds:
        _positive(number, MOST_SECONDS, model.name)
    if not model.sizes or not all(SIZE.fullmatch(size) for size in model.sizes):
        raise InvalidValue(_("A ratio is two numbers with a colon, 16:9 for example."), param=model.name)
    for values in (model.seconds, model.sizes, model.teams, [mode.name for mode in model.modes]):
        _unique(list(values), model.name)
    for mode in model.modes:
        where = f"{model.name}/{mode.name}"
        if not re.fullmatch(r"[a-z0-9]{1,8}", mode.name) or not 0 < len(mode.resolution) <= 20:
            raise InvalidValue(_("A mode has a short name (std, pro) and a resolution (1080p)."), param=where)
        _positive(mode.per_second, MOST_PER_SECOND, where)
        if mode.per_second_sound is not None:
            _positive(mode.per_second_sound, MOST_PER_SECOND, where)
    return replace(model, modes=tuple(sorted(model.modes, key=lambda mode: mode.per_second)))


def _positive(number: int, most: int, param: str) -> None:
    if not 0 < number <= most:
        raise InvalidValue(
            _("%(number)s is no number from 1 to %(most)d.") % {"number": number, "most": most}, param=param
        )


def _unique(values: list[Any], param: str) -> None:
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise InvalidValue(_("“%(value)s” is there twice.") % {"value": twice}, param=param)


def changes(old: Rules, new: Rules) -> list[dict[str, Any]]:
    """What differs: ``{"what": "kling-v2-6/pro per_second", "from": 5, "to": 6}``; None where it was not there."""
    before, after = dict(_facts(old)), dict(_facts(new))
    return [
        {"what": what, "from": before.get(what), "to": after.get(what)}
        for what in [*after, *(what for what in before if what not in after)]
        if before.get(what) != after.get(what)
    ]


def _facts(rules: Rules) -> Iterator[tuple[str, Any]]:
    """Every single thing that the rules say, by its name."""
    yield "prompt_characters", rules.prompt_characters
    yield "images", rules.images
    yield "metadata_keys", list(rules.metadata_keys)
    for model in rules.models:
        for name in ("label", "enabled", "seconds", "sizes", "teams"):
            value = getattr(model, name)
            yield f"{model.name} {name}", list(value) if isinstance(value, tuple) else value
        for mode in model.modes:
            for name in ("resolution", "per_second", "per_second_sound", "last_frame"):
                yield f"{model.name}/{mode.name} {name}", getattr(mode, name)
