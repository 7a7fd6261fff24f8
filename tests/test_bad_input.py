"""Whatever is sent: a refusal in the contract's words that names the field, no row, no credit, never a 500."""

from __future__ import annotations

import base64
import io
import json
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from accounts.models import User
from tests.api import GENERATIONS, TEXT, Api, error, everything

pytestmark = pytest.mark.django_db

SEED = 20261123
URL = "https://example.com/a.jpg"
PRO = {"model": "kling-v2-5-turbo-pro"}
V26 = {"model": "kling-v2-6"}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def encoded(width: int, height: int, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(out, kind, **options)
    return out.getvalue()


def bomb() -> bytes:
    """A PNG of 20 KB that claims, and would unpack to, 400 million pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    pixels = zlib.compressobj(9)
    packed = b"".join(pixels.compress(bytes(2501)) for _ in range(7_000)) + pixels.flush()
    head = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="360"><script>alert(1)</script></svg>'

# Bodies that are not even an object of JSON: 400 invalid_json.
NOT_JSON: dict[str, bytes] = {
    "blanks": b"  \n",
    "a word": b"model=kling-v2-6&prompt=x",
    "half": b'{"model": "kling-v2-6", "prompt": "x"',
    "two": b'{"model": "kling-v2-6"} {"prompt": "x"}',
    "single quotes": b"{'model': 'kling-v2-6'}",
    "trailing comma": b'{"model": "kling-v2-6",}',
    "comment": b'{"model": "kling-v2-6" /* cheap */}',
    "XML": b"<model>kling-v2-6</model>",
    "multipart": b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nkling-v2-6\r\n--x--',
    "a list": b'[{"model": "kling-v2-6", "prompt": "x"}]',
    "a string": b'"kling-v2-6"',
    "a number": b"5",
    "null": b"null",
    "true": b"true",
    "NaN alone": b"NaN",
    "NaN": b'{"model": "kling-v2-6", "prompt": "x", "duration": NaN}',
    "Infinity": b'{"model": "kling-v2-6", "prompt": "x", "duration": Infinity}',
    "-Infinity": b'{"model": "kling-v2-6", "prompt": "x", "duration": -Infinity}',
    "400 KB of [": b"[" * 400_000,
    "400 KB of {": b'{"a":' * 80_000,
    "400 KB of [ in metadata": b'{"model": "kling-v2-6", "prompt": "x", "metadata": ' + b"[" * 400_000,
    "closed, but 33 deep": b'{"metadata": ' + b"[" * 33 + b"]" * 33 + b"}",
    "100,000 deep and closed": b"[" * 100_000 + b"]" * 100_000,
    "Latin-1": '{"model": "kling-v2-6", "prompt": "é"}'.encode("latin-1"),
    "GBK": '{"model": "kling-v2-6", "prompt": "视频"}'.encode("gbk"),
    "UTF-16": '{"model": "kling-v2-6", "prompt": "x"}'.encode("utf-16"),
    "a surrogate in UTF-8": b'{"model": "kling-v2-6", "prompt": "\xed\xa0\x80"}',
    "overlong UTF-8": b'{"model": "kling-v2-6", "prompt": "\xc0\xaf"}',
    "a raw NUL": b'{"model": "kling-v2-6", "prompt": "a\x00b"}',
    "a raw newline": b'{"model": "kling-v2-6", "prompt": "a\nb"}',
    "only NULs": bytes(1000),
    "a number beyond all bounds": b'{"model": "kling-v2-6", "prompt": "x", "metadata": {"cfg_scale": 1e400}}',
    "an int of 5,000 digits": b'{"model": "kling-v2-6", "prompt": "x", "duration": ' + b"9" * 5000 + b"}",
    "noise": random.Random(SEED).randbytes(2000),
}


@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_no_json_object_is_400(alice_key: str, name: str) -> None:
    before = everything()
    answer = Api(alice_key).post(GENERATIONS, NOT_JSON[name])
    assert answer.status_code == 400, answer.content[:300]
    assert error(answer)["code"] == "invalid_json"
    assert len(answer.content) < 1000
    assert everything() == before


# Fields that cannot be, each with the name that the refusal has to say.
BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    # model
    ({"model": None}, "model"),
    ({"model": ""}, "model"),
    ({"model": "kling-v9"}, "model"),
    ({"model": "KLING-V2-6"}, "model"),
    ({"model": " kling-v2-6"}, "model"),
    ({"model": 26}, "model"),
    ({"model": True}, "model"),
    ({"model": ["kling-v2-6"]}, "model"),
    ({"model": {"name": "kling-v2-6"}}, "model"),
    ({"model": "x" * 100_000}, "model"),
    ({"model": "kling-v2-6\x00"}, "model"),
    # prompt
    ({"prompt": None}, "prompt"),
    ({"prompt": ""}, "prompt"),
    ({"prompt": " \n\t　"}, "prompt"),
    ({"prompt": 5}, "prompt"),
    ({"prompt": False}, "prompt"),
    ({"prompt": ["a", "b"]}, "prompt"),
    ({"prompt": {"text": "a"}}, "prompt"),
    ({"prompt": "x" * 2501}, "prompt"),
    ({"prompt": "猫" * 2501}, "prompt"),
    ({"prompt": "x" * 5_000_000}, "prompt"),
    ({"prompt": "a\x00b"}, "prompt"),
    ({"prompt": "a\ud800b"}, "prompt"),
    ({"prompt": "a\udfffb"}, "prompt"),
    ({"prompt": "\udc00\ud800"}, "prompt"),
    # duration
    ({"duration": 7}, "duration"),
    ({"duration": 0}, "duration"),
    ({"duration": -5}, "duration"),
    ({"duration": 5.0}, "duration"),
    ({"duration": 5.5}, "duration"),
    ({"duration": 1e400}, None),
    ({"duration": 10**30}, "duration"),
    ({"duration": True}, "duration"),
    ({"duration": "seven"}, "duration"),
    ({"duration": "5s"}, "duration"),
    ({"duration": " 5"}, "duration"),
    ({"duration": "5.0"}, "duration"),
    ({"duration": "٥"}, "duration"),
    ({"duration": ""}, "duration"),
    ({"duration": [5]}, "duration"),
    ({"duration": {"seconds": 5}}, "duration"),
    # size
    ({"size": "4:3"}, "size"),
    ({"size": "16:9 "}, "size"),
    ({"size": "16：9"}, "size"),
    ({"size": "1280x721"}, "size"),
    ({"size": "0x0"}, "size"),
    ({"size": "-16x-9"}, "size"),
    ({"size": "99999999999x99999999999"}, "size"),
    ({"size": "1280x"}, "size"),
    ({"size": ""}, "size"),
    ({"size": 16}, "size"),
    ({"size": [16, 9]}, "size"),
    ({"size": "720p"}, "size"),
    ({"size": "16:9\x00"}, "size"),
    # metadata
    ({"metadata": []}, "metadata"),
    ({"metadata": 5}, "metadata"),
    ({"metadata": True}, "metadata"),
    ({"metadata": "[]"}, "metadata"),
    ({"metadata": "5"}, "metadata"),
    ({"metadata": "null"}, "metadata"),
    ({"metadata": "{"}, "metadata"),
    ({"metadata": "{'a': 1}"}, "metadata"),
    ({"metadata": '{"cfg_scale": NaN}'}, "metadata"),
    ({"metadata": "[" * 400_000}, "metadata"),
    ({"metadata": '"{}"'}, "metadata"),
    ({"metadata": {"duration": 10}}, "metadata.duration"),
    ({"metadata": '{"duration": 10}'}, "metadata.duration"),
    ({"metadata": {"model": "kling-v2-6"}}, "metadata.model"),
    ({"metadata": {"prompt": "b"}}, "metadata.prompt"),
    ({"metadata": {"n": 4}}, "metadata.n"),
    ({"metadata": {"callback_url": "https://evil.example/"}}, "metadata.callback_url"),
    ({"metadata": {"aspect_ratio": "1:1"}}, "metadata.aspect_ratio"),
    ({"metadata": {"external_task_id": "x"}}, "metadata.external_task_id"),
    ({"metadata": {"": 1}}, "metadata."),
    ({"metadata": {"Mode": "pro"}}, "metadata.Mode"),
    ({"metadata": {"x" * 5000: 1}}, "metadata." + "x" * 60),
    ({"metadata": {"a\x00b": 1}}, "metadata"),
    ({"metadata": '{"a\\ud800b": 1}'}, "metadata"),
    ({"metadata": {"negative_prompt": 5}}, "metadata.negative_prompt"),
    ({"metadata": {"negative_prompt": None}}, "metadata.negative_prompt"),
    ({"metadata": {"negative_prompt": "x" * 2501}}, "metadata.negative_prompt"),
    ({"metadata": {"negative_prompt": "a\x00"}}, "metadata.negative_prompt"),
    ({"metadata": '{"negative_prompt": "\\ud83d"}'}, "metadata.negative_prompt"),
    ({"metadata": {"mode": "std", "sound": "on"}} | V26, "metadata.sound"),
    ({"metadata": {"mode": "pro"}}, "metadata.mode"),
    ({"metadata": {"mode": "master"}} | V26, "metadata.mode"),
    ({"metadata": {"mode": ["pro"]}} | V26, "metadata.mode"),
    ({"metadata": {"sound": "on"}}, "metadata.sound"),
    ({"metadata": {"sound": True}} | V26, "metadata.sound"),
    ({"metadata": {"sound": "loud"}} | V26, "metadata.sound"),
    ({"metadata": {"sound": ["on"]}} | V26, "metadata.sound"),
    ({"metadata": {"sound": {"on": 1}}} | V26, "metadata.sound"),
    ({"metadata": {"cfg_scale": 1.01}}, "metadata.cfg_scale"),
    ({"metadata": {"cfg_scale": -1}}, "metadata.cfg_scale"),
    ({"metadata": {"cfg_scale": "0.5"}}, "metadata.cfg_scale"),
    ({"metadata": {"cfg_scale": True}}, "metadata.cfg_scale"),
    ({"metadata": '{"cfg_scale": 1e400}'}, "metadata"),
    ({"metadata": '{"cfg_scale": -1e400}'}, "metadata"),
    ({"metadata": {"camera_control": "zoom"}}, "metadata.camera_control"),
    ({"metadata": {"camera_control": []}}, "metadata.camera_control"),
    ({"metadata": {"camera_control": {"a": "x" * 3000}}}, "metadata.camera_control"),
    ({"metadata": {"camera_control": {"a": "b\x00"}}}, "metadata.camera_control.a"),
    ({"metadata": '{"camera_control": {"a": 1e400}}'}, "metadata"),
    ({"metadata": {"watermark_info": 1}}, "metadata.watermark_info"),
    # images
    ({"images": URL}, "images"),
    ({"images": {"0": URL}}, "images"),
    ({"images": 1}, "images"),
    ({"images": [1]}, "images"),
    ({"images": [None]}, "images"),
    ({"images": [[URL]]}, "images"),
    ({"images": [""]}, "images"),
    ({"images": [{"url": URL}]}, "images"),
    ({"images": [URL, URL, URL]} | PRO, "images"),
    ({"images": [URL] * 1000} | PRO, "images"),
    ({"images": [URL, URL]}, "images"),
    ({"images": [URL, URL], "metadata": {"mode": "std"}} | V26, "images"),
    ({"images": [URL, URL], "metadata": {"sound": "on"}} | V26, "metadata.sound"),
    ({"metadata": {"image_tail": URL}} | PRO, "metadata.image_tail"),
    ({"images": [URL], "metadata": {"image_tail": 5}} | PRO, "metadata.image_tail"),
    ({"images": [URL], "metadata": {"image_tail": URL}}, "images"),
    ({"images": [URL, URL], "metadata": {"image_tail": URL + "x"}} | PRO, "metadata.image_tail"),
    ({"image": URL, "images": [URL + "x"]}, "image"),
    ({"image": 5}, "image"),
    ({"image": [URL]}, "image"),
    ({"image": ""}, "image"),
    ({"images": ["a\x00b"]}, "images"),
    ({"images": ["http://"]}, "images"),
    ({"images": ["https://user:secret@example.com/a.jpg"]}, "images"),
    ({"images": ["https://example.com\\@evil.example/a.jpg"]}, "images"),
    ({"images": ["https://example.com/a b.jpg"]}, "images"),
    ({"images": ["https://example.com/\r\nX: y"]}, "images"),
    ({"images": ["https://" + "a" * 3000 + ".example/a.jpg"]}, "images"),
    ({"images": ["ftp://example.com/a.jpg"]}, "images"),
    ({"images": ["file:///etc/passwd"]}, "images"),
    ({"images": ["javascript:alert(1)"]}, "images"),
    ({"images": ["not base64!"]}, "images"),
    ({"images": ["=" * 4]}, "images"),
    ({"images": ["data:image/png;base64,"]}, "images"),
    ({"images": ["data:image/png,plain"]}, "images"),
    ({"images": [b64(b"not a picture")]}, "images"),
    ({"images": [b64(SVG)]}, "images"),
    ({"images": ["data:image/svg+xml;base64," + b64(SVG)]}, "images"),
    ({"images": ["data:image/png;base64," + b64(SVG)]}, "images"),
    ({"images": [b64(encoded(640, 360, "GIF"))]}, "images"),
    ({"images": [b64(encoded(640, 360, "BMP"))]}, "images"),
    ({"images": [b64(encoded(640, 360, "TIFF"))]}, "images"),
    ({"images": [b64(encoded(299, 400))]}, "images"),
    ({"images": [b64(encoded(1000, 399))]}, "images"),
    ({"images": [b64(encoded(640, 360)[:200])]}, "images"),
    ({"images": [b64(bomb())]}, "images"),
    ({"images": [URL, b64(SVG)]} | PRO, "images"),
    ({"image": b64(SVG)}, "image"),
    ({"image": "https://"}, "image"),
    ({"images": [URL], "metadata": {"image_tail": b64(SVG)}} | PRO, "metadata.image_tail"),
    ({"images": [URL], "metadata": {"image_tail": "https://"}} | PRO, "metadata.image_tail"),
    ({"image": URL, "metadata": {"image_tail": "nothing!"}} | PRO, "metadata.image_tail"),
    # what there is not
    ({"n": 2}, "n"),
    ({"seed": 1}, "seed"),
    ({"Model": "kling-v2-6"}, "Model"),
    ({"seconds": 5}, "seconds"),
    ({"image_tail": URL}, "image_tail"),
    ({"negative_prompt": "blur"}, "negative_prompt"),
    ({"callback_url": "https://evil.example/"}, "callback_url"),
    ({"user": "bob"}, "user"),
    ({"user_id": 1}, "user_id"),
    ({"price": 0}, "price"),
    ({"status": "succeeded"}, "status"),
    ({"id": "00000000-0000-4000-8000-000000000000"}, "id"),
    ({"visibility": "team"}, "visibility"),
    ({"__proto__": {}}, "__proto__"),
    ({"": 1}, ""),
    ({"提示": "x"}, "提示"),
    ({"x" * 100_000: 1}, "x" * 60),
]


@pytest.mark.parametrize(
    ("fields", "param"), BAD_FIELDS, ids=[json.dumps(fields)[:50] for fields, _param in BAD_FIELDS]
)
def test_a_value_that_cannot_be_is_400_and_named(
    alice_key: str, fields: dict[str, Any], param: str | None
) -> None:
    before = everything()
    answer = Api(alice_key).create(**fields)
    assert answer.status_code == 400, answer.content[:300]
    refusal = error(answer)
    assert refusal["param"] == param
    assert refusal["type"] == "invalid_request_error"
    assert len(answer.content) < 1000
    assert everything() == before


def test_the_bomb_is_small() -> None:
    assert len(bomb()) < 25_000


def test_nothing_at_all_names_what_is_missing_first(alice_key: str) -> None:
    for body in (b"", {}):
        assert error(Api(alice_key).post(GENERATIONS, body))["param"] == "model"
    assert error(Api(alice_key).post(GENERATIONS, {"model": "kling-v2-6"}))["param"] == "prompt"


# --- how it is sent ---------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonp",
        "application/json5",
        "application/vnd.api+json",
        "application/octet-stream",
        "json",
        ";",
        "application/\x00json",
    ],
)
def test_another_content_type_is_415(alice_key: str, content_type: str) -> None:
    before = everything()
    answer = Api(alice_key).post(GENERATIONS, TEXT, content_type=content_type)
    assert (answer.status_code, error(answer)["code"]) == (415, "unsupported_media_type")
    assert "application/json" in error(answer)["message"]
    assert everything() == before


@pytest.mark.parametrize("size", [32 * 1024 * 1024 + 1, 40_000_000])
def test_more_than_32_mb_is_413(alice_key: str, size: int) -> None:
    before = everything()
    body = b'{"model": "kling-v2-6", "prompt": "' + b"x" * size
    answer = Api(alice_key).post(GENERATIONS, body[:size])
    assert (answer.status_code, error(answer)["code"]) == (413, "body_too_large")
    assert "32 MB" in error(answer)["message"]
    assert everything() == before


def test_exactly_32_mb_is_read(alice_key: str) -> None:
    start = b'{"model": "kling-v2-6", "prompt": "' + b"x" * 3000 + b'"'
    body = start + b" " * (32 * 1024 * 1024 - len(start) - 1) + b"}"
    answer = Api(alice_key).post(GENERATIONS, body)
    assert (answer.status_code, error(answer)["param"]) == (400, "prompt")


def test_the_last_of_two_fields_with_one_name_counts(alice_key: str) -> None:
    """As in every JSON reader; upstream never sees the request itself, so nothing can hide in it."""
    body = b'{"model": "kling-v2-6", "model": "kling-v2-5-turbo-std", "prompt": "x"}'
    assert Api(alice_key).post(GENERATIONS, body).json()["model"] == "kling-v2-5-turbo-std"


def test_what_postgresql_could_not_keep_is_found_however_deep(alice_key: str) -> None:
    for inner in ("a\x00", "\ud800"):
        deep: Any = inner
        for _ in range(20):
            deep = {"k": [deep]}
        answer = Api(alice_key).create(metadata={"camera_control": deep})
        assert answer.status_code == 400


@pytest.mark.sqlite
def test_random_changes_of_a_good_request_never_break_anything(alice: User, alice_key: str) -> None:
    """300 good bodies with bytes turned, doubled, dropped and swapped: 200 or a refusal, nothing else."""
    rng = random.Random(SEED)
    api = Api(alice_key)
    good = json.dumps(
        {
            **V26,
            "prompt": "小猫 🐱",
            "duration": 5,
            "size": "16:9",
            "images": [URL],
            "metadata": {"mode": "pro"},
        }
    ).encode()
    for turn in range(300):
        body = bytearray(good)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(body))
            mutate(rng)(body, at)
        answer = api.post(GENERATIONS, bytes(body))
        assert answer.status_code in (200, 400, 402), (SEED, turn, bytes(body))
        if answer.status_code != 200:
            error(answer)


def mutate(rng: random.Random) -> Callable[[bytearray, int], None]:
    def turn(body: bytearray, at: int) -> None:
        body[at] = rng.randrange(256)

    def drop(body: bytearray, at: int) -> None:
        del body[at : at + rng.randint(1, 20)]
        body += b" " * (not body)

    def double(body: bytearray, at: int) -> None:
        body[at:at] = body[at : at + rng.randint(1, 40)]

    def insert(body: bytearray, at: int) -> None:
        body[at:at] = rng.choice(
            [b"\\u0000", b"\\ud800", b"null", b"[", b"{}", b'"', b"1e999", b"NaN", b"-0"]
        )

    return rng.choice([turn, drop, double, insert])
