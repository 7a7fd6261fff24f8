"""What everybody who talks to upstream agrees on."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Upstream(models.Model):
    """The one row that everybody who talks to upstream agrees on; its lock is the lock of the slots."""

    class Circuit(models.TextChoices):
        CLOSED = "closed", _("closed")
        OPEN = "open", _("open")
        TRYING = "trying", _("trying one")

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    # The epoch: whose ids the open rows are. See ``fence``.
    host = models.CharField(max_length=255, blank=True)
    key_fingerprint = models.CharField(max_length=16, blank=True)
    database = models.UUIDField(default=uuid.uuid4, editable=False)
    # Counts every right to send. A worker remembers it outside the database: one that went back was restored.
    sends = models.PositiveBigIntegerField(default=0)
    cap = models.PositiveIntegerField(_("cap"), default=0)
    cap_changed_at = models.DateTimeField(default=timezone.now)
    circuit = models.CharField(_("circuit"), max_length=7, choices=Circuit, default=Circuit.CLOSED)
    circuit_reason = models.CharField(max_length=200, blank=True)
    open_since = models.DateTimeField(null=True, blank=True)
    open_until = models.DateTimeField(null=True, blank=True)
    # How long the circuit stays open this time, and at most, for this kind of trouble.
    open_seconds = models.PositiveIntegerField(default=0)
    open_most = models.PositiveIntegerField(default=0)
    doubts = models.PositiveIntegerField(default=0)
    connect_failures = models.PositiveIntegerField(default=0)
    connect_failed_at = models.DateTimeField(null=True, blank=True)
    # An admin has stopped the sending; what is queued waits, and its clock stands.
    paused_at = models.DateTimeField(_("paused"), null=True, blank=True)
    paused_reason = models.CharField(max_length=200, blank=True)
    paused_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    # Slots of the poll budget are given away until then.
    poll_slot_at = models.DateTimeField(default=timezone.now)
    last_beat_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("upstream")
        verbose_name_plural = _("upstream")
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="generations_upstream_one_row"),
            models.CheckConstraint(
                condition=Q(circuit="closed") | Q(open_until__isnull=False),
                name="generations_upstream_open_has_end",
            ),
            models.CheckConstraint(
                condition=Q(paused_at__isnull=True, paused_reason="")
                | Q(paused_at__isnull=False) & ~Q(paused_reason=""),
                name="generations_upstream_pause_has_reason",
            ),
        ]

    def __str__(self) -> str:
        return self.host


class Lane(models.Model):
    """Who runs a loop now. A lane whose lease is over is free; ``wanted`` asks its holder to look once more."""

    name = models.CharField(primary_key=True, max_length=20)
    token = models.UUIDField(null=True, blank=True)
    until = models.DateTimeField(null=True, blank=True)
    wanted = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.name
