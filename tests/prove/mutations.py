"""Replies of upstream as they come out of a bad proxy, a half-written release or a hostile hand.

No mutation turns one verdict into another: what was *running* may be read as running alone, a verdict as itself or
as running. That is the judge, and it needs to know nothing of how replies are read.
"""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Callable
from typing import Any

from tests.prove.liar import whole

URL = "https://cdn.example.com/v.mp4"
STRANGE: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        -1,
        0,
        1e308,
        float("inf"),
        float("nan"),
        10**30,
        "",
        " ",
        "\x00",
        "\ud800",
        "％",
        "null",
    ),
    *([], {}, [[[[[]]]]], {"": {"": {}}}, "x" * 5_000, ["queued"], {"status": "?"}),
)
# None of them stands where a status is expected, whatever it says.
DECOYS: tuple[tuple[str, Any], ...] = (
    *(("state", "failed"), ("Status", "succeeded"), ("status ", "failed"), ("task_status", "succeed")),
    *(("result", {"status": "failed"}), ("error", {"message": "failed", "code": "500"}), ("error", "failed")),
    *(("fail_reason", URL), ("message", "failed"), ("progress", 100), ("progress", "100%"), ("url", URL)),
    *(("completed_at", 1), ("quota", -5), ("quota", 10**40), ("success", True), ("failed", True)),
)

Shape = Callable[[str, dict[str, Any]], dict[str, Any]]
SHAPES: tuple[Shape, ...] = (
    lambda word, more: {"id": "x", "object": "video", "status": word, "progress": 30, **more},
    lambda word, more: {
        "code": "success",
        "message": "",
        "data": {"task_id": "x", "status": word.upper(), "progress": "30%", **more},
    },
    lambda word, more: {"code": 0, "data": {"task_id": "x", "status": f" {word.title()} ", **more}},
)
WORDS = {
    "running": ("processing", "in_progress", "queued"),
    "succeeded": ("succeeded", "success"),
    "failed": ("failed",),
}
MORE: dict[str, dict[str, Any]] = {
    "running": {},
    "succeeded": {"url": URL},
    "failed": {"error": {"message": "too dark", "code": "1301"}, "fail_reason": "too dark"},
}


def body(dice: random.Random, verdict: str) -> dict[str, Any]:
    """A right reply to a poll, in one of the shapes that are known."""
    return dice.choice(SHAPES)(dice.choice(WORDS[verdict]), copy.deepcopy(MORE[verdict]))


def created(dice: random.Random) -> dict[str, Any]:
    """A right reply to a POST."""
    name = f"task_{dice.randrange(10**12)}"
    return dice.choice(
        [
            {"id": name, "status": "queued"},
            {"code": "success", "data": {"task_id": name, "status": "NOT_START"}},
        ]
    )


def spoil(dice: random.Random, right: dict[str, Any]) -> bytes:
    """One to three things go wrong with a reply's JSON, and sometimes one with its bytes."""
    data: Any = right
    for _ in range(dice.randint(1, 3)):
        inner = data.get("data") if isinstance(data, dict) else None
        target = inner if isinstance(inner, dict) and dice.random() < 0.7 else data
        if isinstance(target, dict):
            dice.choice([_drop, _replace, _add, _decoy, _decoy])(dice, target)
    if dice.random() < 0.05:
        data = [data]
    text = json.dumps(data, ensure_ascii=dice.random() < 0.8).encode("utf-8", "surrogatepass")
    return dice.choice(BYTES)(dice, text) if dice.random() < 0.5 else text


def _drop(dice: random.Random, target: dict[str, Any]) -> None:
    if target:
        del target[dice.choice(list(target))]


def _strange(dice: random.Random) -> Any:
    """A copy: the next mutation may be of what this one put in."""
    return copy.deepcopy(dice.choice(STRANGE))


def _replace(dice: random.Random, target: dict[str, Any]) -> None:
    if target:
        target[dice.choice(list(target))] = _strange(dice)


def _add(dice: random.Random, target: dict[str, Any]) -> None:
    names = ["x", "", "code", "created_at", "id", "message", "metadata", "video"]
    target[dice.choice(names)] = _strange(dice)


def _decoy(dice: random.Random, target: dict[str, Any]) -> None:
    name, value = dice.choice(DECOYS)
    target.setdefault(name, copy.deepcopy(value))


def _flip(dice: random.Random, text: bytes) -> bytes:
    spoiled = bytearray(text)
    for _ in range(dice.randint(1, 4)):
        spoiled[dice.randrange(len(spoiled))] ^= 1 << dice.randrange(8)
    return bytes(spoiled)


def _cut(dice: random.Random, text: bytes) -> bytes:
    return text[: dice.randrange(len(text))]


def _insert(dice: random.Random, text: bytes) -> bytes:
    place = dice.randrange(len(text))
    return text[:place] + dice.randbytes(dice.randint(1, 9)) + text[place:]


BYTES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flip,
    _cut,
    _insert,
    lambda _dice, text: text + text,
    lambda _dice, text: b"\xef\xbb\xbf" + text,
    lambda _dice, text: text.decode("utf-8", "replace").encode("utf-16"),
    lambda _dice, text: b"<html><body>" + text + b"</body></html>",
    lambda _dice, text: b"[" * 3_000 + text,
    lambda _dice, text: text.replace(b":", b"=", 1),
    lambda _dice, text: b"",
)


def framed(dice: random.Random, status: int, text: bytes) -> bytes:
    """The reply around a body: mostly right, sometimes with a length, an encoding or chunks that lie."""
    frames: tuple[Callable[[], bytes], ...] = (
        lambda: whole(status, text, content_length=str(len(text) + dice.randint(1, 50))),
        lambda: whole(status, text, content_length=str(dice.randrange(len(text) + 1))),
        lambda: whole(status, text, content_length="-1"),
        lambda: whole(status, text, content_length=""),
        lambda: whole(status, gzip.compress(text), content_encoding="gzip"),
        lambda: whole(status, text, content_encoding="gzip"),
        lambda: whole(status, b"zz\r\n" + text, content_length="", transfer_encoding="chunked"),
        lambda: whole(status, text, retry_after=dice.choice(["-1", "1e9", "9" * 400, "soon", "²"])),
        lambda: whole(status, text)[: dice.randrange(40)],
        lambda: b"HTTP/9.9 " + whole(status, text),
    )
    return dice.choice(frames)() if dice.random() < 0.2 else whole(status, text)
