"""The catalogue as admins have changed it: each change is a whole new version, with the time it begins. No I/O."""

from __future__ import annotations

from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class CatalogueVersionQuerySet(models.QuerySet["CatalogueVersion"]):
    def begun(self) -> Self:
        """Those whose time has come, the one in force first."""
        return self.filter(effective_from__lte=Now()).order_by("-effective_from", "-pk")

    def planned(self) -> Self:
        """Those that are still to come, the next one first."""
        return self.filter(effective_from__gt=Now()).order_by("effective_from", "pk")


class CatalogueVersion(models.Model):
    """All models, rules and prices from ``effective_from`` on, as data (see ``catalogue.from_data``).

    A version that has begun never changes: generations name it beside the price that they froze.
    """

    version = models.CharField(_("version"), max_length=20, unique=True)
    rules = models.JSONField(_("rules"))
    effective_from = models.DateTimeField(_("in force from"))
    note = models.CharField(_("note"), max_length=200, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(_("made"), default=timezone.now, editable=False)

    objects: ClassVar[models.Manager[CatalogueVersion]] = CatalogueVersionQuerySet.as_manager()

    class Meta:
        verbose_name = _("version of the catalogue")
        verbose_name_plural = _("versions of the catalogue")
        indexes = [models.Index(fields=["-effective_from", "-id"], name="generations_catalogue_begun")]

    def __str__(self) -> str:
        return self.version
