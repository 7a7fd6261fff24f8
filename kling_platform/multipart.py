"""A form as OpenAI's clients send it: of bounded size, with names that say where in an object a part belongs."""

from __future__ import annotations

import io
import re
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.translation import gettext as _
from rest_framework.parsers import BaseParser

from kling_platform.api import broken_off, read_body
from kling_platform.errors import InvalidValue
from kling_platform.text import check_text

MOST_PARTS = 64
# field, field[], field[key], field[key][], …
_NAME = re.compile(r"[a-z_]{1,60}(\[[A-Za-z_]{1,60}\]){0,3}(\[\])?")
_FILE_NAME = re.compile(r"[a-z_]{1,60}(\[\])?")


class InvalidForm(InvalidValue):
    """No form, or one whose parts have names that fit no object (400)."""

    code = "invalid_form"


class BoundedMultipartParser(BaseParser):
    """An object of the parts: ``metadata[sound]`` becomes an object, ``images[]`` a list, a file its bytes."""

    media_type = "multipart/form-data"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        request = parser_context["request"]
        body = read_body(stream, request)
        if not body.rstrip().endswith(b"--"):
            raise broken_off()
        made: dict[str, Any] = {}
        for name, value in _parts(body, request.META.get("CONTENT_TYPE", "")):
            _put(made, name, value)
        return made


class _InMemory(FileUploadHandler):
    """Keeps a file's bytes: the whole body is in memory already, and bounded."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._bytes = io.BytesIO()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._bytes.write(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile:
        return UploadedFile(self._bytes, name=self.file_name, size=file_size)


def _parts(body: bytes, content_type: str) -> list[tuple[str, str | bytes]]:
    """Names and values in order; a text, or the bytes of a file. Django's own parser does the reading."""
    meta = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body))}
    try:
        # As latin-1, so that no byte is lost and the text can be refused where it is not UTF-8.
        fields, files = MultiPartParser(meta, io.BytesIO(body), [_InMemory()], "latin-1").parse()
    except (MultiPartParserError, SuspiciousOperation) as error:
        raise InvalidForm(_("This is not a valid form (multipart/form-data).")) from error
    parts: list[tuple[str, str | bytes]] = []
    for name, texts in fields.lists():
        parts += [(_text(name), _text(text, param=_text(name))) for text in texts]
    for name, uploads in files.lists():
        parts += [(_text(name), upload.file.getvalue()) for upload in uploads]
    if len(parts) > MOST_PARTS:
        raise InvalidForm(
            _("The form has %(count)d parts; %(most)d is the most.")
            % {"count": len(parts), "most": MOST_PARTS}
        )
    return parts


def _text(latin: str, *, param: str | None = None) -> str:
    try:
        text = latin.encode("latin-1").decode("utf-8")
    except UnicodeError as error:
        raise InvalidForm(_("The form is not UTF-8."), param=param) from error
    return check_text(text, param=param)


def _put(made: dict[str, Any], name: str, value: str | bytes) -> None:
    """Put a part where its name says; ``InvalidForm`` for a name of another form, or a place that is taken."""
    fits = _FILE_NAME if isinstance(value, bytes) else _NAME
    if not fits.fullmatch(name):
        raise InvalidForm(_("No part may be named “%(name)s” here.") % {"name": name[:60]}, param=name[:60])
    listed = name.endswith("[]")
    field, *keys = name.removesuffix("[]").replace("]", "").split("[")
    place: Any = made
    for outer, inner in zip([field, *keys], keys, strict=False):
        place = place.setdefault(outer, {})
        if not isinstance(place, dict):
            raise _taken(name)
        field = inner
    if listed:
        values = place.setdefault(field, [])
        if not isinstance(values, list):
            raise _taken(name)
        values.append(value)
    elif field in place:
        raise _taken(name)
    else:
        place[field] = value


def _taken(name: str) -> InvalidForm:
    return InvalidForm(_("The form says “%(name)s” twice.") % {"name": name[:60]}, param=name[:60])
