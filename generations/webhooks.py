"""One call to an endpoint: signed after Standard Webhooks 1.0, guarded by ``egress``, its answer in a few words.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from generations.models import WebhookTry
from kling_platform import egress

# For the whole of it: name, connection, request and answer.
SEND_SECONDS = 15.0
READ_BYTES, EXCERPT_CHARACTERS = 2048, 500
SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret begins with
# An answer may echo what we sent: our signatures and links, or a key that somebody put into the address.
_SECRETS = re.compile(
    r"whsec_[\w+/=]+|klp_\w+|v1a?,[\w+/=]+|(?i:bearer|basic)\s+[\w.+/=~-]+|(?<=sig=)[\w-]+|sk-[\w-]{8,}"
)

Outcome = WebhookTry.Outcome


@dataclass(frozen=True)
class Call:
    """What is sent where. ``id`` stays the same in every try; each of ``secrets`` signs."""

    id: str
    url: str
    secrets: tuple[str, ...]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What came of it. ``status`` and ``ms`` are None where nobody answered."""

    outcome: Outcome
    status: int | None = None
    ms: int | None = None
    excerpt: str = ""


def signature(secrets: Iterable[str], id: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature``: one ``v1,<base64 of HMAC-SHA256>`` for each secret."""
    signed = f"{id}.{timestamp}.".encode() + body
    made = (hmac.digest(_key(secret), signed, hashlib.sha256) for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in made)


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(SECRET_PREFIX))


def send(call: Call) -> Answer:
    """One try; never raises for what the other side does. Only 2xx is success, and no redirect is followed."""
    timestamp = int(time.time())
    headers = {"webhook-id": call.id, "webhook-timestamp": str(timestamp)}
    if call.secrets:
        headers["webhook-signature"] = signature(call.secrets, call.id, timestamp, call.body)
    return post(call.url, call.body, headers)[0]


def post(url: str, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[Answer, bytes]:
    """Send JSON to an address that somebody named: what came of it, and the start of the body that came back."""
    begin = time.monotonic()
    answer, said = None, b""
    try:
        with egress.exchange(
            "POST",
            url,
            deadline=begin + SEND_SECONDS,
            headers={"Content-Type": "application/json", **(headers or {})},
            body=body,
        ) as reply:
            answer = _judged(reply.status, begin)
            said = reply.read(READ_BYTES)
    except egress.EgressError as error:
        if answer is None:
            return _unanswered(error, begin), b""
    return Answer(answer.outcome, answer.status, answer.ms, excerpt(said)), said


def _judged(status: int, begin: float) -> Answer:
    if 200 <= status < 300:
        outcome = Outcome.DELIVERED
    else:
        outcome = Outcome.REDIRECTED if status in egress.REDIRECTS else Outcome.REFUSED
    return Answer(outcome, status, _milliseconds(begin))


def _unanswered(error: egress.EgressError, begin: float) -> Answer:
    """In words that are the same for what is forbidden and for what is not there, without a time that could tell."""
    if isinstance(error, egress.TimedOut):
        return Answer(Outcome.TIMED_OUT)
    if isinstance(error, egress.Broken):
        return Answer(Outcome.BROKEN, ms=_milliseconds(begin))
    return Answer(Outcome.UNREACHABLE)


def _milliseconds(begin: float) -> int:
    return round((time.monotonic() - begin) * 1000)


def excerpt(body: bytes) -> str:
    """The start of an answer as one line that can be shown and kept."""
    text = _SECRETS.sub("…", body.decode("utf-8", "replace"))
    readable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(readable.split())[:EXCERPT_CHARACTERS]
