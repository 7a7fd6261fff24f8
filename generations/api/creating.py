"""What all calls that make something share: a call that comes twice makes one thing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from generations import services
from kling_platform.errors import InvalidValue

KEY = "Idempotency-Key"
# What clients say that send no key: OpenAI's count what they have tried before, from 0.
RETRIES = ("X-Stainless-Retry-Count", "X-Retry-Count", "X-Retry-Attempt")


def once_from(request: Request, asked: Any, answer: Callable[[Any], dict[str, Any]]) -> services.Once:
    """Who asks, for what, and whether it may have come before; ``answer`` says of the thing what is answered.

    ``asked`` is the body as it was read: with bytes for files, whatever boundary stood between them.
    """
    return services.Once(
        user=cast(User, request.user),
        digest=services.digest_of([request.path, asked]),
        answer=answer,
        key=_key(request),
        retried=any(_positive(request.headers.get(name, "")) for name in RETRIES),
    )


def apart(body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The request, and its tags: those are no part of a recipe. ``InvalidValue`` where they can be none."""
    return {name: value for name, value in body.items() if name != "tags"}, services.read_tags(
        body.get("tags")
    )


def respond(answered: services.Answered, headers: dict[str, str] | None = None) -> Response:
    """The answer, which says when nothing was made for it."""
    replayed = {"Idempotent-Replayed": "true"} if answered.replayed else {}
    return Response(answered.answer, headers={**(headers or {}), **replayed})


def _key(request: Request) -> str:
    key = request.headers.get(KEY, "").strip()
    if KEY in request.headers and not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        raise InvalidValue(
            _("An Idempotency-Key is 1 to 255 printable characters without a space: a UUID, say."), param=KEY
        )
    return key


def _positive(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text[:9]) > 0
