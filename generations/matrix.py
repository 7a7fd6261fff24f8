"""Many requests at once, from a grid (prompts × models × lengths) or from a pasted table. Pure functions."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

from django.utils.translation import gettext as _

from kling_platform.errors import InvalidValue

COLUMNS = ("prompt", "model", "mode", "seconds", "size", "sound", "negative_prompt")
# In the order of the odds: a spreadsheet copies tabs, half of Europe exports semicolons.
DELIMITERS = "\t;,"
MOST_CHARACTERS = 200_000
YES = ("1", "on", "yes", "true", "是")
NO = ("", "0", "off", "no", "false", "否")


def grid(
    prompts: Iterable[str], makes: Sequence[str], seconds: Sequence[str], size: str
) -> list[dict[str, Any]]:
    """Every prompt on every model (``model/mode``) in every length: requests of the wire, prompt by prompt."""
    wanted = [prompt.strip() for prompt in prompts if prompt.strip()]
    if not (wanted and makes and seconds):
        raise InvalidValue(_("Write a prompt, and tick at least one model and one length."), param="prompts")
    return [
        _request({"prompt": prompt, "make": make, "seconds": length, "size": size})
        for prompt, make, length in product(wanted, dict.fromkeys(makes), dict.fromkeys(seconds))
    ]


def table(text: str) -> list[tuple[int, dict[str, Any]]]:
    """The rows of a CSV with a header, each with the number of the line that it begins on.

    Columns may stand in any order; all but ``prompt`` and ``model`` may be missing, and an empty cell is the
    default. Comma, semicolon or tab, whichever the header has. ``InvalidValue`` says what is wrong with it.
    """
    if len(text) > MOST_CHARACTERS:
        raise InvalidValue(_("This table is too long. Split it."), param="table")
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    first = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    rows, begins = [], 1
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        _check_header(header)
        begins = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((begins, _request(_row(header, cells, begins))))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise InvalidValue(
            _("Line %(line)d is no CSV: a quotation mark may be missing.") % {"line": begins}, param="table"
        ) from error
    return rows


def _check_header(header: list[str]) -> None:
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or "prompt" not in header or "model" not in header or len(set(header)) < len(header):
        raise InvalidValue(
            _(
                "The first line names the columns, each once: prompt and model, and of %(others)s any you need."
            )
            % {"others": ", ".join(COLUMNS[2:])},
            param="table",
        )


def _row(header: list[str], cells: list[str], line: int) -> dict[str, str]:
    if len(cells) > len(header):
        raise InvalidValue(
            _("Line %(line)d has more cells than the first line has names. Put a text with commas in quotes.")
            % {"line": line},
            param="table",
        )
    return dict(zip(header, (cell.strip() for cell in cells), strict=False))


def _request(row: dict[str, str]) -> dict[str, Any]:
    model, _slash, mode = row.get("make", row.get("model", "")).partition("/")
    metadata = {"mode": row.get("mode") or mode, "negative_prompt": row.get("negative_prompt", "")}
    sound = row.get("sound", "").lower()
    if sound not in NO:
        metadata["sound"] = "on" if sound in YES else sound  # what is neither is refused by the catalogue
    request = {
        "prompt": row.get("prompt", ""),
        "model": model,
        "duration": row.get("seconds", ""),
        "size": row.get("size", ""),
        "metadata": {name: value for name, value in metadata.items() if value},
    }
    return {name: value for name, value in request.items() if value or name in ("prompt", "model")}
