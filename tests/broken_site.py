"""The site, and a few addresses where it breaks: for tests of what every answer carries."""

from __future__ import annotations

from typing import NoReturn

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from django.urls import path
from rest_framework.request import Request

from kling_platform.api_views import ApiView
from kling_platform.urls import handler400, handler403, handler404, handler500
from kling_platform.urls import urlpatterns as site

__all__ = ["handler400", "handler403", "handler404", "handler500"]

ERRORS: dict[str, Exception] = {
    "bug": RuntimeError("a bug"),
    "away": OperationalError("the database system is shutting down"),
    "gone": InterfaceError("connection already closed"),
    "forbidden": PermissionDenied(),
    "suspicious": SuspiciousOperation("odd"),
}


def broken(request: HttpRequest, kind: str) -> NoReturn:
    raise ERRORS[kind]


class Broken(ApiView):
    authentication_classes = []
    permission_classes = []
    schema = None

    def get(self, request: Request, kind: str) -> NoReturn:
        raise ERRORS[kind]


urlpatterns = [path("broken/<kind>", broken), path("v1/broken/<kind>", Broken.as_view()), *site]
