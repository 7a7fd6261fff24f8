"""A site of one view, for a real server to run: serves the file that the environment names."""

from __future__ import annotations

import io
import os
import resource
from datetime import UTC, datetime
from pathlib import Path

import django
from django.conf import settings
from django.core.files import File
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import path

from kling_platform import ranges

WHEN = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)


class Far(io.RawIOBase):
    """Half a gigabyte somewhere else, without a descriptor, as a remote storage hands it out."""

    size = 512 * 1024 * 1024

    def __init__(self) -> None:
        self.at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset
        return offset

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= ranges.BLOCK, "only ever a block at a time"
        size = min(size, self.size - self.at)
        self.at += size
        return b"f" * size


class FarFile(File):
    def open(self, mode: str | None = None, *args: object, **kwargs: object) -> File:
        return self


def film(request: HttpRequest) -> HttpResponseBase:
    return ranges.serve(
        request, Path(os.environ["RANGES_FILE"]), content_type="video/mp4", etag="abc", last_modified=WHEN
    )


def far(request: HttpRequest) -> HttpResponseBase:
    remote = Far()
    file = FarFile(remote, name="far.mp4")
    file.size = remote.size
    return ranges.serve(request, file, content_type="video/mp4", etag="far")


def memory(request: HttpRequest) -> HttpResponse:
    """Peak memory of this process in KiB, and its open files."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return HttpResponse(f"{peak} {len(list(Path('/proc/self/fd').iterdir()))}")


urlpatterns = [path("film", film), path("far", far), path("memory", memory)]

if not settings.configured:
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of no use", MIDDLEWARE=[])
    django.setup()
application = get_wsgi_application()
