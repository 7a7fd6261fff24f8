"""Reads the body of a batch: a JSON object, or a table whose first line names fields."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from generations import catalogue, services
from generations.services import Line
from kling_platform.errors import InvalidValue, PlatformError
from kling_platform.text import read_json

OPTIONS = ("mode", "stop_at_failure_rate", "name")
FOR_WHOM = ("team", "visibility")
OURS = ("tags",)


def asked_for(body: Any, query: Mapping[str, str]) -> tuple[list[Line], dict[str, Any]]:
    """The lines and the options; with a table the options stand in the address."""
    if isinstance(body, str):
        return _table(body), _options_of(query) | {"for_whom": _for_whom(query)}
    known = ("requests", *OPTIONS, *FOR_WHOM)
    for name in body:
        if name not in known:
            raise InvalidValue(
                _("There is no field “%(name)s”. Fields: %(known)s.")
                % {"name": name[:60], "known": ", ".join(known)},
                param=name[:60],
            )
    options = {name: body[name] for name in OPTIONS if name in body}
    return _list(body.get("requests")), options | {"for_whom": _for_whom(body)}


def _for_whom(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in FOR_WHOM if name in given}


def _list(requests: Any) -> list[Line]:
    if not isinstance(requests, list):
        raise InvalidValue(_("requests is a list of requests, each as for a single video."), param="requests")
    return [_one(place, request) for place, request in enumerate(requests)]


def _one(place: int, request: Any) -> Line:
    where = f"requests[{place}]"
    if isinstance(request, dict):
        return Line(place + 1, where, request)
    return Line(place + 1, where, {}, error=InvalidValue(_("A request is a JSON object.")))


def _options_of(query: Mapping[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {name: query[name] for name in OPTIONS if name in query}
    rate = options.get("stop_at_failure_rate", "")
    if re.fullmatch(r"[0-9]*\.?[0-9]+", rate):  # what is no number is refused by the service, by name
        options["stop_at_failure_rate"] = float(rate)
    return options


def _table(text: str) -> list[Line]:
    """Each row as a request. Empty cells are left out, empty rows too."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: list[Line] = []
    try:
        columns = _columns(next(reader, []))
        number = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                lines.append(_row(number, columns, cells))
            if len(lines) > services.MOST_LINES:
                break  # it is refused for its length, whatever comes
            number = reader.line_num + 1
    except csv.Error as error:
        raise InvalidValue(
            _("The table cannot be read at line %(line)d: check its quotation marks.")
            % {"line": reader.line_num},
            param=f"line {reader.line_num}",
        ) from error
    return lines


def _columns(names: list[str]) -> list[str]:
    known = (*catalogue.FIELDS, *services.current_rules().metadata_keys, *OURS)
    found = [name.strip() for name in names]
    for name in found:
        if name not in known or found.count(name) > 1:
            raise InvalidValue(
                _("The first line names the columns, each once: %(known)s.") % {"known": ", ".join(known)},
                param=name[:60] or "line 1",
            )
    if not found:
        raise InvalidValue(_("The table is empty."), param="line 1")
    return found


def _row(number: int, columns: list[str], cells: list[str]) -> Line:
    where = f"line {number}"
    try:
        if len(cells) > len(columns):
            raise InvalidValue(_("This line has more cells than the first one has columns."))
        return Line(number, where, _request(dict(zip(columns, cells, strict=False))))
    except PlatformError as error:
        return Line(number, where, {}, error=error)


def _request(cells: dict[str, str]) -> dict[str, Any]:
    """A request of the wire: what is no field of it is a key of its metadata; lists have commas or spaces."""
    given = {name: cell.strip() for name, cell in cells.items() if cell.strip()}
    request: dict[str, Any] = {name: given[name] for name in catalogue.FIELDS if name in given}
    if "images" in request:
        request["images"] = request["images"].split()
    if "tags" in given:
        request["tags"] = [name.strip() for name in given["tags"].split(",")]
    extra = {
        name: _value(name, text) for name, text in given.items() if name not in (*catalogue.FIELDS, *OURS)
    }
    if extra:
        metadata = read_json(request["metadata"], param="metadata") if "metadata" in request else {}
        if not isinstance(metadata, dict):
            raise InvalidValue(_("metadata is a JSON object, or a string that holds one."), param="metadata")
        request["metadata"] = metadata | extra
    return request


def _value(name: str, text: str) -> Any:
    """A cell as the wire has it: numbers and objects where the option is one."""
    if text[0] in "{[" or name == "cfg_scale":
        return read_json(text, param=f"metadata.{name}")
    return text
