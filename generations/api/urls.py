from django.urls import path, re_path

from generations.api import batches, sharing, videos, views, webhooks
from kling_platform.api_views import Nowhere

urlpatterns = [
    path("video/generations", views.Generations.as_view(), name="api-generations"),
    path("video/generations/export", views.Export.as_view(), name="api-export"),
    path("video/generations/<uuid:generation_id>", views.OneGeneration.as_view(), name="api-generation"),
    path("video/generations/<uuid:generation_id>/cancel", views.Cancel.as_view(), name="api-cancel"),
    path("video/generations/<uuid:generation_id>/retry", views.Retry.as_view(), name="api-retry"),
    path("video/generations/<uuid:generation_id>/content", views.Content.as_view(), name="api-content"),
    path("video/generations/<uuid:generation_id>/links", sharing.Links.as_view()),
    path("video/generations/<uuid:generation_id>/links/<uuid:link_id>", sharing.OneLink.as_view()),
    path("videos", videos.Videos.as_view(), name="api-videos"),
    path("videos/<uuid:video_id>", videos.OneVideo.as_view(), name="api-video"),
    path("videos/<uuid:video_id>/content", videos.VideoContent.as_view(), name="api-video-content"),
    path("batches", batches.Batches.as_view()),
    path("batches/<uuid:batch_id>", batches.OneBatch.as_view()),
    path("batches/<uuid:batch_id>/cancel", batches.CancelBatch.as_view()),
    path("batches/<uuid:batch_id>/resume", batches.ResumeBatch.as_view()),
    path("models", views.Models.as_view(), name="api-models"),
    path("webhooks", webhooks.Webhooks.as_view()),
    path("webhooks/<uuid:webhook_id>", webhooks.OneWebhook.as_view()),
    path("webhooks/<uuid:webhook_id>/rotate", webhooks.Rotate.as_view()),
    path("webhooks/<uuid:webhook_id>/test", webhooks.Test.as_view()),
    path("webhooks/<uuid:webhook_id>/replay", webhooks.ReplayFailed.as_view()),
    path("webhooks/<uuid:webhook_id>/deliveries", webhooks.Deliveries.as_view()),
    path("webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>", webhooks.OneDelivery.as_view()),
    path("webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>/replay", webhooks.Replay.as_view()),
    # The last of all addresses below /v1/: a program gets its 404 as JSON.
    re_path("", Nowhere.as_view()),
]
