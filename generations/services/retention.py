"""How long videos are kept: by the platform's rule, and by that of the team that they were made for."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from accounts.models import Team, User
from generations.models import Generation, Status

# How long before the end people are told on their pages.
NOTICE = timedelta(days=7)
# What one run deletes at most; the next goes on.
BATCH = 2_000
# A process looks so often whether any team has a rule at all.
KEPT_SECONDS = 60.0


def kept_until(generation: Generation) -> datetime | None:
    """When it is deleted by itself, by whichever rule comes first: the platform's, or that of the team that it was
    made for. None where nothing is, while it is open, and for somebody's favourite."""
    if generation.finished_at is None:
        return None
    ends = []
    if settings.RETENTION_DAYS:
        ends.append(generation.finished_at + timedelta(days=settings.RETENTION_DAYS))
    if (team := generation.made_for) is not None and team.retention_days:
        kept = generation.finished_at + timedelta(days=team.retention_days)
        ends.append(max(kept, team.retention_since + NOTICE) if team.retention_since else kept)
    return min(ends) if ends and not generation.favourites.exists() else None


def _expired(ahead: timedelta = timedelta(0)) -> QuerySet[Generation] | None:
    """What has been kept long enough, or will have been after ``ahead``; nobody's favourites. None without rules.

    A team's rule counts when its people had ``NOTICE`` to see what it ends.
    """
    rules, moment = Q(), Now() + ahead
    if settings.RETENTION_DAYS:
        rules |= Q(finished_at__lt=moment - timedelta(days=settings.RETENTION_DAYS))
    told = Q(retention_since__isnull=True) | Q(retention_since__lt=moment - NOTICE)
    for team in Team.objects.filter(told, retention_days__gt=0):
        kept = timedelta(days=team.retention_days or 0)
        rules |= Q(made_for=team, finished_at__lt=moment - kept)
    if not rules:
        return None
    return Generation.objects.filter(rules, deleted_at__isnull=True, favourites__isnull=True)


def ending_soon(user: User) -> int:
    """How many videos of this user are deleted by themselves within the next days. Asks nothing where no rule is."""
    if not (settings.RETENTION_DAYS or _a_team_has_a_rule()):
        return 0
    ending = _expired(NOTICE)
    return 0 if ending is None else ending.filter(user=user, status=Status.SUCCEEDED).count()


def delete_expired() -> int:
    """Delete what has been kept for as long as the rules say; how many."""
    expired = _expired()
    if expired is None:
        return 0
    ids = list(expired.order_by("finished_at").values_list("pk", flat=True)[:BATCH])
    return Generation.objects.filter(pk__in=ids, deleted_at__isnull=True).update(deleted_at=Now())


_kept: tuple[float, bool] | None = None


def _a_team_has_a_rule() -> bool:
    global _kept
    now = time.monotonic()
    if _kept is None or now - _kept[0] > KEPT_SECONDS:
        _kept = (now, Team.objects.filter(retention_days__gt=0).exists())
    return _kept[1]


def forget_retention() -> None:
    """Look anew next time."""
    global _kept
    _kept = None
