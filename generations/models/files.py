"""What lies in storage: pictures that were sent along, and finished videos."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from generations.models.generation import Generation


class InputImage(models.Model):
    """The first (0) or last (1) frame: a URL that is passed on, or a file that we re-encoded."""

    generation = models.ForeignKey(Generation, models.CASCADE, related_name="images")
    position = models.PositiveSmallIntegerField()
    url = models.URLField(max_length=2048, blank=True)
    file = models.FileField(max_length=200, blank=True)
    content_type = models.CharField(max_length=20, blank=True)
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = _("input image")
        verbose_name_plural = _("input images")
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["generation", "position"], name="generations_inputimage_one_a_place"
            ),
            models.CheckConstraint(condition=Q(position__lte=1), name="generations_inputimage_two_places"),
            models.CheckConstraint(
                condition=Q(url="") ^ Q(file=""), name="generations_inputimage_url_or_file"
            ),
        ]

    def __str__(self) -> str:
        return self.url or self.file.name or ""


class Video(models.Model):
    """The file in our own storage, with the facts of the real file: pixels, seconds, bytes, checksum."""

    generation = models.OneToOneField(Generation, models.CASCADE, primary_key=True, related_name="video")
    file = models.FileField(max_length=200)
    poster = models.FileField(max_length=200)
    # Taken when somebody first wants to go on from it; empty until then.
    last_frame = models.FileField(max_length=200, blank=True)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    seconds = models.FloatField()
    fps = models.FloatField(default=0)
    has_audio = models.BooleanField(default=False)
    bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    stored_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("video")
        verbose_name_plural = _("videos")
        constraints = [
            models.CheckConstraint(
                condition=Q(width__gt=0, height__gt=0, seconds__gt=0, bytes__gt=0),
                name="generations_video_is_a_file",
            )
        ]

    def __str__(self) -> str:
        return self.file.name or ""
