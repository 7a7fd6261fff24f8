"""What narrows a list or an export: one table that reads the address and tells the documents what it reads."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.http import QueryDict
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import OpenApiParameter

from generations import services
from generations.models import Generation, InputImage, Status
from generations.public import FAILED, PROCESSING, SUCCEEDED, outward
from kling_platform.errors import InvalidValue
from kling_platform.text import check_text

LONGEST = 200
OUTWARD = {word: [s.value for s in Status if outward(s) == word] for word in (PROCESSING, SUCCEEDED, FAILED)}
KINDS = ("text", "image")


@dataclass(frozen=True)
class Filter:
    """``read`` makes a condition of the text that was sent, or raises ``InvalidValue``."""

    name: str
    schema: dict[str, Any]
    about: Any
    read: Callable[[str], Q]


def condition(query: QueryDict, *, besides: Collection[str]) -> Q:
    """What the address asks for. A parameter that is no filter, and not one of ``besides``, is refused:

    the list would be longer than its caller thinks.
    """
    known = {one.name: one for one in FILTERS}
    wanted = Q()
    for name, values in query.lists():
        if name in besides:
            continue
        if name not in known:
            raise InvalidValue(
                _("There is no parameter “%(name)s” here. Parameters: %(known)s.")
                % {"name": name[:60], "known": ", ".join([*besides, *known])},
                param=name[:60],
            )
        wanted &= known[name].read(check_text(values[-1], param=name))
    return wanted


def parameters() -> list[OpenApiParameter]:
    """The filters, for the documents."""
    return [
        OpenApiParameter(
            one.name,
            one.schema,
            description=one.about,
            explode=False if one.schema["type"] == "array" else None,
            style="form" if one.schema["type"] == "array" else None,
        )
        for one in FILTERS
    ]


def _words(text: str, name: str, choices: Collection[str]) -> list[str]:
    """Words of a list with commas, each one of the choices."""
    words = text.split(",")
    if any(word not in choices for word in words):
        raise InvalidValue(
            _("%(name)s is one or more of these, with commas between: %(choices)s.")
            % {"name": name, "choices": ", ".join(choices)},
            param=name,
        )
    return words


def _status(text: str) -> Q:
    words = _words(text, "status", OUTWARD)
    return Q(status__in=[status for word in words for status in OUTWARD[word]])


def _state(text: str) -> Q:
    return Q(status__in=_words(text, "state", Status.values))


def _kind(text: str) -> Q:
    pictured = Q(Exists(InputImage.objects.filter(generation=OuterRef("pk"))))
    (kind,) = _words(text, "kind", KINDS)[:1]
    return pictured if kind == "image" else ~pictured


def _model(text: str) -> Q:
    return Q(model=_short(text, "model"))


def _key(text: str) -> Q:
    return Q(api_key__lookup=_short(text, "key"))


def _search(text: str) -> Q:
    return Q(prompt__icontains=_short(text, "q"))


def _short(text: str, name: str) -> str:
    if not 0 < len(text) <= LONGEST:
        raise InvalidValue(
            _("%(name)s has 1 to %(most)d characters.") % {"name": name, "most": LONGEST}, param=name
        )
    return text


def _tags(text: str) -> Q:
    """Those that have all of them."""
    tagged = Generation.tags.through.objects
    wanted = Q()
    for name in services.read_tags(text.split(",")):
        wanted &= Q(Exists(tagged.filter(generation=OuterRef("pk"), tag__name=name)))
    return wanted


def _moment(text: str, name: str) -> datetime:
    """Unix seconds, or a time of ISO 8601 with its zone."""
    try:
        if re.fullmatch(r"[0-9]{1,11}", text):
            return datetime.fromtimestamp(int(text), UTC)
        # An unescaped + of an address is a space.
        moment = parse_datetime(text.replace(" ", "+") if "T" in text else text)
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidValue(
        _("%(name)s is Unix seconds, or a time with its zone: 2026-11-24T15:00:00Z.") % {"name": name},
        param=name,
    )


def _batch(text: str) -> Q:
    try:
        return Q(batch=uuid.UUID(text))
    except ValueError:
        raise InvalidValue(_("batch is the id of a batch."), param="batch") from None


def _listed(choices: Collection[str]) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string", "enum": list(choices)}}


_MOMENT = {"type": "string"}
_TEXT = {"type": "string", "minLength": 1, "maxLength": LONGEST}

FILTERS = (
    Filter(
        "status", _listed(OUTWARD), gettext_lazy("The status of the answer; several with commas."), _status
    ),
    Filter(
        "state", _listed(Status.values), gettext_lazy("The state in detail; several with commas."), _state
    ),
    Filter("model", _TEXT, gettext_lazy("The model's name."), _model),
    Filter(
        "kind",
        {"type": "string", "enum": list(KINDS)},
        gettext_lazy("Made from words or from a picture."),
        _kind,
    ),
    Filter(
        "tags", {"type": "array", "items": {"type": "string"}}, gettext_lazy("Has all of these tags."), _tags
    ),
    Filter(
        "key", _TEXT, gettext_lazy("The start of the key that made it, as your account page shows it."), _key
    ),
    Filter("batch", {"type": "string", "format": "uuid"}, gettext_lazy("Came in this batch."), _batch),
    Filter(
        "created_after",
        _MOMENT,
        gettext_lazy("Unix seconds, or 2026-11-24T15:00:00Z. This moment and later."),
        lambda text: Q(created_at__gte=_moment(text, "created_after")),
    ),
    Filter(
        "created_before",
        _MOMENT,
        gettext_lazy("The same. Before this moment."),
        lambda text: Q(created_at__lt=_moment(text, "created_before")),
    ),
    Filter(
        "q",
        _TEXT,
        gettext_lazy(
            "Words that stand in the prompt, whatever their case. One page looks through 10,000 videos; when it "
            "stops there, has_more is true, and last_id goes on with older ones, even from a page without any."
        ),
        _search,
    ),
)
