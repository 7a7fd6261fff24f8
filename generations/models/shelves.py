"""How a person keeps order: favourites, collections, and own words for prompts. No I/O."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

SHELF_NAME_LENGTH = 60


class Favourite(models.Model):
    """A video that this person likes; a shared one may be liked by many."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="favourites")
    generation = models.ForeignKey("generations.Generation", models.CASCADE, related_name="favourites")

    class Meta:
        verbose_name = _("favourite")
        verbose_name_plural = _("favourites")
        constraints = [
            models.UniqueConstraint(fields=["user", "generation"], name="generations_favourite_once")
        ]

    def __str__(self) -> str:
        return f"{self.user_id} likes {self.generation_id}"


class CollectionQuerySet(models.QuerySet["Collection"]):
    def owned_by(self, user: Any) -> Self:
        """Its owner's: what a person calls their piles is nobody else's business, admins' included."""
        return self.filter(user=user)


class Collection(models.Model):
    """A named pile of videos. A video may lie in several, and deleting the pile deletes no video."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="collections")
    name = models.CharField(_("name"), max_length=SHELF_NAME_LENGTH)
    generations = models.ManyToManyField("generations.Generation", related_name="collections", blank=True)
    created_at = models.DateTimeField(_("made"), default=timezone.now, editable=False)

    objects: ClassVar[models.Manager[Collection]] = CollectionQuerySet.as_manager()

    class Meta:
        verbose_name = _("collection")
        verbose_name_plural = _("collections")
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="generations_collection_name_once")
        ]

    def __str__(self) -> str:
        return self.name


class PresetQuerySet(models.QuerySet["Preset"]):
    def for_user(self, user: Any) -> Self:
        """Own ones, and those that somebody shares with a team of theirs."""
        teams = user.teams.values("pk")
        return self.filter(Q(user=user) | Q(shared=True, user__teams__in=teams)).distinct()


class Preset(models.Model):
    """A sentence worth keeping: a look, a light, a move of the camera, under a short name."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="presets")
    name = models.CharField(_("name"), max_length=SHELF_NAME_LENGTH)
    text = models.CharField(_("words"), max_length=1000)
    # With the members of every team of its owner's, for as long as they share one.
    shared = models.BooleanField(_("shared with the team"), default=False)
    created_at = models.DateTimeField(_("made"), default=timezone.now, editable=False)

    objects: ClassVar[models.Manager[Preset]] = PresetQuerySet.as_manager()

    class Meta:
        verbose_name = _("preset")
        verbose_name_plural = _("presets")
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="generations_preset_name_once")]

    def __str__(self) -> str:
        return self.name
