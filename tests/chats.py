"""Rooms of chats on loopback: each judges what comes as its service's documents say, and answers in its words."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.receivers import Heard, Receiver

HOUR = 3600


def _json(**words: object) -> tuple[int, bytes]:
    return 200, json.dumps(words).encode()


def _signed(key: str, text: str) -> str:
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()


@dataclass
class Room:
    """``texts`` are what people in the room read. With ``secret`` an unsigned message is refused."""

    service: str
    secret: str = ""
    texts: list[str] = field(default_factory=list)
    broken: bool = False

    def __post_init__(self) -> None:
        self.receiver = Receiver(self._judge)
        self.close = self.receiver.close

    @property
    def url(self) -> str:
        return f"{self.receiver.url}?access_token=t0ken"

    def _judge(self, heard: Heard) -> int | tuple[int, bytes]:
        if self.broken:
            return 503
        if heard.headers["content-type"] != "application/json":
            return 400, b"no JSON"
        return {
            "slack": self._slack,
            "feishu": self._feishu,
            "dingtalk": self._dingtalk,
            "wecom": self._wecom,
        }[self.service](heard, json.loads(heard.body))

    def _slack(self, heard: Heard, message: dict[str, Any]) -> tuple[int, bytes]:
        text = message.get("text")
        if not isinstance(text, str) or not 0 < len(text) <= 40_000:
            return 400, b"no_text"
        if "<!" in text:
            raise AssertionError("everybody in the room was called")
        if set(message) - {"text", "mrkdwn"}:
            return 400, b"invalid_payload"
        self.texts.append(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
        return 200, b"ok"

    def _feishu(self, heard: Heard, message: dict[str, Any]) -> tuple[int, bytes]:
        if len(heard.body) > 20 * 1024:
            return _json(code=11233, msg="message too long", data={})
        stamp = message.get("timestamp", "0")
        fresh = abs(time.time() - int(stamp)) < HOUR
        if self.secret and (not fresh or message.get("sign") != _signed(f"{stamp}\n{self.secret}", "")):
            words = "sign match fail or timestamp is not within one hour from current time"
            return _json(code=19021, msg=words, data={})
        if message.get("msg_type") != "post":
            return _json(code=9499, msg="Bad Request", data={})
        (post,) = message["content"]["post"].values()
        lines = [part["text"] for line in post["content"] for part in line if part["tag"] == "text"]
        self.texts.append("\n".join([post["title"], *lines]))
        return _json(StatusCode=0, StatusMessage="success", code=0, data={}, msg="success")

    def _dingtalk(self, heard: Heard, message: dict[str, Any]) -> tuple[int, bytes]:
        asked = parse_qs(urlsplit(heard.path).query)
        if asked.get("access_token") != ["t0ken"]:
            return _json(errcode=300001, errmsg="token is not exist")
        stamp, sign = asked.get("timestamp", ["0"])[0], asked.get("sign", [""])[0]
        fresh = abs(time.time() * 1000 - int(stamp)) < HOUR * 1000
        if self.secret and (not fresh or sign != _signed(self.secret, f"{stamp}\n{self.secret}")):
            return _json(errcode=310000, errmsg="description:机器人发送签名不匹配")
        if len(heard.body) > 20_000:
            return _json(errcode=460101, errmsg="message too long, exceed 20000 bytes")
        if message.get("msgtype") != "text" or not message["text"]["content"]:
            return _json(errcode=40035, errmsg="缺少参数 json")
        self.texts.append(message["text"]["content"])
        return _json(errcode=0, errmsg="ok")

    def _wecom(self, heard: Heard, message: dict[str, Any]) -> tuple[int, bytes]:
        if message.get("msgtype") != "text":
            return _json(errcode=40008, errmsg="invalid message type")
        if len(message["text"]["content"].encode()) > 2048:
            return _json(errcode=40058, errmsg="text.content exceed max length 2048")
        self.texts.append(message["text"]["content"])
        return _json(errcode=0, errmsg="ok")
