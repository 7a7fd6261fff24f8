"""The map of the site."""

from django.contrib import admin
from django.urls import include, path

from kling_platform import health, views

urlpatterns = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", health.metrics),
    path("v1/", include("accounts.api.urls")),
    path("v1/", include("generations.api.urls")),
    path("api/", include("kling_platform.documents")),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("manage/", include("accounts.manage.urls")),
    path("manage/", include("generations.manage.urls")),
    path("", include("accounts.urls")),
    path("", include("generations.urls")),
    path("favicon.ico", views.favicon),
]

handler400 = "kling_platform.views.bad_request"
handler403 = "kling_platform.views.permission_denied"
handler404 = "kling_platform.views.page_not_found"
handler500 = "kling_platform.views.server_error"
