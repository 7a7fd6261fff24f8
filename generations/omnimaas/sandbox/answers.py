"""Answers as values: the honest ones are built by the gateway, the ones that a word orders stand here."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from .wire import Refusal, unknown_task


@dataclass(frozen=True)
class Reply:
    """An answer and how it goes out: whole, after ``seconds`` (late), over ``seconds`` (drip), or not (break)."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    manner: Literal["whole", "late", "drip", "break"] = "whole"
    seconds: float = 0


def answer(body: Any, status: int = 200) -> Reply:
    """Answer with JSON, in ASCII: the journal may hold half of a surrogate pair, which UTF-8 cannot say."""
    return Reply(status, json.dumps(body).encode())


def failure(refusal: Refusal) -> Reply:
    """Answer with an error, ``Retry-After`` included where waiting helps."""
    headers = {"Retry-After": "2"} if refusal.status in (429, 503) else {}
    body = json.dumps(refusal.body).encode()
    return Reply(refusal.status, body, headers=headers)


def page(status: int, title: str) -> Reply:
    """Answer with the kind of HTML that a proxy on the way makes up."""
    text = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Reply(status, text.encode(), "text/html; charset=utf-8")


def unauthorized() -> Refusal:
    """The refusal of a missing or wrong key."""
    return Refusal(401, "invalid_api_key", "The API key is missing or wrong.", "authentication_error")


_BUSY = Refusal(429, 1303, "Too many tasks are running on this account.", "rate_limit_error")
_ERROR = failure(Refusal(500, "internal_error", "Something went wrong inside the gateway.", "server_error"))
_BROKEN = Reply(0, manner="break")
_BROKE = Refusal(429, 1102, "The account's resource pack is used up.", "billing_error")
_POLICY = Refusal(400, 1301, "The prompt was refused by the content policy.")
_NO_CHANNEL = Refusal(503, "no_available_channel", "No channel is available for this model.", "server_error")

ORDERED: dict[str, Reply] = {
    "refuse": failure(_POLICY),
    "429": failure(_BUSY),
    "503": failure(_NO_CHANNEL),
    "401": failure(unauthorized()),
    "broke": failure(_BROKE),
    "500-before": _ERROR,
    "html-before": page(502, "502 Bad Gateway"),
    "break-before": _BROKEN,
    "500": _ERROR,
    "html": page(502, "502 Bad Gateway"),
    "break": _BROKEN,
    "no-id": answer({"object": "video", "status": "processing", "progress": 0}),
    "garbage": Reply(200, b'{"id": "task_'),
    "lost": answer(unknown_task(), 400),
    "poll-429": failure(Refusal(429, "rate_limit", "Too many requests.", "rate_limit_error")),
    "poll-500": _ERROR,
    "poll-401": failure(unauthorized()),
    "poll-html": page(502, "502 Bad Gateway"),
    "poll-break": _BROKEN,
    "dead": page(404, "404 Not Found"),
    "not-video": page(200, "Sign in to continue"),
}
"""What the words of the table answer; words that are not here change the honest answer, or how it goes out."""
