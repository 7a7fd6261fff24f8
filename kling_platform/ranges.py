"""Files with HTTP ranges (RFC 9110 §14): without them a browser can play a video, but not seek in it."""

from __future__ import annotations

import re
from typing import BinaryIO, cast

from django.core.files import File
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotModified

_ONE_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


class _Slice:
    """The next ``length`` bytes of an open file, from where it stands.

    ``fileno`` lets the web server send them with sendfile, which never copies them into Python.
    """

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file, self._left = file, length
        self.fileno = file.fileno

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._file.close()


def serve(
    request: HttpRequest, stored: File, *, content_type: str, etag: str, attachment: str = ""
) -> HttpResponseBase:
    """Answer GET or HEAD with a stored file: 200, 206, 304 or 416.

    ``etag`` is unquoted and must change with the bytes. ``attachment`` is the name to save it under; empty
    means that it is shown in place. Several ranges at once are answered with the whole, as the RFC allows.
    """
    tag, size = f'"{etag}"', stored.size
    headers = {"ETag": tag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    if tag in [
        seen.strip().removeprefix("W/") for seen in request.headers.get("If-None-Match", "").split(",")
    ]:
        return HttpResponseNotModified(headers=headers)
    span = _span(request, tag, size)
    if span is None:
        return HttpResponse(status=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    first, last = span
    partial = (first, last) != (0, size - 1)
    headers["Content-Length"] = str(last - first + 1)
    if partial:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    status = 206 if partial else 200
    if request.method == "HEAD":
        return HttpResponse(status=status, content_type=content_type, headers=headers)
    file = cast(BinaryIO, stored.open("rb").file)
    file.seek(first)
    return FileResponse(
        _Slice(file, last - first + 1),
        status=status,
        content_type=content_type,
        headers=headers,
        as_attachment=bool(attachment),
        filename=attachment,
    )


def _span(request: HttpRequest, tag: str, size: int) -> tuple[int, int] | None:
    """First and last byte to send, both included; None where the range lies outside the file."""
    whole = 0, size - 1
    found = _ONE_RANGE.fullmatch(request.headers.get("Range", "").replace(" ", ""))
    if not found or found[0] == "bytes=-" or request.headers.get("If-Range", tag) != tag:
        return whole
    if not found[1]:
        wanted = int(found[2])
        return (max(0, size - wanted), size - 1) if wanted else None
    first = int(found[1])
    last = min(int(found[2]), size - 1) if found[2] else size - 1
    if found[2] and int(found[2]) < first:
        return whole  # not a range at all, so it is as if it were not there
    return (first, last) if first < size else None
