"""Serving a film the way a CDN does: whole or in a range, and broken where the prompt asked for it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PIECE = 64 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Unsatisfiable(ValueError):
    """The range lies outside of the file (416)."""


def span(header: str, size: int) -> tuple[int, int] | None:
    """Return first and last byte of a ``Range`` header, or None to send the whole file.

    One range is understood; several, or something else, mean the whole file, as the standard allows.
    """
    match = _RANGE.fullmatch(header.strip())
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size - 1
        if int(last) == 0:
            raise Unsatisfiable
    else:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
    if start >= size:
        raise Unsatisfiable
    return start, end


@dataclass(frozen=True)
class Sending:
    """What part of a file goes out, and how: ``seconds`` spreads it over time, ``breaks_at`` cuts the line."""

    path: Path
    start: int
    end: int
    size: int
    partial: bool = False
    seconds: float = 0
    breaks_at: int | None = None

    @property
    def length(self) -> int:
        """Bytes that are announced."""
        return self.end - self.start + 1

    @property
    def headers(self) -> dict[str, str]:
        """Headers of a 200, or of a 206."""
        headers = {
            "Content-Length": str(self.length),
            "Accept-Ranges": "bytes",
            "ETag": f'"{self.path.stem}"',
        }
        if self.partial:
            headers["Content-Range"] = f"bytes {self.start}-{self.end}/{self.size}"
        return headers

    def pieces(self) -> Iterator[bytes]:
        """Yield what really goes out."""
        count = self.length if self.breaks_at is None else min(self.length, self.breaks_at)
        size = max(1, count // 100) if self.seconds else PIECE
        with self.path.open("rb") as file:
            file.seek(self.start)
            while count > 0 and (piece := file.read(min(size, count))):
                yield piece
                count -= len(piece)
                if self.seconds:
                    time.sleep(self.seconds / 100)
