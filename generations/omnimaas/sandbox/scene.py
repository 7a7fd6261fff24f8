"""What a frame of the sandbox looks like: a drifting landscape, or the given pictures, under a caption.

Everything is drawn with Pillow from the recipe alone, so the same recipe gives the same film. What does not
move is drawn once per film; a frame is then a handful of pastes, which is what keeps a film under two seconds.
"""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass
from typing import Protocol

from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Size = tuple[int, int]


class Scene(Protocol):
    """Something that can be filmed."""

    def frame(self, moment: float) -> Image.Image:
        """Return a fresh RGB image for ``moment``, which runs from 0 to 1 over the film."""


@dataclass(frozen=True)
class Palette:
    """Colours of one hour of the day: sky from top to horizon, the sun, far and near hills."""

    sky: tuple[Colour, Colour, Colour]
    sun: Colour
    far: Colour
    near: Colour
    stars: bool = False


PALETTES = (
    Palette(((38, 42, 94), (176, 91, 126), (255, 190, 132)), (255, 236, 200), (178, 98, 122), (32, 22, 52)),
    Palette(((16, 66, 116), (76, 154, 190), (226, 238, 224)), (255, 252, 228), (104, 164, 180), (10, 44, 66)),
    Palette(
        ((12, 16, 48), (44, 44, 104), (126, 92, 158)), (232, 236, 255), (76, 66, 124), (10, 10, 30), True
    ),
    Palette(((20, 74, 84), (92, 160, 138), (244, 226, 168)), (255, 246, 206), (100, 152, 126), (12, 42, 44)),
    Palette(
        ((112, 68, 122), (226, 136, 156), (255, 222, 202)), (255, 246, 236), (212, 130, 152), (62, 30, 68)
    ),
    Palette(((8, 30, 46), (20, 92, 98), (112, 204, 160)), (218, 255, 236), (38, 108, 106), (4, 22, 32), True),
)
_HILLS = 5
_SPARE = (
    2  # the masks of the hills are drawn this much larger, then shrunk: Pillow's polygons have no smooth edge
)


@dataclass(frozen=True)
class Hill:
    """One layer of the landscape: its moving edge (``ridge`` through ``mask``) and what lies under it."""

    ridge: Image.Image
    mask: Image.Image  # longer than the film is wide; the view slides along it
    body: Image.Image
    top: int
    step: int  # pixels a frame; whole ones, so that the motion is even


class Landscape:
    """Hills that drift past under a rising sun, or moon; the prompt alone decides colours and shapes."""

    def __init__(self, prompt: str, size: Size, frames: int) -> None:
        seed = int.from_bytes(hashlib.sha256(prompt.encode("utf-8", "replace")).digest()[:8], "big")
        self._size, self._frames = size, frames
        self._dice = random.Random(seed)  # noqa: S311  a picture, not a secret
        self._palette = PALETTES[seed % len(PALETTES)]
        self._rise = int(size[1] * 0.16)  # pixels by which the sky is higher than the frame, and moves up
        self._sky = self._paint_sky()
        self._hills = self._paint_hills()

    def frame(self, moment: float) -> Image.Image:
        width, height = self._size
        lift = round(self._rise * moment)
        image = self._sky.crop((0, lift, width, lift + height))
        drawn = round(moment * (self._frames - 1))
        for hill in self._hills:
            shift = drawn * hill.step
            image.paste(
                hill.ridge, (0, hill.top), hill.mask.crop((shift, 0, shift + width, hill.mask.height))
            )
            image.paste(hill.body, (0, hill.top + hill.mask.height))
        return image

    def _paint_sky(self) -> Image.Image:
        """Sky, stars and the sun with its glow, once for the whole film."""
        width, height = self._size
        sky = Image.new("RGB", (width, height + self._rise), self._palette.sky[-1])
        sky.paste(vertical_gradient((width, int(height * 0.64)), self._palette.sky))
        if self._palette.stars:
            self._sprinkle_stars(sky)
        x, y = int(width * self._dice.uniform(0.56, 0.8)), int(height * 0.5)
        for light in self._sunlight():
            sky.paste(self._palette.sun, (x - light.width // 2, y - light.height // 2), light)
        return sky

    def _sprinkle_stars(self, sky: Image.Image) -> None:
        draw = ImageDraw.Draw(sky, "RGBA")
        width, height = self._size
        for _ in range(90):
            x, y = self._dice.random() * width, self._dice.random() ** 1.5 * height * 0.6
            radius = self._dice.uniform(0.4, 1.1) * height / 720
            alpha = self._dice.randrange(60, 220)
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 255, 255, alpha))

    def _sunlight(self) -> tuple[Image.Image, Image.Image]:
        """Return the masks of the glow and of the sun's disc."""
        side = min(self._size)
        ramp = Image.radial_gradient("L").point(lambda value: int(150 * max(0.0, 1 - value / 180) ** 2.2))
        glow = ramp.resize((side * 11 // 10,) * 2, Image.Resampling.BICUBIC)
        across = max(8, side // 6)
        disc = Image.new("L", (across * 4,) * 2)
        ImageDraw.Draw(disc).ellipse((4, 4, across * 4 - 4, across * 4 - 4), fill=235)
        return glow, disc.resize((across,) * 2, Image.Resampling.LANCZOS)

    def _paint_hills(self) -> list[Hill]:
        """From far to near; each is painted down to where the next one surely hides it, and no further."""
        hills, floor = [], self._size[1]
        for depth in reversed(range(_HILLS)):
            hill = self._paint_hill(depth / (_HILLS - 1), floor)
            floor = hill.top + hill.mask.height
            hills.append(hill)
        return hills[::-1]

    def _paint_hill(self, nearness: float, floor: int) -> Hill:
        width, height = self._size
        swing = int(height * (0.05 + 0.07 * nearness))
        top = int(height * (0.46 + 0.3 * nearness)) - swing
        step = max(1, round((0.6 + 2.6 * nearness**1.5) * width / 1280))
        mask = self._paint_ridge(width + step * self._frames, swing)
        colour = mix(self._palette.far, self._palette.near, nearness**0.8)
        mist = mix(colour, self._palette.sky[-1], 0.34 * (1 - nearness))
        flank = vertical_gradient((width, height - top), (colour, mist))
        ridge = flank.crop((0, 0, width, mask.height))
        body = flank.crop((0, mask.height, width, max(floor - top, mask.height)))
        return Hill(ridge, mask, body, top, step)

    def _paint_ridge(self, length: int, swing: int) -> Image.Image:
        """Return the mask of a ridge line that swings ``swing`` pixels up and down."""
        waves = [
            (self._dice.uniform(0.7, 1.4) * n, self._dice.uniform(0, math.tau), 1 / n) for n in (1, 2.3, 5.1)
        ]
        most = sum(weight for _, _, weight in waves)
        line = []
        for x in range(0, length + 8, 4):
            phase = x / self._size[1] * 2.1
            rise = sum(weight * math.sin(pace * phase + start) for pace, start, weight in waves) / most
            line.append((x * _SPARE, (swing - swing * rise) * _SPARE))
        mask = Image.new("L", (length * _SPARE, 2 * swing * _SPARE))
        ImageDraw.Draw(mask).polygon([*line, (mask.width + 16, mask.height), (0, mask.height)], fill=255)
        return mask.resize((length, 2 * swing), Image.Resampling.LANCZOS)


class Pictures:
    """The first picture, slowly drawn nearer; with a last one the film fades over to it."""

    _ZOOM = 0.14  # share of the picture that the camera gives up between the first frame and the last

    def __init__(self, first: Image.Image, last: Image.Image | None, size: Size) -> None:
        self._size = size
        self._first = _covering(first, size)
        self._last = _covering(last, size) if last else None

    def frame(self, moment: float) -> Image.Image:
        share = _eased((moment - 0.35) / 0.4) if self._last else 0.0
        if self._last is None or share == 0:
            return self._view(self._first, _eased(moment))
        if share == 1:
            return self._view(self._last, 1 - _eased(moment))
        return Image.blend(
            self._view(self._first, _eased(moment)), self._view(self._last, 1 - _eased(moment)), share
        )

    def _view(self, picture: Image.Image, ease: float) -> Image.Image:
        kept = 1 - self._ZOOM * ease
        wide, tall = picture.width * kept, picture.height * kept
        left, top = (picture.width - wide) * (0.5 + 0.3 * ease), (picture.height - tall) * 0.42
        box = (left, top, left + wide, top + tall)
        return picture.resize(self._size, Image.Resampling.BILINEAR, box=box)


def _eased(share: float) -> float:
    """Clamp to 0…1 and start and end softly."""
    share = min(1.0, max(0.0, share))
    return share * share * (3 - 2 * share)


def _covering(picture: Image.Image, size: Size) -> Image.Image:
    """Crop ``picture`` to the film's ratio and bring it to the film's size."""
    scale = max(size[0] / picture.width, size[1] / picture.height)
    wide, tall = size[0] / scale, size[1] / scale
    left, top = (picture.width - wide) / 2, (picture.height - tall) / 2
    return picture.convert("RGB").resize(
        size, Image.Resampling.LANCZOS, box=(left, top, left + wide, top + tall)
    )


def placeholder(size: Size) -> Image.Image:
    """Stand-in for a picture whose address gave none: soft diagonal light, no content."""
    image = vertical_gradient((64, 64), ((92, 98, 112), (58, 62, 74), (34, 36, 44))).rotate(30, expand=False)
    image = image.crop((12, 12, 52, 52)).resize(size, Image.Resampling.BICUBIC)
    return image.filter(ImageFilter.GaussianBlur(min(size) / 40))


def vertical_gradient(size: Size, stops: tuple[Colour, ...]) -> Image.Image:
    """Blend ``stops`` from top to bottom."""
    column = Image.new("RGB", (1, 256))
    for y in range(256):
        place = y / 255 * (len(stops) - 1)
        lower = min(int(place), len(stops) - 2)
        column.putpixel((0, y), mix(stops[lower], stops[lower + 1], place - lower))
    return column.resize(size, Image.Resampling.BICUBIC)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Return the colour ``share`` of the way from ``one`` to ``other``."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
