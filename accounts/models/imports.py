"""Tables of people that were looked at and confirmed, until a task has done them."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

# No task lives longer: what is still "being done" after this was killed, and its transaction with it.
LOST_AFTER = timedelta(seconds=settings.Q_CLUSTER["timeout"] + 30)


class PeopleImport(models.Model):
    """One table to be done by a task, and what became of it.

    It is done under the language and the address of the request that confirmed it. The table is kept until it
    is done, or, where it was refused, until the row is forgotten: to be looked at again.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("waits for a worker")
        RUNNING = "running", _("is being done")
        DONE = "done", _("done")
        REFUSED = "refused", _("not done")

    class Error(models.TextChoices):
        """Why nothing was done; what is wrong with which line, the next look tells."""

        CHANGED = (
            "changed",
            _("Something changed meanwhile, so nothing was done. Look at what it would do now, then decide."),
        )
        LOST = (
            "lost",
            _(
                "A fault of the platform stopped it, and nothing was changed. "
                "Look at it again, and send it once more."
            ),
        )

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    table = models.TextField(blank=True)
    digest = models.CharField(max_length=64)
    lines = models.PositiveIntegerField()
    language = models.CharField(max_length=10)
    address = models.GenericIPAddressField(null=True)
    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    new = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=7, blank=True)  # an Error, whose words are no matter of migrations
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "running", "done", "refused"]),
                name="accounts_peopleimport_state_known",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "running"], ended_at__isnull=True)
                | Q(state__in=["done", "refused"], ended_at__isnull=False),
                name="accounts_peopleimport_over_has_end",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.state} {self.id}"

    @property
    def why(self) -> str:
        """Why nothing was done, in the language of whoever reads it now."""
        return str(self.Error(self.error).label)

    @property
    def is_over(self) -> bool:
        return self.state in (self.State.DONE, self.State.REFUSED)
