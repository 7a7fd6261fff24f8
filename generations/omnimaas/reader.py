"""The tolerant reader: what the gateway and its family may answer, turned into one shape.

Three shapes of a reply are known: the flat one of the gateway's document, the envelope of its family
(``{"code", "data": {…}}``), and a simple envelope. Anything that is not understood means *still running*:
a reader never gives a verdict that upstream did not give.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

ID_LENGTH = 191
REPLY_CHARACTERS = 4_000

QUEUED = frozenset({"queued", "queueing", "submitted", "not_start", "pending", "created", "preparing"})
RUNNING = frozenset({"processing", "in_progress", "running", "generating"})
SUCCEEDED = frozenset({"succeeded", "succeed", "success", "completed", "complete", "done", "finished"})
FAILED = frozenset({"failed", "fail", "failure", "error", "canceled", "cancelled", "rejected", "expired"})


@dataclass(frozen=True)
class Reading:
    """One reply. ``state`` is queued, running, succeeded or failed; ``progress`` 0–100 or None.

    ``word`` is upstream's own status word where it was not understood; ``cost`` is in upstream's quota
    units (500,000 = $1 in the family's default).
    """

    state: str
    progress: int | None = None
    url: str = ""
    error_code: str = ""
    error_message: str = ""
    word: str = ""
    cost: int | None = None


def unwrap(body: Any) -> dict[str, Any]:
    """The object that speaks of the generation, without its envelope; empty for anything unreadable."""
    if not isinstance(body, dict):
        return {}
    inner = body.get("data")
    return inner if "code" in body and isinstance(inner, dict) else body


def read(body: Any) -> Reading:
    """What a reply to a poll says."""
    data = unwrap(body)
    word = data.get("status")
    state, strange = _state(word if isinstance(word, str) else "")
    code, message = _error(data, body) if state == "failed" else ("", "")
    cost = data.get("quota")
    return Reading(
        state=state,
        progress=_progress(data.get("progress")),
        url=_url(data) if state == "succeeded" else "",
        error_code=code,
        error_message=message,
        word=strange,
        cost=cost if isinstance(cost, int) and not isinstance(cost, bool) and 0 <= cost < 2**62 else None,
    )


def read_id(body: Any) -> str:
    """The id in ``id`` or ``task_id``; empty where there is none that could be kept."""
    data = unwrap(body)
    for name in ("id", "task_id"):
        value = data.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value) if abs(value) < 2**63 else ""
        if isinstance(value, str) and 0 < len(value) <= ID_LENGTH and value.isprintable() and value.strip():
            return value
    return ""


def read_error(body: Any) -> tuple[str, str]:
    """``(code, message)`` of an error body in any of its shapes; empty texts where it is unreadable."""
    return _error(body, body) if isinstance(body, dict) else ("", "")


def _state(word: str) -> tuple[str, str]:
    folded = word.strip().casefold()
    for state, words in (
        ("queued", QUEUED),
        ("running", RUNNING),
        ("succeeded", SUCCEEDED),
        ("failed", FAILED),
    ):
        if folded in words:
            return state, ""
    return "running", clean(word, 60) or "(none)"


def _progress(value: Any) -> int | None:
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d{1,9})(?:\.\d{1,9})?\s*%?\s*", value)
        value = int(match[1]) if match else None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return int(max(0, min(100, value)))


def _url(data: dict[str, Any]) -> str:
    candidates = (
        ("url",),
        ("result_url",),
        ("video_url",),
        ("video", "url"),
        ("metadata", "url"),
        ("data", 0, "url"),
        ("task_result", "videos", 0, "url"),
        ("data", "task_result", "videos", 0, "url"),
        ("data", "data", "task_result", "videos", 0, "url"),
        # Older builds of the family put the link here on success.
        ("fail_reason",),
    )
    for path in candidates:
        value = _dig(data, path)
        if isinstance(value, str) and re.match(r"https?://[^\s/]", value.strip(), re.IGNORECASE):
            found = value.strip()
            if len(found) <= 8_192 and found.isprintable():
                return found
    return ""


def _dig(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and len(value) > step:
            value = value[step]
        else:
            return None
    return value


def _error(data: dict[str, Any], body: Any) -> tuple[str, str]:
    error = data.get("error")
    nested = error if isinstance(error, dict) else {}
    texts = (
        nested.get("message"),
        error,
        data.get("fail_reason"),
        data.get("message"),
        body.get("message") if isinstance(body, dict) else None,
    )
    message = next((clean(text, 1_000) for text in texts if isinstance(text, str) and text.strip()), "")
    codes = (nested.get("code"), data.get("code"), nested.get("type"), data.get("type"))
    code = next((clean(str(c), 60) for c in codes if isinstance(c, str | int) and str(c).strip()), "")
    return code, message


def clean(text: str, length: int) -> str:
    """Text that any database takes: no NUL, no lone surrogates, capped."""
    return "".join("�" if c == "\x00" or "\ud800" <= c <= "\udfff" else c for c in text[:length])


def evidence(raw: bytes | str, *secrets: str) -> str:
    """A reply as operators may see it: our key taken out, links without their signatures, capped."""
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[key]")
    text = re.sub(r"(https?://[^\s\"'<>?]{1,2000})\?[^\s\"'<>]*", r"\1?…", text)
    text = re.sub(r"(?i)bearer\s+[\w.\-]+", "Bearer [key]", text)
    text = re.sub(r"[A-Za-z0-9+/=]{200,}", "[base64]", text)
    return clean(text, REPLY_CHARACTERS)
