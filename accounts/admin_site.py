"""The admin site: for admins alone, signed in to through the same form and count as the portal.

Imported while the apps are being loaded (``AdminConfig`` stands in INSTALLED_APPS): models only inside functions.
"""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

# Groups would be a second answer to "who may what", which is the role's to give. Of the queue an operator
# needs what waits and what failed; schedules are made by code, and one bad row of theirs stops them all.
NOT_SHOWN = ("auth.Group", "django_q.Schedule", "django_q.Success")


class PlatformAdminSite(AdminSite):
    """Stock Django admin under our name, colours and door."""

    site_header = _("Kling platform · operations")
    site_title = _("Kling platform")
    index_title = _("Operations")

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        several = isinstance(model_or_iterable, list | tuple | set)
        models: list[type[Model]] = list(model_or_iterable) if several else [model_or_iterable]
        shown = [model for model in models if model._meta.label not in NOT_SHOWN]
        super().register(shown, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and getattr(request.user, "role", "") == "admin"

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Over the limit of tries the form comes with 429 and the seconds to wait."""
        from accounts.signin import AdminSignInForm

        self.login_form = AdminSignInForm
        response = super().login(request, extra_context)
        form = (getattr(response, "context_data", None) or {}).get("form")
        if form is not None and form.retry_after is not None:
            response.status_code = 429
            response["Retry-After"] = str(form.retry_after)
        return response


class AdminConfig(DjangoAdminConfig):
    """Stands in INSTALLED_APPS for ``django.contrib.admin``."""

    default_site = "accounts.admin_site.PlatformAdminSite"
