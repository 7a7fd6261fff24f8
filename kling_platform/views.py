"""Pages that belong to no app: errors, in the words of the caller's door."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.utils.translation import gettext as _

from kling_platform.api import error_body
from kling_platform.middleware import is_api


def favicon(request: HttpRequest) -> HttpResponse:
    """Browsers ask here whatever the page says."""
    return redirect(static("img/favicon.svg"), permanent=True)


def _error(request: HttpRequest, status: int, code: str, message: str) -> HttpResponse:
    if is_api(request):
        return JsonResponse(error_body(status, code, message), status=status)
    return render(request, f"{status}.html", {"message": message}, status=status)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """400: something that no form of ours sends."""
    return _error(request, 400, "bad_request", _("The request could not be read. Nothing was changed."))


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403."""
    return _error(request, 403, "forbidden", _("This is not open to you. Nothing was changed."))


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404: not there, or somebody else's; both look the same."""
    return _error(request, 404, "not_found", _("There is nothing here, or it is not yours."))


def server_error(request: HttpRequest) -> HttpResponse:
    """500: our fault, and we say so."""
    return _error(
        request, 500, "server_error", _("Something broke on our side. It was written down; please try again.")
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form that was open for too long, or was sent from elsewhere."""
    message = _("This form has expired. Go back, reload the page and send it again; nothing was changed.")
    return render(request, "403_csrf.html", {"message": message}, status=403)
