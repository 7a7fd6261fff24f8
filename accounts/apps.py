from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("people and quotas")

    def ready(self) -> None:
        from accounts import triggers

        # SQLite rebuilds a table for many schema changes and drops its triggers without a word,
        # so they are put back after every migration.
        post_migrate.connect(triggers.install, sender=self)
