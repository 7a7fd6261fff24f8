"""What the documents say of the two addresses of files: the statuses, and what is said about ranges and copies."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from kling_platform.documents import refused

WITH_FILE, ABOUT_FILE = [200, 206, 416], [200, 206, 304, 416]


def responses(about: Any, *kinds: str, also: tuple[int, ...] = ()) -> dict[Any, Any]:
    """The file of one of these content types or a part of it, what a copy at hand makes of it, and the refusals."""
    whole = OpenApiResponse(OpenApiTypes.BINARY, description=about)
    part = OpenApiResponse(OpenApiTypes.BINARY, description=_("The part that Range names."))
    return {
        **refused(404, 409, *also),
        **{(200, kind): whole for kind in kinds},
        **{(206, kind): part for kind in kinds},
        304: OpenApiResponse(
            description=_("You have it already: If-None-Match or If-Modified-Since says so.")
        ),
        412: OpenApiResponse(description=_("It is not the file that If-Match or If-Unmodified-Since means.")),
        416: OpenApiResponse(description=_("Range lies outside the file.")),
    }


def _asked(name: str, about: Any) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, description=about)


def _said(name: str, about: Any, statuses: list[int], kind: Any = str) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, response=statuses, description=about)


PARAMETERS = [
    _asked("Range", _("A part of it: bytes=0-1023, bytes=1024-, bytes=-500. Of several, none is heard.")),
    _asked(
        "If-Range", _("With Range: an ETag or Last-Modified. Is the file another by now, it is sent whole.")
    ),
    _asked("If-None-Match", _("An ETag: 304 while it is the same file.")),
    _asked("If-Modified-Since", _("A Last-Modified: 304 while it is the same file.")),
    _asked("If-Match", _("An ETag: 412 once it is another file.")),
    _asked("If-Unmodified-Since", _("A Last-Modified: 412 once it is another file.")),
    _said("ETag", _("The file's checksum: it changes when a byte does."), ABOUT_FILE),
    _said("Last-Modified", _("When it was stored."), ABOUT_FILE),
    _said("Accept-Ranges", _("bytes: parts can be asked for."), WITH_FILE),
    _said("Content-Range", _("Which bytes these are, and of how many: bytes 0-1023/84211"), [206, 416]),
    _said("Content-Disposition", _("The name to save it under."), WITH_FILE),
]
