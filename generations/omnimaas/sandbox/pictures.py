"""Pictures that come with a request: base64 is decoded and checked at once, an address is fetched when filming."""

from __future__ import annotations

import base64
import binascii
import contextlib
import http.client
import io
import logging
import re
import socket
import threading
import time
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urljoin, urlsplit

from PIL import Image, ImageOps

log = logging.getLogger(__name__)
MOST_BYTES = 10 * 1024 * 1024
FETCH_SECONDS = 5.0
_MOST_PIXELS = 64_000_000
_LEAST_SIDE = 300
_WIDEST = 2.5
_MOST_REDIRECTS = 3
_DATA_URI = re.compile(r"data:image/[a-z+.-]+;base64,", re.IGNORECASE)


class BadPicture(ValueError):
    """The sentence says what is wrong with the picture."""


@dataclass(frozen=True)
class Picture:
    """A picture as it was sent: an address, or a checked JPEG or PNG.

    ``data`` is there only while the request is; afterwards the store has the bytes, by their ``sha256``.
    """

    url: str = ""
    sha256: str = ""
    size: int = 0  # bytes
    data: bytes = b""


def read(text: object) -> Picture:
    """Read one entry of ``images``: an http(s) address, raw base64, or a data URI. Raises :class:`BadPicture`."""
    if not isinstance(text, str) or not text:
        raise BadPicture("must be a URL or base64 text")
    if re.match(r"https?://", text, re.IGNORECASE):
        return Picture(url=_checked_url(text))
    encoded = _DATA_URI.sub("", text, count=1) if text[:5].lower() == "data:" else text
    if len(encoded) > MOST_BYTES * 4 // 3 + 8:
        raise BadPicture("is larger than 10 MB")
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise BadPicture("is neither a URL nor valid base64") from None
    opened(data)
    return Picture(sha256=sha256(data).hexdigest(), size=len(data), data=data)


def _checked_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise BadPicture("is not a valid URL") from None
    if not parts.hostname or len(text) > 4096 or not text.isascii() or re.search(r"[\x00-\x20\x7f]", text):
        raise BadPicture("is not a valid URL")
    return text


def opened(data: bytes) -> Image.Image:
    """Decode ``data`` by Kling's rules: JPEG or PNG, ≤ 10 MB, sides ≥ 300 px, ratio up to 2.5:1 either way."""
    if len(data) > MOST_BYTES:
        raise BadPicture("is larger than 10 MB")
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
        if image.width * image.height > _MOST_PIXELS:
            raise BadPicture("has too many pixels")
        image.load()
    except BadPicture:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadPicture("has too many pixels") from None
    except (OSError, ValueError, SyntaxError):
        raise BadPicture("is no readable JPEG or PNG") from None
    image = ImageOps.exif_transpose(image).convert("RGB")
    if min(image.size) < _LEAST_SIDE:
        raise BadPicture(f"is smaller than {_LEAST_SIDE} px on one side")
    if max(image.size) > min(image.size) * _WIDEST:
        raise BadPicture("has a ratio outside of 1:2.5 to 2.5:1")
    return image


def fetch(url: str, seconds: float = FETCH_SECONDS) -> Image.Image | None:
    """Fetch a picture from its address, within ``seconds`` and 10 MB in all; None if there is none to be had.

    No proxy, no cookies, no credentials; up to three redirects, to http(s) only.
    """
    deadline = time.monotonic() + seconds
    try:
        for _ in range(_MOST_REDIRECTS + 1):
            answer = _get(url, deadline)
            if isinstance(answer, bytes):
                return opened(answer)
            url = _checked_url(urljoin(url, answer))
            if urlsplit(url).scheme.lower() not in ("http", "https"):
                break
    except (OSError, http.client.HTTPException, ValueError) as error:
        log.info("no picture from %s: %s", urlsplit(url).netloc, error)
    return None


def _get(url: str, deadline: float) -> bytes | str:
    """Return the body, or the address that a redirect names."""
    parts = urlsplit(url)
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no time left")
    kind = http.client.HTTPSConnection if parts.scheme.lower() == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=left)
    # A timeout of the socket is one per read, which a slow drip never meets: this cuts the line when time is up.
    # The line is held here too, because a connection forgets it once the answer says that it will be closed.
    held: list[socket.socket] = []
    cut = threading.Timer(left, lambda: _cut(connection.sock, *held))
    cut.daemon = True
    cut.start()
    try:
        connection.connect()
        held.append(connection.sock)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(
            "GET", target, headers={"Accept": "image/jpeg, image/png", "User-Agent": "sandbox"}
        )
        response = connection.getresponse()
        if response.status in (301, 302, 303, 307, 308):
            return response.getheader("Location") or ""
        if response.status != 200:
            raise OSError(f"HTTP {response.status}")
        data = response.read(MOST_BYTES + 1)
        if time.monotonic() >= deadline:
            raise TimeoutError("took too long")
        return data
    finally:
        cut.cancel()
        connection.close()


def _cut(*lines: socket.socket | None) -> None:
    for line in lines:
        if line is not None:
            with contextlib.suppress(OSError):  # closed already
                line.shutdown(socket.SHUT_RDWR)
