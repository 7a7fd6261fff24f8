"""How the small bodies of ``/v1`` are read: only fields that are known, each of its kind."""

from __future__ import annotations

from typing import Any, cast

from django.utils.translation import gettext as _
from rest_framework.request import Request

from kling_platform.errors import InvalidValue


def only(request: Request, *allowed: str) -> dict[str, Any]:
    """The fields of the body; an unknown one is refused, because it would be wished for in vain."""
    body = cast("dict[str, Any]", request.data)
    if unknown := sorted(set(body) - set(allowed)):
        raise InvalidValue(
            _("The field %(name)s is not known here.") % {"name": unknown[0][:60]}, param=unknown[0]
        )
    return body


def flag(body: dict[str, Any], name: str) -> bool | None:
    """true, false, or None for what was not said."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidValue(_("%(name)s is true or false.") % {"name": name}, param=name)
    return value
