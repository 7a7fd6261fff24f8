"""Serving a stored file so that a player can seek: whole, or one byte range of it (RFC 9110, section 14)."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from django.core.files import File
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header, http_date, parse_http_date_safe, quote_etag

BLOCK = 64 * 1024
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


def serve(
    request: HttpRequest,
    file: Path | File[Any],
    *,
    content_type: str,
    etag: str,
    filename: str = "",
    as_attachment: bool = False,
    last_modified: datetime | None = None,
) -> HttpResponseBase:
    """Answer GET and HEAD for ``file``: 200, 206, 304, 412 or 416; Http404 where the file itself is gone.

    ``etag`` is a checksum of the content, unquoted. Several ranges at once, or one that makes no sense, get
    the whole file, as the standard allows. The body is never held in memory: a server takes it by sendfile
    where the storage has a real file, and in blocks of 64 KB elsewhere.
    """
    try:
        size = file.stat().st_size if isinstance(file, Path) else file.size
    except FileNotFoundError as error:
        raise Http404 from error
    etag, modified = quote_etag(etag), int(last_modified.timestamp()) if last_modified else None
    headers = {"Accept-Ranges": "bytes", "ETag": etag}
    if modified is not None:
        headers["Last-Modified"] = http_date(modified)
    if disposition := content_disposition_header(as_attachment, filename):
        headers["Content-Disposition"] = disposition

    plain = HttpResponse(content_type=content_type, headers=headers)
    conditional = get_conditional_response(request, etag, modified, plain)
    if conditional is not None and conditional is not plain:
        return conditional
    if request.method == "HEAD":  # a range is defined for GET alone
        plain["Content-Length"] = str(size)
        return plain
    asked = request.headers.get("Range", "") if _still_the_same(request, etag, modified) else ""
    span = _span(asked, size)
    if span is None:
        return _send(file, 0, size, status=200, content_type=content_type, headers=headers)
    start, length = span
    if not length:
        headers["Content-Range"] = f"bytes */{size}"
        return HttpResponse(status=416, content_type=content_type, headers=headers)
    headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
    return _send(file, start, length, status=206, content_type=content_type, headers=headers)


def _still_the_same(request: HttpRequest, etag: str, modified: int | None) -> bool:
    """If-Range: a range continues what the client already has, so it must be of the same content."""
    known = request.headers.get("If-Range")
    return (
        known is None or known == etag or (modified is not None and parse_http_date_safe(known) == modified)
    )


def _span(asked: str, size: int) -> tuple[int, int] | None:
    """Start and length of the range asked for; length 0 if nothing of it exists, None to send everything."""
    found = _RANGE.fullmatch(asked.strip())
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:  # the last so many bytes
        length = min(int(last), size)
        return size - length, length
    start = int(first)
    if last and int(last) < start:
        return None
    end = min(int(last), size - 1) if last else size - 1
    return start, max(0, end - start + 1)


def _send(
    file: Path | File[Any],
    start: int,
    length: int,
    *,
    status: int,
    content_type: str,
    headers: dict[str, str],
) -> FileResponse:
    try:
        opened: IO[bytes] | File[Any] = file.open("rb")
    except FileNotFoundError as error:
        raise Http404 from error
    response = FileResponse(
        Window(opened, start, length), status=status, content_type=content_type, headers=headers
    )
    response["Content-Length"] = str(length)
    response.block_size = BLOCK
    return response


class Window:
    """A part of an open file, for a WSGI server: reads no byte before or behind it, and closes the file.

    It has neither ``seek`` nor ``tell``, or FileResponse would measure the file behind it.
    """

    def __init__(self, file: IO[bytes] | File[Any], start: int, length: int) -> None:
        self._file, self._at, self._left = file, start, length
        file.seek(start)

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes of what is left of the window."""
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._at += len(data)
        self._left -= len(data)
        return data

    def fileno(self) -> int:
        """The descriptor, standing where the window does: sendfile begins at its position, not at Python's.

        Raises AttributeError or UnsupportedOperation where there is none; servers then read instead.
        """
        descriptor = self._file.fileno()
        os.lseek(descriptor, self._at, os.SEEK_SET)
        return descriptor

    def close(self) -> None:
        self._file.close()
