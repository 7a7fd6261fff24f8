"""What operators must know of."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Alarm(models.Model):
    """Trouble that no member can mend. The same words again, before they were told, count up ``times``."""

    class Kind(models.TextChoices):
        CIRCUIT = "circuit", _("nothing is sent: upstream fails or refuses our account")
        BREACH = "breach", _("an invariant is breached")
        DISK = "disk", _("the disk is nearly full: nothing new is sent")
        LOST_VIDEO = "lost_video", _("a finished video could not be fetched any more")
        WORKER = "worker", _("a worker froze or died and was started anew")

    # No choices: a new kind is a line of code, no change of the table.
    kind = models.CharField(_("kind"), max_length=20)
    text = models.CharField(_("what happened"), max_length=300)
    times = models.PositiveIntegerField(_("times"), default=1)
    first_at = models.DateTimeField(_("first"), default=timezone.now)
    last_at = models.DateTimeField(_("last"), default=timezone.now)
    told_at = models.DateTimeField(_("told by e-mail"), null=True, blank=True)

    class Meta:
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "text"], condition=Q(told_at__isnull=True), name="generations_alarm_told_once"
            )
        ]
        indexes = [models.Index(fields=["kind", "-last_at"], name="generations_alarm_newest")]

    def __str__(self) -> str:
        return f"{self.get_kind_label()}: {self.text}"

    def get_kind_label(self) -> str:
        """The kind as a sentence; its bare word where this code does not know it."""
        return str(self.Kind(self.kind).label) if self.kind in self.Kind.values else self.kind
