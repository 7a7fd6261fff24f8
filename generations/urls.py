from django.urls import path

from generations import views

urlpatterns = [
    path("", views.library, name="library"),
    path("new", views.new, name="new"),
    path("progress", views.progress, name="progress"),
    path("g/<uuid:generation_id>", views.detail, name="detail"),
    path("g/<uuid:generation_id>/content", views.content, name="content"),
    path("g/<uuid:generation_id>/poster", views.poster, name="poster"),
    path("g/<uuid:generation_id>/frames/<int:position>", views.frame, name="frame"),
    path("g/<uuid:generation_id>/cancel", views.cancel, name="cancel"),
    path("g/<uuid:generation_id>/retry", views.retry, name="retry"),
    path("g/<uuid:generation_id>/delete", views.delete, name="delete"),
    path("g/<uuid:generation_id>/undelete", views.undelete, name="undelete"),
]
