from django.urls import include, path

from generations import (
    composer_views,
    key_views,
    library_views,
    link_views,
    news_views,
    share_views,
    views,
    webhook_views,
)

urlpatterns = [
    path("", include("generations.again_urls")),
    path("", library_views.library, name="library"),
    path("many", library_views.many, name="many"),
    path("many/undelete", library_views.undelete_many, name="undelete_many"),
    path("many/download", library_views.download, name="download_many"),
    path(
        "collections/<uuid:collection_id>/rename", library_views.rename_collection, name="rename_collection"
    ),
    path(
        "collections/<uuid:collection_id>/remove", library_views.remove_collection, name="remove_collection"
    ),
    path("new", views.new, name="new"),
    path("new/eta", composer_views.eta, name="eta"),
    path("new/pictures", composer_views.pictures, name="pictures"),
    path("new/presets", composer_views.save_preset, name="save_preset"),
    path("new/presets/<uuid:preset_id>/remove", composer_views.remove_preset, name="remove_preset"),
    path("progress", views.progress, name="progress"),
    path("inbox/news", news_views.news, name="news"),
    path("inbox/seen", news_views.seen, name="news_seen"),
    path("g/<uuid:generation_id>", views.detail, name="detail"),
    path("g/<uuid:generation_id>/content", views.content, name="content"),
    path("g/<uuid:generation_id>/poster", views.poster, name="poster"),
    path("g/<uuid:generation_id>/frames/<int:position>", views.frame, name="frame"),
    path("g/<uuid:generation_id>/favourite", library_views.favourite, name="favourite"),
    path("g/<uuid:generation_id>/cancel", views.cancel, name="cancel"),
    path("g/<uuid:generation_id>/retry", views.retry, name="retry"),
    path("g/<uuid:generation_id>/share", share_views.share, name="share"),
    path("g/<uuid:generation_id>/unshare", share_views.unshare, name="unshare"),
    path("g/<uuid:generation_id>/links", link_views.make, name="make_link"),
    path("links", link_views.links, name="links"),
    path("links/<uuid:link_id>/revoke", link_views.revoke, name="revoke_link"),
    path("s/<str:token>", link_views.shown, name="shown"),
    path("s/<str:token>/video", link_views.shown_video, name="shown_video"),
    path("s/<str:token>/poster", link_views.shown_poster, name="shown_poster"),
    path("robots.txt", link_views.robots),
    path("g/<uuid:generation_id>/delete", views.delete, name="delete"),
    path("g/<uuid:generation_id>/undelete", views.undelete, name="undelete"),
    path("account/keys/new", key_views.new_key, name="new_key"),
    path("account/keys/<int:key_id>", key_views.key, name="key"),
    path("account/keys/<int:key_id>/rotate", key_views.rotate, name="rotate_key"),
    path("account/keys/<int:key_id>/end-old", key_views.end_old, name="end_old_key"),
    path("account/keys/<int:key_id>/revoke", key_views.revoke, name="revoke_key"),
    path("account/webhooks", webhook_views.webhooks, name="webhooks"),
    path("account/webhooks/<uuid:webhook_id>", webhook_views.webhook, name="webhook"),
    path("account/webhooks/<uuid:webhook_id>/rotate", webhook_views.rotate, name="webhook_rotate"),
    path("account/webhooks/<uuid:webhook_id>/test", webhook_views.test, name="webhook_test"),
    path("account/webhooks/<uuid:webhook_id>/pause", webhook_views.pause, name="webhook_pause"),
    path("account/webhooks/<uuid:webhook_id>/resume", webhook_views.resume, name="webhook_resume"),
    path("account/webhooks/<uuid:webhook_id>/remove", webhook_views.remove, name="webhook_remove"),
    path(
        "account/webhooks/<uuid:webhook_id>/replay", webhook_views.replay_failed, name="webhook_replay_failed"
    ),
    path(
        "account/webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>/replay",
        webhook_views.replay,
        name="webhook_replay",
    ),
]
