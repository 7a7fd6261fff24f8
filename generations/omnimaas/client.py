"""The gateway's two calls. ``send`` creates and ``fetch`` asks; both raise the kinds of ``errors``.

The request is the one of the gateway's document. Two traps of its family are defused by settings that
the caller passes in (see ``Gateway``): stock adaptors know only ``metadata.aspect_ratio`` and ``image``.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from generations.omnimaas import reader, transport
from generations.omnimaas.errors import (
    AccountFault,
    Doubt,
    Late,
    Missing,
    NotSent,
    Refused,
    Throttled,
    Unavailable,
)
from generations.omnimaas.reader import Reading
from kling_platform.failpoints import reach

PATH = "/v1/video/generations"
POLL_SECONDS = 20
USER_AGENT = "kling-platform"

# Kling's own codes, wherever the gateway puts them (Kling's API page on errors).
ACCOUNT_CODES = frozenset(
    {"1000", "1001", "1002", "1003", "1004", "1100", "1101", "1102", "1103", "1304"}
    | {"invalid_api_key", "insufficient_user_quota", "insufficient_quota", "user_quota_not_enough"}
)
BUSY_CODES = frozenset({"1302", "1303"})
MISSING_CODES = frozenset({"task_not_exist", "task_not_found", "not_found"})
NO_CHANNEL = ("no available channel", "no channel", "无可用渠道", "model_not_found")


@dataclass(frozen=True)
class Gateway:
    """Where upstream is, whose key is used, and which of its dialects it speaks.

    ``seconds`` bounds one POST in all, upload included.
    """

    base_url: str
    key: str = field(repr=False)
    seconds: float = 60
    image_transport: str = "data_uri"
    metadata: str = "string"
    send_aspect_ratio: bool = True
    send_external_id: bool = True


@dataclass(frozen=True)
class Picture:
    """One frame of an order: a URL that is passed on, or bytes of this type."""

    url: str = ""
    data: bytes = b""
    content_type: str = ""


@dataclass(frozen=True)
class Order:
    """What is to be made, as upstream needs it. ``external_id`` is our generation's id."""

    external_id: str
    model: str
    prompt: str
    seconds: int
    size: str
    mode: str
    sound: bool
    names_mode: bool
    metadata: dict[str, Any]
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Submitted:
    """Upstream took the order: its id, its request id, and the reply as evidence."""

    upstream_id: str
    request_id: str
    reply: str


def build_body(order: Order, gateway: Gateway) -> dict[str, Any]:
    """The JSON of the gateway's document for one order."""
    body: dict[str, Any] = {
        "model": order.model,
        "prompt": order.prompt,
        "duration": order.seconds,
        "size": order.size,
    }
    images = [_image(picture, gateway) for picture in order.pictures]
    metadata = dict(order.metadata)
    if order.names_mode:
        metadata["mode"] = order.mode
    if order.sound:
        metadata["sound"] = "on"
    if images:
        body["images"] = images
        if gateway.send_aspect_ratio:
            body["image"] = images[0]
            if len(images) > 1:
                metadata["image_tail"] = images[1]
    elif gateway.send_aspect_ratio:
        metadata["aspect_ratio"] = order.size
    if gateway.send_external_id:
        metadata["external_task_id"] = order.external_id
    if metadata:
        body["metadata"] = (
            json.dumps(metadata, ensure_ascii=False) if gateway.metadata == "string" else metadata
        )
    return body


def encode(order: Order, gateway: Gateway) -> bytes:
    """The bytes of a POST."""
    return json.dumps(build_body(order, gateway), ensure_ascii=False).encode("utf-8")


def _image(picture: Picture, gateway: Gateway) -> str:
    if picture.url:
        return picture.url
    text = base64.b64encode(picture.data).decode("ascii")
    return text if gateway.image_transport == "base64" else f"data:{picture.content_type};base64,{text}"


def send(order: Order, gateway: Gateway) -> Submitted:
    """The paid POST, at most once. Every way that it can end is a kind: see ``errors``."""
    reach("send.begins")
    try:
        reply = transport.exchange(
            "POST",
            gateway.base_url + PATH,
            headers=_headers(gateway) | {"Content-Type": "application/json"},
            body=encode(order, gateway),
            seconds=gateway.seconds,
        )
    except transport.NeverSent as error:
        raise NotSent(f"could not reach upstream ({error})") from error
    except (transport.Broken, transport.TooLong) as error:
        raise Doubt(f"the line broke after sending ({error or type(error).__name__})", code="line") from error
    reach("send.ended")
    return _judge_post(_without_key(reply, gateway), gateway)


def _judge_post(reply: transport.Reply, gateway: Gateway) -> Submitted:
    parsed = parse(reply.body)
    shown = reader.evidence(reply.body)
    upstream_id = reader.read_id(parsed)
    if 200 <= reply.status < 300:
        code, message = reader.read_error(parsed)
        if upstream_id:
            return Submitted(upstream_id, _request_id(reply, gateway), shown)
        raise Doubt(message or "an answer without an id", code=code or "no_id", reply=shown)
    code, message = reader.read_error(parsed)
    if code in ACCOUNT_CODES or reply.status in (401, 402, 403):
        raise AccountFault(message or f"HTTP {reply.status}", code=code, reply=shown)
    if reply.status == 429 or code in BUSY_CODES or _no_channel(reply.status, message, code):
        raise Throttled(
            message or f"HTTP {reply.status}", code=code, reply=shown, retry_after=_retry_after(reply)
        )
    if reply.status in (400, 404, 413, 422) and (message or code):
        raise Refused(message or code, code=code, reply=shown)
    raise Doubt(message or f"HTTP {reply.status}", code=code or f"http_{reply.status}", reply=shown)


def fetch(
    upstream_id: str,
    gateway: Gateway,
    lines: transport.Lines | None = None,
    *,
    send_by: float = math.inf,
) -> Reading:
    """Ask for one generation. Raises ``AccountFault``, ``Missing`` or ``Unavailable``: none is a verdict.

    Over kept ``lines``, and not later than ``send_by`` (monotonic; else ``Late``), where these are given.
    """
    url = f"{gateway.base_url}{PATH}/{quote(upstream_id, safe='')}"
    headers = _headers(gateway)
    try:
        if lines is None:
            reply = transport.exchange("GET", url, headers=headers, seconds=POLL_SECONDS)
        else:
            reply = lines.get(url, headers=headers, seconds=POLL_SECONDS, send_by=send_by)
    except transport.Late as error:
        raise Late("late") from error
    except (transport.NeverSent, transport.Broken, transport.TooLong) as error:
        raise Unavailable(str(error) or type(error).__name__) from error
    reply = _without_key(reply, gateway)
    parsed = parse(reply.body)
    if 200 <= reply.status < 300 and isinstance(parsed, dict):
        return reader.read(parsed)
    code, message = reader.read_error(parsed)
    shown = reader.evidence(reply.body)
    if reply.status in (401, 403):
        raise AccountFault(message or f"HTTP {reply.status}", code=code, reply=shown)
    if reply.status == 404 or code in MISSING_CODES:
        raise Missing(message or f"HTTP {reply.status}", code=code, reply=shown)
    raise Unavailable(
        message or f"HTTP {reply.status}",
        code=code,
        reply=shown,
        status=reply.status,
        retry_after=_retry_after(reply),
    )


def alive(gateway: Gateway, upstream_id: str) -> bool:
    """Whether upstream answers at all: anything but silence, 401, 403 and 5xx is alive."""
    try:
        fetch(upstream_id, gateway)
    except Missing:
        return True
    except AccountFault:
        return False
    except Unavailable as error:
        return 0 < error.status < 500
    return True


def _without_key(reply: transport.Reply, gateway: Gateway) -> transport.Reply:
    """The reply before anything of it is read: its words reach people, and some gateways say the key back."""
    key = gateway.key.encode()
    return replace(reply, body=reply.body.replace(key, b"[key]")) if key else reply


def _headers(gateway: Gateway) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {gateway.key}",
        "Accept": "application/json",
        "User-Agent": USER_AGENT,
    }


def parse(body: bytes) -> Any:
    """JSON, or None for anything else."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(body.decode("utf-8"))
    return None


def _request_id(reply: transport.Reply, gateway: Gateway) -> str:
    text = reply.headers.get("X-Oneapi-Request-Id", "")
    return "" if gateway.key and gateway.key in text else reader.clean(text, 100)


def _retry_after(reply: transport.Reply) -> float | None:
    text = reply.headers.get("Retry-After", "").strip()
    return min(float(text), 3_600.0) if text.isdigit() and len(text) < 9 else None


def _no_channel(status: int, message: str, code: str) -> bool:
    text = f"{message} {code}".casefold()
    return status == 503 and any(word in text for word in NO_CHANNEL)
