"""What holds generations together: the words that their owner gives them. No I/O.

``generations.models`` has these too; import them from there.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Aggregate, OuterRef, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

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
