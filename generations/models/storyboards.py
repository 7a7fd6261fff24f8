"""Films of several shots, each beginning on the last picture of the one before. No I/O."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class StoryboardQuerySet(models.QuerySet["Storyboard"]):
    def owned_by(self, user: Any) -> Self:
        """Its owner's, on every door."""
        return self.filter(user=user)

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-id")


class Storyboard(models.Model):
    """A plan of shots and the one film that they become. ``status`` is written by ``services.storyboards``.

    How each shot is doing is said by its generation and kept nowhere else.
    """

    class Status(models.TextChoices):
        DRAFT = "draft", _("a plan")
        RUNNING = "running", _("in the making")
        STOPPED = "stopped", _("stopped")
        JOINING = "joining", _("being joined")
        DONE = "done", _("ready")

    class Problem(models.TextChoices):
        SHOT_FAILED = "shot_failed", _("A shot failed, and cost nothing. Change its words, or try it again.")
        UNPAID = "unpaid", _("There were not enough credits for the next shot. It goes on when there are.")
        REFUSED = "refused", _("The next shot is not possible as it is planned. Change it, then go on.")
        LOST = "lost", _("A shot's file can't be read any more, so nothing can begin where it ends.")
        UNJOINED = (
            "unjoined",
            _("The shots could not be joined into one film. Try again, or take them singly."),
        )

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="storyboards")
    title = models.CharField(_("title"), max_length=120)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    status = models.CharField(_("state"), max_length=7, choices=Status, default=Status.DRAFT)
    # Why it stands still; empty where its owner stopped it.
    problem = models.CharField(max_length=11, choices=Problem, blank=True)
    # When somebody has to look at it again, whatever wake-ups were lost.
    due_at = models.DateTimeField(null=True, blank=True, editable=False)
    join_attempts = models.PositiveSmallIntegerField(default=0, editable=False)

    # What all shots have in common, as in a request.
    model = models.CharField(_("model"), max_length=60)
    mode = models.CharField(_("mode"), max_length=8)
    size = models.CharField(_("ratio"), max_length=9)
    sound = models.BooleanField(_("sound"), default=False)

    # The one film, once it is joined.
    film = models.FileField(max_length=200, blank=True)
    film_seconds = models.FloatField(default=0)
    film_bytes = models.PositiveBigIntegerField(default=0)
    film_sha256 = models.CharField(max_length=64, blank=True)

    objects: ClassVar[models.Manager[Storyboard]] = StoryboardQuerySet.as_manager()

    class Meta:
        verbose_name = _("storyboard")
        verbose_name_plural = _("storyboards")
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["draft", "running", "stopped", "joining", "done"]),
                name="generations_storyboard_status_known",
            ),
            # So that none can be forgotten.
            models.CheckConstraint(
                condition=Q(status__in=["running", "joining"], due_at__isnull=False)
                | Q(status__in=["draft", "stopped", "done"], due_at__isnull=True),
                name="generations_storyboard_going_is_due",
            ),
            models.CheckConstraint(
                condition=(Q(status="done") & ~Q(film="")) | (~Q(status="done") & Q(film="")),
                name="generations_storyboard_done_has_film",
            ),
        ]
        indexes = [
            models.Index(fields=["user", "-created_at", "-id"], name="generations_storyboards_mine"),
            # The sweep's question.
            models.Index(
                fields=["due_at"], condition=Q(due_at__isnull=False), name="generations_storyboards_due"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_going(self) -> bool:
        """Something happens without anybody's doing."""
        return self.status in (self.Status.RUNNING, self.Status.JOINING)


class Shot(models.Model):
    """One shot: what it shows, and the newest try to make it."""

    storyboard = models.ForeignKey(Storyboard, models.CASCADE, related_name="shots")
    position = models.PositiveSmallIntegerField()
    prompt = models.TextField(_("prompt"))
    seconds = models.PositiveSmallIntegerField(_("length"))
    generation = models.ForeignKey(
        "generations.Generation", models.SET_NULL, null=True, blank=True, related_name="shots"
    )

    class Meta:
        verbose_name = _("shot")
        verbose_name_plural = _("shots")
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["storyboard", "position"], name="generations_shot_one_a_place"),
        ]

    def __str__(self) -> str:
        return f"{self.position + 1}: {self.prompt[:40]}"
