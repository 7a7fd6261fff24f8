"""What every response carries, and what a person sees while the database is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from csp.utils import build_policy
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _

from kling_platform import origin
from kling_platform.api import error_body
from kling_platform.away import AWAY

GetResponse = Callable[[HttpRequest], HttpResponse]

PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in ("camera", "geolocation", "microphone", "payment", "usb", "interest-cohort")
)


def is_api(request: HttpRequest) -> bool:
    """Whether the caller is a program that speaks our wire."""
    return request.path == "/v1" or request.path.startswith("/v1/")


def headers_of_all() -> dict[str, str]:
    """What every answer carries, whoever gives it.

    Django's own middlewares send some of these too, but not where something before them answers; and
    django-csp's puts the policy together anew each time, which a program that polls would wait for.
    """
    return {
        "Content-Security-Policy": build_policy(),
        "Cross-Origin-Opener-Policy": settings.SECURE_CROSS_ORIGIN_OPENER_POLICY,
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": PERMISSIONS_POLICY,
        "Referrer-Policy": settings.SECURE_REFERRER_POLICY,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": settings.X_FRAME_OPTIONS,
    }


def security_headers(get_response: GetResponse) -> Callable[[HttpRequest], HttpResponse]:
    """Headers for every answer; those that belong to one person are never shared by a cache."""
    always = headers_of_all()

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        for name, value in always.items():
            response.setdefault(name, value)
        if not request.path.startswith("/" + settings.STATIC_URL.lstrip("/")):
            response.setdefault(
                "Cache-Control", "private, no-store" if is_api(request) else "private, no-cache"
            )
            patch_vary_headers(response, ["Authorization" if is_api(request) else "Cookie"])
        return response

    return middleware


def remember_address(get_response: GetResponse) -> Callable[[HttpRequest], HttpResponse]:
    """Notes where a request comes from, for the audit."""

    def middleware(request: HttpRequest) -> HttpResponse:
        remote = request.META.get("REMOTE_ADDR", "")
        forwarded = request.headers.get("X-Forwarded-For", "")
        with origin.coming_from(origin.sender(remote, forwarded, settings.PROXIES)):
            return get_response(request)

    return middleware


def programs_pass_by(get_response: GetResponse) -> Callable[[HttpRequest], HttpResponse]:
    """Calls of the API skip the middlewares that follow: sessions, forms and messages are for pages.

    Each of those keeps the next as ``get_response``, as Django's own do; the last one keeps what asks the views.
    """
    views: Any = get_response
    while hasattr(views, "get_response"):
        views = views.get_response

    def middleware(request: HttpRequest) -> HttpResponse:
        answer = views if is_api(request) else get_response
        return cast(HttpResponse, answer(request))

    return middleware


class database_away:
    """A lost database is a pause, not a bug: 503 and a time to come back, on pages and on the API."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            return self.get_response(request)
        except AWAY:
            return unavailable(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return unavailable(request) if isinstance(error, AWAY) else None


def unavailable(request: HttpRequest) -> HttpResponse:
    """503 with ``Retry-After``; says that nothing is lost."""
    message = _("The platform is restarting its database. Nothing is lost; try again in a few seconds.")
    response: HttpResponse
    if is_api(request):
        response = JsonResponse(error_body(503, "unavailable", message), status=503)
    else:
        response = render(request, "503.html", {"message": message}, status=503)
    response["Retry-After"] = "5"
    return response
