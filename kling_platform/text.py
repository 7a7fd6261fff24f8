"""The one validator of text, and the one reader of JSON, that come from outside."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from django.utils.translation import gettext as _

from kling_platform.errors import InvalidValue

MAX_DEPTH = 32


class InvalidJSON(InvalidValue):
    """Not JSON, or JSON that nests too deeply or carries NaN or a number beyond all bounds."""

    code = "invalid_json"


def check_text(value: str, *, param: str | None) -> str:
    """The text itself. Refuses NUL and lone surrogates, which no database takes."""
    if "\x00" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise InvalidValue(
            _("The text has a character that cannot be kept (NUL, or half of a surrogate pair). Remove it."),
            param=param,
        )
    return value


def whole_number(text: str, *, most: int = 10**15) -> int | None:
    """What a form or an address says in plain digits, from 0 to ``most``; None for all else.

    Python's own ``int`` raises for very long digits, and reads those of every script.
    """
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))):
        return None
    number = int(text)
    return number if number <= most else None


def read_json(text: str, *, param: str | None = None) -> Any:
    """Parse JSON of bounded depth whose every string passes ``check_text``; ``InvalidValue`` otherwise."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidJSON(_("This is not valid JSON."), param=param) from error
    _check(value, param, MAX_DEPTH)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(text: str) -> float:
    """1e400 is JSON, but reads as infinity, which a database refuses to write again."""
    value = float(text)
    if math.isinf(value):
        raise ValueError(text)
    return value


def _check(value: Any, param: str | None, depth: int) -> None:
    if depth == 0:
        raise InvalidJSON(_("The JSON nests too deeply."), param=param)
    if isinstance(value, str):
        check_text(value, param=param)
    elif isinstance(value, dict):
        for key, inner in value.items():
            check_text(key, param=param)
            _check(inner, f"{param}.{key}" if param else key, depth - 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, param, depth - 1)
