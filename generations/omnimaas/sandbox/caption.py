"""The words on a film: the prompt, what was asked for, and a running clock.

All of it but the clock stands still, so it is drawn once per film as one picture with transparency.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONT = Path(__file__).with_name("font") / "NotoSansSC-Medium.subset.woff"
_NO_LINE_STARTS_WITH = "，。！？、；：）」』》】”’…,.!?;:)]}%"
_MOST_LINES = 4
_MOST_CHARACTERS = 600  # surely more than the lines hold; spares the measuring of the rest
Font = ImageFont.FreeTypeFont


@lru_cache(maxsize=32)
def font(pixels: int) -> Font:
    """Return the sandbox's own font, so that Chinese shows on a machine without any font."""
    return ImageFont.truetype(FONT, pixels)


def plain(text: str) -> str:
    """Return ``text`` on one line, without characters that have no shape."""
    shown = (" " if char.isspace() else char for char in text)
    return " ".join("".join(char for char in shown if unicodedata.category(char)[0] != "C").split())


def wrapped(text: str, face: Font, width: float) -> list[str]:
    """Break ``text`` into lines of at most ``width`` pixels: between words, and anywhere between Han characters."""
    lines, line = [], ""
    for piece in _pieces(text):
        if line and face.getlength((line + piece).rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        while face.getlength(piece.rstrip()) > width and len(piece) > 1:  # one word longer than a line
            word = piece
            fits = (
                bisect_right(range(2, len(word) + 1), width, key=lambda count: face.getlength(word[:count]))
                + 1
            )
            lines.append(piece[:fits])
            piece = piece[fits:]
        line += piece if line else piece.lstrip()
    return [*lines, line.rstrip()] if line.strip() else lines


def _pieces(text: str) -> list[str]:
    """Split where a line may end; a closing mark stays with what it closes."""
    pieces: list[str] = []
    for char in text:
        wide = unicodedata.east_asian_width(char) in "WF"
        if pieces and (char in _NO_LINE_STARTS_WITH or char == " " or not (wide or _closed(pieces[-1]))):
            pieces[-1] += char
        else:
            pieces.append(char)
    return pieces


def _closed(piece: str) -> bool:
    return piece[-1] == " " or unicodedata.east_asian_width(piece[-1]) in "WF"


def _fitted(text: str, width: float, largest: int, smallest: int) -> tuple[Font, list[str]]:
    """Return the largest font in which ``text`` takes few lines; a text too long for the smallest is cut with …"""
    pixels = largest
    while True:
        face = font(pixels)
        lines = wrapped(text, face, width)
        if len(lines) <= (2 if pixels > smallest * 1.35 else _MOST_LINES):
            return face, lines
        if pixels <= smallest:
            break
        pixels = max(smallest, int(pixels * 0.88))
    last = lines[_MOST_LINES - 1]
    while last and face.getlength(last + "…") > width:
        last = last[:-1]
    return face, [*lines[: _MOST_LINES - 1], last + "…"]


class Caption:
    """Draws the prompt, a line of facts and the clock over each frame."""

    def __init__(self, prompt: str, facts: str, size: tuple[int, int], seconds: int) -> None:
        self._width, self._height = size
        self._seconds = seconds
        self._unit = min(size) / 720  # all measures are those of a 720p film
        self._margin = round(44 * self._unit)
        self._small = font(max(9, round(20 * self._unit)))
        still = self._draw(plain(prompt)[:_MOST_CHARACTERS], facts)
        self._tag, self._words = self._parted(still)

    def over(self, frame: Image.Image, moment: float) -> Image.Image:
        """Draw on ``frame`` and return it; ``moment`` runs from 0 to 1 over the film."""
        for picture, mask, place in (self._tag, self._words):
            frame.paste(picture, place, mask)
        draw = ImageDraw.Draw(frame)
        clock = f"{moment * self._seconds:04.1f} / {self._seconds:02d} s"
        base = self._height - self._margin
        draw.text((self._width - self._margin, base), clock, (238, 240, 246), self._small, anchor="rs")
        top = self._height - max(2, round(5 * self._unit))
        draw.rectangle((0, top, round(self._width * moment), self._height), (255, 255, 255))
        return frame

    def _draw(self, prompt: str, facts: str) -> Image.Image:
        still = Image.new("RGBA", (self._width, self._height))
        text = Image.new("RGBA", still.size)
        draw = ImageDraw.Draw(text)
        base = self._height - self._margin
        draw.text((self._margin, base), facts, (238, 240, 246, 205), self._small, anchor="ls")
        room = self._width - 2 * self._margin
        face, lines = _fitted(prompt, room, round(50 * self._unit), max(10, round(27 * self._unit)))
        spacing = face.size * 1.36
        foot = base - 46 * self._unit
        for row, line in enumerate(reversed(lines)):
            draw.text((self._margin, foot - row * spacing), line, (255, 255, 255, 255), face, anchor="ls")
        head = foot - len(lines) * spacing
        still.alpha_composite(self._shade(max(0, int(head - 70 * self._unit))))
        still.alpha_composite(self._shadow(text))
        still.alpha_composite(text)
        self._draw_tag(still)
        return still

    def _shade(self, top: int) -> Image.Image:
        """Darken towards the bottom, so that white words read on any picture."""
        ramp = Image.linear_gradient("L").point(lambda value: int(178 * (value / 255) ** 0.8))
        alpha = Image.new("L", (self._width, self._height))
        alpha.paste(ramp.resize((self._width, self._height - top), Image.Resampling.BICUBIC), (0, top))
        shade = Image.new("RGBA", alpha.size, (8, 8, 18, 0))
        shade.putalpha(alpha)
        return shade

    def _shadow(self, text: Image.Image) -> Image.Image:
        soft = text.getchannel("A").filter(ImageFilter.GaussianBlur(5 * self._unit))
        shadow = Image.new("RGBA", text.size, (0, 0, 0, 0))
        shadow.putalpha(soft.point(lambda value: int(value * 0.7)))
        return shadow

    def _draw_tag(self, still: Image.Image) -> None:
        """Say at first sight that no model made this."""
        label, pad = "SANDBOX", round(12 * self._unit)
        draw = ImageDraw.Draw(still)
        place = (self._margin + pad, self._margin + pad)
        left, top, right, bottom = draw.textbbox(place, label, self._small, anchor="lt")
        box = (left - pad, top - pad, right + pad, bottom + pad)
        patch = Image.new("RGBA", still.size)
        ImageDraw.Draw(patch).rounded_rectangle(box, round(9 * self._unit), (10, 10, 20, 110))
        still.alpha_composite(patch)
        draw.text(place, label, (255, 255, 255, 235), self._small, anchor="lt")

    def _parted(self, still: Image.Image) -> list[tuple[Image.Image, Image.Image, tuple[int, int]]]:
        """Cut the two places with something on them, because pasting the whole frame costs twice the time."""
        half = self._height // 3
        parts = []
        for band in ((0, 0, self._width, half), (0, half, self._width, self._height)):
            left, top, right, bottom = still.crop(band).getchannel("A").getbbox() or (0, 0, 1, 1)
            piece = still.crop((left, top + band[1], right, bottom + band[1]))
            parts.append((piece.convert("RGB"), piece.getchannel("A"), (left, top + band[1])))
        return parts
