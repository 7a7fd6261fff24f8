"""What all of ``/v1`` shares: error rendering and the bounded JSON parser. ``api_views`` has the view itself.

REST framework's settings name this module, so it must not import ``rest_framework.views``, which reads them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from kling_platform.away import AWAY
from kling_platform.errors import InvalidValue, PlatformError
from kling_platform.text import InvalidJSON, check_text, read_json

TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
# The refusals that the same request may not meet a little later.
CURED_BY_TIME = (408, 425, 429)
CHUNK = 64 * 1024
# A client that sends before it listens hears its 413 only when its whole body was taken; this much of it is.
DRAINED_BYTES = 128 * 1024 * 1024
MOST_PARAM = 120


class TooLarge(PlatformError):
    """The body is over the limit (413)."""

    code = "body_too_large"
    status = 413


class AlwaysJSON(BaseContentNegotiation):
    """Whatever ``Accept`` says the answer is JSON: real clients ask for ``application/binary`` and mean us."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == kind), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type or "application/json"


class BoundedJSONParser(BaseParser):
    """A JSON object of bounded size and depth, without NaN, NUL and lone surrogates."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        value = read_json(_text(stream, parser_context["request"]))
        if not isinstance(value, dict):
            raise InvalidJSON(_("The body must be a JSON object."))
        return value


class BoundedCSVParser(BaseParser):
    """A table as text of bounded size. Only views that know what to do with it name this parser."""

    media_type = "text/csv"

    def parse(  # type: ignore[override] # REST framework hands on whatever it is
        self, stream: Any, media_type: str | None = None, parser_context: Any = None
    ) -> str:
        return check_text(_text(stream, parser_context["request"]).removeprefix("\ufeff"), param=None)


def _text(stream: Any, request: Request) -> str:
    """The whole body as text."""
    try:
        return read_body(stream, request).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidJSON(_("The body is not UTF-8.")) from error


def read_body(stream: Any, request: Request) -> bytes:
    """The whole body, or the 413 that names the limit; ``InvalidValue`` where it broke off."""
    try:
        body = stream.read(settings.MAX_BODY_BYTES + 1)
        drained = len(body) if len(body) > settings.MAX_BODY_BYTES else 0
        while 0 < drained < DRAINED_BYTES and (more := stream.read(CHUNK)):
            drained += len(more)
    except Exception as error:  # a line that breaks, or chunks that are none: each server has its own kinds
        raise broken_off() from error
    if drained:
        raise _too_large()
    announced = request.META.get("CONTENT_LENGTH") or "0"
    if announced.isdigit() and len(body) < int(announced):
        raise broken_off()
    return body


def broken_off() -> InvalidValue:
    return InvalidValue(_("The body broke off before its end, so nothing was made. Send it again."))


def _too_large() -> TooLarge:
    return TooLarge(
        _(
            "The request is larger than %(most)d MB; nothing was made, nothing was charged. Send smaller pictures."
        )
        % {"most": settings.MAX_BODY_BYTES // 1024 // 1024}
    )


def error_body(status: int, code: str, message: object, param: str | None = None) -> dict[str, Any]:
    """The one shape of a refusal on the wire; ``message`` may be a lazy translation."""
    error = {"message": message, "type": kind(status), "code": code, "param": param and param[:MOST_PARAM]}
    return {"error": error}


def kind(status: int) -> str:
    """The ``type`` of an error of this status."""
    return TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")


def render_error(error: Exception, context: dict[str, Any]) -> Response | None:
    """Every refusal in the one shape ``{"error": {message, type, code, param}}``; None lets a bug be a bug."""
    refusal = _as_platform_error(error)
    if refusal is None:
        return None
    status = refusal.status
    body = error_body(status, refusal.code, str(refusal), refusal.param)
    headers = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if 400 <= status < 500 and status not in CURED_BY_TIME:
        headers["X-Should-Retry"] = "false"  # OpenAI's clients would try a 409 twice more
    return Response(body, status=status, headers=headers)


def _as_platform_error(error: Exception) -> PlatformError | None:
    if isinstance(error, PlatformError):
        return error
    if isinstance(error, Http404):
        return _plain(404, "not_found", _("There is nothing here, or it is not yours."))
    if isinstance(error, PermissionDenied):
        return _plain(403, "forbidden", _("This is not open to you."))
    if isinstance(error, AWAY):
        message = _("The platform is restarting its database. Nothing is lost; try again in a few seconds.")
        return _plain(503, "unavailable", message, retry_after=5)
    if isinstance(error, exceptions.APIException):
        return _from_rest_framework(error)
    return None


def _from_rest_framework(error: exceptions.APIException) -> PlatformError:
    if isinstance(error, exceptions.NotAuthenticated):
        return _plain(401, "no_api_key", _("Send your API key: Authorization: Bearer klp_…"))
    if isinstance(error, exceptions.AuthenticationFailed):
        return _plain(401, "invalid_api_key", str(error.detail))
    if isinstance(error, exceptions.UnsupportedMediaType):
        return _plain(
            415,
            "unsupported_media_type",
            _("Send the body as JSON, with the header Content-Type: application/json."),
        )
    return _plain(error.status_code, str(error.default_code), str(error.detail))


def _plain(status: int, code: str, message: str, retry_after: int | None = None) -> PlatformError:
    refusal = PlatformError(message, retry_after=retry_after)
    refusal.status, refusal.code = status, code  # type: ignore[misc]
    return refusal
