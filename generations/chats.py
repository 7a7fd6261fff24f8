"""One message to a room of a chat: the body that each service wants, its signature, and what its answer means.

Everything is sent as plain text, never as markup: a part of it are upstream's words. After
https://api.slack.com/messaging/webhooks,
https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot,
https://open.dingtalk.com/document/orgapp/custom-robots-send-group-messages and
https://developer.work.weixin.qq.com/document/path/91770.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from generations import webhooks
from generations.models import AlarmTarget
from generations.webhooks import Answer, Outcome

Service = AlarmTarget.Service

# The longest text in bytes, a little below what each service takes: Slack cuts at 4,000 characters, Feishu takes
# 20 KB of body, DingTalk 20,000 bytes, WeCom 2,048 bytes.
LONGEST = {Service.SLACK: 3_800, Service.FEISHU: 15_000, Service.DINGTALK: 15_000, Service.WECOM: 2_000}
# A robot that wants a keyword in every message (Feishu and DingTalk offer that) finds this one.
KEYWORD = "Kling"


@dataclass(frozen=True)
class Letter:
    """What is said: a title, a line for each thing, and the page to go to. ``data`` says it to a program."""

    id: str
    title: str
    lines: tuple[str, ...]
    end: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A letter on its way. ``url`` and ``secret`` are the target's."""

    service: str
    url: str
    secret: str
    letter: Letter


def send(call: Call) -> Answer:
    """One try; never raises for what the other side does. What a service refuses with HTTP 200 is refused."""
    if call.service == Service.WEBHOOK:
        body = json.dumps(call.letter.data, ensure_ascii=False, separators=(",", ":")).encode()
        secrets = (call.secret,) if call.secret else ()
        return webhooks.send(webhooks.Call(call.letter.id, call.url, secrets, body))
    write, judge = _SERVICES[call.service]
    url, message = write(call, time.time())
    answer, said = webhooks.post(url, json.dumps(message, ensure_ascii=False).encode())
    return judge(answer, said) if answer.outcome == Outcome.DELIVERED else answer


def fitted(letter: Letter, most: int) -> str:
    """The text in at most so many bytes of UTF-8: lines are left out from the end, the title and page stay."""
    title, lines = f"{KEYWORD} · {letter.title}", list(letter.lines)
    while True:
        left_out = ["…"] if len(lines) < len(letter.lines) else []
        text = "\n".join([title, *lines, *left_out, letter.end])
        if len(text.encode()) <= most:
            return text
        if lines:
            lines.pop()
        else:
            room = most - len(f"…\n{letter.end}".encode())
            return f"{title.encode()[:room].decode(errors='ignore')}…\n{letter.end}"


def _slack(call: Call, now: float) -> tuple[str, dict[str, Any]]:
    text = fitted(call.letter, LONGEST[Service.SLACK])
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return call.url, {"text": escaped, "mrkdwn": False}


def _feishu(call: Call, now: float) -> tuple[str, dict[str, Any]]:
    """A "post": its parts are text, where ``<at …>`` in a plain message would call everybody."""
    title, *lines = fitted(call.letter, LONGEST[Service.FEISHU]).split("\n")
    content = [[{"tag": "text", "text": line}] for line in lines]
    message: dict[str, Any] = {
        "msg_type": "post",
        "content": {"post": {"zh_cn": {"title": title, "content": content}}},
    }
    if call.secret:
        stamp = str(int(now))
        message |= {"timestamp": stamp, "sign": feishu_sign(stamp, call.secret)}
    return call.url, message


def _dingtalk(call: Call, now: float) -> tuple[str, dict[str, Any]]:
    url = call.url
    if call.secret:
        stamp = str(int(now * 1000))
        sign = quote(dingtalk_sign(stamp, call.secret), safe="")
        url += f"{'&' if '?' in url else '?'}timestamp={stamp}&sign={sign}"
    return url, {"msgtype": "text", "text": {"content": fitted(call.letter, LONGEST[Service.DINGTALK])}}


def _wecom(call: Call, now: float) -> tuple[str, dict[str, Any]]:
    return call.url, {"msgtype": "text", "text": {"content": fitted(call.letter, LONGEST[Service.WECOM])}}


def feishu_sign(stamp: str, secret: str) -> str:
    """Seconds and secret are the key, and nothing is what is signed: so it is written in its documents."""
    return _base64(hmac.digest(f"{stamp}\n{secret}".encode(), b"", hashlib.sha256))


def dingtalk_sign(stamp: str, secret: str) -> str:
    """Milliseconds and secret, signed with the secret."""
    return _base64(hmac.digest(secret.encode(), f"{stamp}\n{secret}".encode(), hashlib.sha256))


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _taken(answer: Answer, said: bytes) -> Answer:
    return answer


def _by_code(name: str, *others: str) -> Callable[[Answer, bytes], Answer]:
    """A judge of services that answer 200 to everything: only a code of 0 means that it was taken."""

    def judge(answer: Answer, said: bytes) -> Answer:
        try:
            found = json.loads(said)
            code = next((found[each] for each in (name, *others) if each in found), None)
        except (ValueError, TypeError, RecursionError):
            code = None
        taken = isinstance(code, int) and code == 0
        return answer if taken else replace(answer, outcome=Outcome.REFUSED)

    return judge


_SERVICES: dict[str, tuple[Callable[..., tuple[str, dict[str, Any]]], Callable[..., Answer]]] = {
    Service.SLACK: (_slack, _taken),
    Service.FEISHU: (_feishu, _by_code("code", "StatusCode")),
    Service.DINGTALK: (_dingtalk, _by_code("errcode")),
    Service.WECOM: (_wecom, _by_code("errcode")),
}
