"""The fields of a form for quotas: one for each kind of period."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accounts.models import Quota, Team, User


def boxes(credits: Mapping[str, int], versions: Mapping[str, int]) -> list[dict[str, Any]]:
    """A field for each kind of period, with the version that its editor looks at."""
    return [
        {
            "name": period,
            "label": period.per,
            "value": credits.get(period),
            "version": versions.get(period, 0),
        }
        for period in Quota.Period
    ]


def boxes_of(owner: User | Team) -> list[dict[str, Any]]:
    """The fields as the owner's quotas stand."""
    rows = list(Quota.objects.of(owner))
    standing = {row.period: row.credits for row in rows if row.lifted_at is None}
    return boxes(standing, {row.period: row.version for row in rows})
