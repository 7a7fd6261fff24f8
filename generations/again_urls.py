"""Pages for doing it again: variations, the wall, going on, storyboards, the matrix."""

from django.urls import path

from generations import again_views, matrix_views, storyboard_views

urlpatterns = [
    path("g/<uuid:generation_id>/vary", again_views.vary, name="vary"),
    path("g/<uuid:generation_id>/models", again_views.on_models, name="on_models"),
    path("g/<uuid:generation_id>/continue", again_views.go_on, name="go_on"),
    path("g/<uuid:generation_id>/last-frame", again_views.last_frame, name="last_frame"),
    path("compare", again_views.compare, name="compare"),
    path("matrix", matrix_views.new, name="matrix_new"),
    path("matrix/<uuid:batch_id>", matrix_views.result, name="matrix"),
    path("matrix/<uuid:batch_id>/cancel", matrix_views.cancel, name="matrix_cancel"),
    path("storyboards", storyboard_views.storyboards, name="storyboards"),
    path("storyboards/new", storyboard_views.new, name="storyboard_new"),
    path("storyboards/<uuid:storyboard_id>", storyboard_views.storyboard, name="storyboard"),
    path("storyboards/<uuid:storyboard_id>/start", storyboard_views.start, name="storyboard_start"),
    path("storyboards/<uuid:storyboard_id>/stop", storyboard_views.stop, name="storyboard_stop"),
    path("storyboards/<uuid:storyboard_id>/delete", storyboard_views.delete, name="storyboard_delete"),
    path("storyboards/<uuid:storyboard_id>/film", storyboard_views.film, name="storyboard_film"),
    path(
        "storyboards/<uuid:storyboard_id>/shots/<int:position>",
        storyboard_views.change,
        name="storyboard_change",
    ),
]
