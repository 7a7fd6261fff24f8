"""What was answered to a call that makes something, kept under the name that its caller gave it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class KeptAnswer(models.Model):
    """The first answer under a key of one user's. ``digest`` is the SHA-256 of what was asked for.

    ``answer`` is the text of its JSON, because a column of JSON forgets in which order its fields were.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=300)
    digest = models.CharField(max_length=64)
    answer = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("kept answer")
        verbose_name_plural = _("kept answers")
        constraints = [
            # Of all who send the same key at once, one inserts; the others wait for its commit.
            models.UniqueConstraint(fields=["user", "key"], name="generations_keptanswer_once"),
        ]
        indexes = [models.Index(fields=["created_at"], name="generations_keptanswer_age")]

    def __str__(self) -> str:
        return self.key
