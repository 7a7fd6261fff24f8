"""What was used, day by day: sums over finished generations, so that no page has to count a million rows. No I/O."""

from __future__ import annotations

from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class UsageDay(models.Model):
    """A day (of ``TIME_ZONE``) that is over and summed up. Its sums are made as a whole, and never added to."""

    day = models.DateField(primary_key=True)
    summed_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d}"


class DailyUsageQuerySet(models.QuerySet["DailyUsage"]):
    def between(self, first: object, last: object) -> Self:
        """Of these days, both included."""
        return self.filter(day__gte=first, day__lte=last)


class DailyUsage(models.Model):
    """What one user did with one model on one day, for one team and by one key: of generations that ended then.

    ``credits`` are what the journal charged for them, refunds taken off. ``waited`` is in seconds from the
    request to the stored video; the counts beside it say how many waited at most so long.
    """

    day = models.ForeignKey(UsageDay, models.CASCADE, related_name="sums", db_column="day")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    team = models.ForeignKey("accounts.Team", models.PROTECT, null=True, related_name="+")
    api_key = models.ForeignKey("accounts.ApiKey", models.SET_NULL, null=True, related_name="+")
    model = models.CharField(_("model"), max_length=60)
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    canceled = models.PositiveIntegerField(default=0)
    seconds = models.PositiveBigIntegerField(default=0)
    credits = models.PositiveBigIntegerField(default=0)
    # Of upstream's own units, where its replies carried them, and of how many generations they did.
    upstream_cost = models.PositiveBigIntegerField(default=0)
    upstream_costed = models.PositiveIntegerField(default=0)
    waited = models.FloatField(default=0.0)
    within_30 = models.PositiveIntegerField(default=0)
    within_60 = models.PositiveIntegerField(default=0)
    within_120 = models.PositiveIntegerField(default=0)
    within_300 = models.PositiveIntegerField(default=0)
    within_900 = models.PositiveIntegerField(default=0)

    objects: ClassVar[models.Manager[DailyUsage]] = DailyUsageQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    within_30__lte=models.F("within_60"),
                    within_60__lte=models.F("within_120"),
                    within_120__lte=models.F("within_300"),
                    within_300__lte=models.F("within_900"),
                    within_900__lte=models.F("succeeded"),
                ),
                name="generations_usage_waits_add_up",
            ),
        ]
        indexes = [
            models.Index(fields=["day", "user"], name="generations_usage_user"),
            models.Index(
                fields=["team", "day"], condition=Q(team__isnull=False), name="generations_usage_team"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day_id} {self.user_id} {self.model}"
