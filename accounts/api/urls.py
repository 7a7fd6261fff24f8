from django.urls import path

from accounts.api import views

urlpatterns = [path("quota", views.OwnQuota.as_view(), name="api-quota")]
