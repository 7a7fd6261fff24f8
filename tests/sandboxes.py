"""What the tests of the sandbox share: a client as plain as a user's script, and a look into the films."""

from __future__ import annotations

import base64
import io
import time
from typing import Any

import av
import requests
from PIL import Image, ImageStat

from generations.omnimaas.sandbox import SandboxServer

KEY = "sandbox-key"
HEADERS = {"Authorization": f"Bearer {KEY}"}
QUICK: dict[str, Any] = {"speed": 200, "scale": 0.125}  # done after 0.035 s, films of 160x90


def post(sandbox: SandboxServer, prompt: str = "一只可爱的小猫", **fields: Any) -> requests.Response:
    body = {"model": "kling-v2-5-turbo-std", "prompt": prompt, **fields}
    return requests.post(f"{sandbox.url}/v1/video/generations", json=body, headers=HEADERS, timeout=10)


def get(sandbox: SandboxServer, id: str) -> requests.Response:
    return requests.get(f"{sandbox.url}/v1/video/generations/{id}", headers=HEADERS, timeout=10)


def finished(sandbox: SandboxServer, id: str, seconds: float = 20) -> dict[str, Any]:
    """Ask until it is no longer processing."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        body = get(sandbox, id).json()
        if body["status"] != "processing":
            return body
        time.sleep(0.02)
    raise AssertionError(f"still processing after {seconds} s: {body}")


def made(sandbox: SandboxServer, prompt: str = "一只可爱的小猫", **fields: Any) -> dict[str, Any]:
    """Submit, and return what asking says in the end."""
    return finished(sandbox, post(sandbox, prompt, **fields).json()["id"])


class Film:
    """The film behind an address, decoded."""

    def __init__(self, url: str) -> None:
        self.data = requests.get(url, timeout=20).content
        with av.open(io.BytesIO(self.data)) as container:
            stream = container.streams.video[0]
            self.codec, self.pixels = stream.codec_context.name, stream.codec_context.pix_fmt
            self.rate = float(stream.average_rate or 0)
            self.seconds = float((stream.duration or 0) * stream.time_base)
            self.audio = [one.codec_context.name for one in container.streams.audio]
            self.frames = [frame.to_image() for frame in container.decode(video=0)]

    @property
    def size(self) -> tuple[int, int]:
        return self.frames[0].size


def mean(image: Image.Image, box: tuple[float, float, float, float] = (0, 0, 1, 1)) -> tuple[int, ...]:
    """The mean colour of a part of the picture, given in shares of its sides."""
    wide, tall = image.size
    part = image.crop((int(box[0] * wide), int(box[1] * tall), int(box[2] * wide), int(box[3] * tall)))
    return tuple(round(value) for value in ImageStat.Stat(part).mean)


def picture(colour: str = "red", size: tuple[int, int] = (640, 480), kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
