"""What holds generations together: the words that their owner gives them, the batch that they came in. No I/O."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Aggregate, F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from kling_platform import keyset

TAG_LENGTH = 40


class Tag(models.Model):
    """A word of one person's for what belongs together. It has no comma, so that a list of them is a text."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="tags")
    name = models.CharField(_("name"), max_length=TAG_LENGTH)

    class Meta:
        verbose_name = _("tag")
        verbose_name_plural = _("tags")
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="generations_tag_name_once")]

    def __str__(self) -> str:
        return self.name


class Joined(Aggregate):
    """Texts with a comma between each two, in no order."""

    function = "STRING_AGG"
    template = "%(function)s(%(expressions)s, ',')"
    output_field = models.TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, function="GROUP_CONCAT", **context)


def joined_tags(tagged: type[models.Model]) -> Coalesce:
    """The names of a generation's tags in one text, empty for none; ``tagged`` is the table between them."""
    rows = tagged._default_manager.filter(generation=OuterRef("pk")).order_by().values("generation")
    return Coalesce(
        Subquery(rows.annotate(names=Joined("tag__name")).values("names")),
        Value(""),
        output_field=models.TextField(),
    )


class BatchQuerySet(models.QuerySet["Batch"]):
    def owned_by(self, user: Any) -> Self:
        """An API key's view: its owner's own batches only."""
        return self.filter(user=user)

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-id")

    def before(self, other: Batch) -> Self:
        """The page after ``other`` in ``newest_first`` order."""
        return self.filter(keyset.less(other, "created_at", "id"))


class Batch(models.Model):
    """Many generations that were asked for in one call. Where they stand is counted, never kept.

    ``refused`` lists what of it was not made, as ``{line, code, message, param}``. While ``paused_at`` is set
    nothing of it is sent.
    """

    class Mode(models.TextChoices):
        ALL_OR_NOTHING = "all_or_nothing", _("all or nothing")
        BEST_EFFORT = "best_effort", _("as many as possible")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="batches")
    api_key = models.ForeignKey("accounts.ApiKey", models.SET_NULL, null=True, blank=True, related_name="+")
    name = models.CharField(_("name"), max_length=100, blank=True)
    mode = models.CharField(max_length=14, choices=Mode)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    asked = models.PositiveSmallIntegerField()
    refused = models.JSONField(default=list, blank=True)
    # The share of failures, of those that are over, beyond which it pauses itself; those since ``counted_from``.
    stop_at_failure_rate = models.FloatField(null=True, blank=True)
    counted_from = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager[Batch]] = BatchQuerySet.as_manager()

    class Meta:
        verbose_name = _("batch")
        verbose_name_plural = _("batches")
        constraints = [
            models.CheckConstraint(
                condition=Q(stop_at_failure_rate__isnull=True)
                | Q(stop_at_failure_rate__gte=0, stop_at_failure_rate__lt=1),
                name="generations_batch_rate_is_a_share",
            ),
        ]
        indexes = [
            models.Index(
                F("user"), F("created_at").desc(), F("id").desc(), name="generations_batches_of_user"
            )
        ]

    def __str__(self) -> str:
        return self.name or str(self.pk)
