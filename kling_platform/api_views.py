"""The view that all of ``/v1`` is made of: keys with scopes, JSON in and out, only the methods that it has."""

from __future__ import annotations

from typing import Any, NoReturn

from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from kling_platform.errors import Forbidden, NotFound

READING = ("GET", "HEAD")


class MissingScope(Forbidden):
    """The key is good, but not for this (403)."""

    code = "missing_scope"


class KeyWithScope(BasePermission):
    """A key with the view's scope; where it names none, ``read`` for GET and HEAD, ``create`` for all else."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.auth is None:
            return False
        key: Any = request.auth  # an accounts.models.ApiKey
        needed = view.scope or ("read" if request.method in READING else "create")
        if request.method in view.allowed_methods and not key.may(needed):
            raise MissingScope(
                _(
                    "This key lacks the scope “%(scope)s”, so nothing was done. "
                    "Make a key that has it on your account page."
                )
                % {"scope": needed}
            )
        return True


class ApiView(APIView):
    """Refuses what has no key, not the scope, no such method, or comes too often.

    ``makes``: whether its POST may make something that costs, and so counts as a creating call.
    """

    permission_classes = [KeyWithScope]
    http_method_names = ["get", "head", "post"]
    scope = ""
    makes = True

    def creates(self, request: Request) -> bool:
        """Whether this is a creating call, which is counted exactly."""
        return self.makes and not self.scope and request.method == "POST"

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        wrapped = super().initialize_request(request, *args, **kwargs)
        # Django takes a body without Content-Length for none at all; a server that has decoded the chunks
        # says that its stream ends by itself.
        chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
        if chunked and request.META.get("wsgi.input_terminated"):
            wrapped._stream = request.META["wsgi.input"]
        return wrapped

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        for name, value in getattr(request, "rate_headers", {}).items():
            response[name] = value
        return response


class Nowhere(ApiView):
    """Every path below ``/v1/`` that is none, a trailing slash included: 404 in the words of the wire."""

    authentication_classes = []
    permission_classes = []
    schema = None

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {}  # no Allow: there is nothing here that could allow

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotFound(
            _("There is nothing at this address. All of them stand in /api/docs, and none ends in a slash.")
        )
