"""Films: an H.264 MP4 that browsers play and seek in, made from a recipe in one or two seconds of CPU."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image

from .caption import Caption
from .scene import Landscape, Pictures, Scene

FPS = 24
_SOUND_RATE = 44_100
_RATIOS = {"16:9": (16, 9), "1:1": (1, 1), "9:16": (9, 16)}
# Pixels of a frame: those of 1280x720 and 1920x1080, as the real models make them; other ratios have as many.
# A recipe's scale shrinks the sides.
_PIXELS = {"std": 1280 * 720, "pro": 1920 * 1080}
# Frames are drawn with no more pixels than this and enlarged while they are encoded: at 1080p the drawing would
# cost as much as all the rest.
_MOST_DRAWN = 1280 * 720


class Stopped(Exception):
    """The sandbox is closing; the film was given up."""


@dataclass(frozen=True)
class Recipe:
    """Everything that a film depends on. ``ratio`` holds without pictures; else the first picture decides."""

    prompt: str
    model: str
    mode: str
    ratio: str
    seconds: int
    sound: bool = False
    first: Image.Image | None = None
    last: Image.Image | None = None
    scale: float = 1.0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, both even, as yuv420p needs."""
        wide, tall = self.first.size if self.first else _RATIOS[self.ratio]
        side = math.sqrt(_PIXELS[self.mode] / (wide * tall)) * self.scale
        return max(16, round(wide * side / 2) * 2), max(16, round(tall * side / 2) * 2)

    @property
    def drawn(self) -> tuple[int, int]:
        """Width and height at which frames are drawn."""
        width, height = self.size
        share = min(1.0, math.sqrt(_MOST_DRAWN / (width * height)))
        return round(width * share), round(height * share)

    @property
    def facts(self) -> str:
        """The line under the prompt."""
        ratio = "{}×{}".format(*self.size) if self.first else self.ratio
        return " · ".join((self.model, self.mode, ratio, f"{self.seconds} s"))


def render(recipe: Recipe, path: Path, stopping: Callable[[], bool] = lambda: False) -> None:
    """Write the film of ``recipe`` to ``path``, whole or not at all.

    ``stopping`` is asked before every frame; :class:`Stopped` is raised once it says yes.
    """
    part = path.with_suffix(".part")
    try:
        with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            _write(container, recipe, stopping)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write(container: av.container.OutputContainer, recipe: Recipe, stopping: Callable[[], bool]) -> None:
    width, height = recipe.size
    container.metadata["comment"] = "Made by the sandbox; no model was asked."
    stream = container.add_stream("libx264", rate=FPS)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.gop_size = FPS  # a key frame a second: seeking lands where one points
    stream.codec_context.thread_type, stream.codec_context.thread_count = "FRAME", 2
    stream.options = {"preset": "superfast", "crf": "23", "profile": "high"}
    audio = container.add_stream("aac", rate=_SOUND_RATE, layout="mono") if recipe.sound else None
    for picture in _frames(recipe):
        if stopping():
            raise Stopped
        frame = av.VideoFrame.from_image(picture).reformat(width, height, "yuv420p")
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
    if audio is not None:
        for sound in _tone(recipe.seconds):
            container.mux(audio.encode(sound))
        container.mux(audio.encode())


def _frames(recipe: Recipe) -> Iterator[Image.Image]:
    count = recipe.seconds * FPS
    scene: Scene
    if recipe.first is not None:
        scene = Pictures(recipe.first, recipe.last, recipe.drawn)
    else:
        scene = Landscape(recipe.prompt, recipe.drawn, count)
    caption = Caption(recipe.prompt, recipe.facts, recipe.drawn, recipe.seconds)
    for number in range(count):
        moment = number / (count - 1)
        yield caption.over(scene.frame(moment), moment)


def _tone(seconds: int) -> Iterator[av.AudioFrame]:
    """A quiet fifth that swells and fades, in pieces of 1024 samples."""
    total, piece = seconds * _SOUND_RATE, 1024
    for start in range(0, total, piece):
        count = min(piece, total - start)
        frame = av.AudioFrame(format="s16", layout="mono", samples=count)
        frame.sample_rate, frame.pts, frame.time_base = _SOUND_RATE, start, Fraction(1, _SOUND_RATE)
        samples = []
        for number in range(start, start + count):
            swell = math.sin(math.pi * number / total) * 2600
            turn = math.tau * number / _SOUND_RATE
            samples.append(int(swell * (math.sin(220 * turn) + 0.6 * math.sin(330 * turn))))
        frame.planes[0].update(struct.pack(f"<{count}h", *samples).ljust(frame.planes[0].buffer_size, b"\0"))
        yield frame
