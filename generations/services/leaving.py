"""Before somebody leaves and after: what there is of them, who goes on with it, and how far the purge has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from accounts import services as people
from accounts.models import Notice, User, Wallet
from generations.models import (
    OPEN,
    Batch,
    Generation,
    Preset,
    Status,
    Storyboard,
    Tag,
    Video,
    WebhookEndpoint,
)
from generations.services.operators import check_operator
from generations.services.storyboards import stop_storyboard
from kling_platform.errors import InvalidValue, WrongState


@dataclass(frozen=True)
class Belongings:
    """What there is of somebody; ``held`` are credits, ``size`` is in bytes."""

    videos: int
    waiting: int
    in_the_making: int
    storyboards: int
    keys: int
    webhooks: int
    held: int
    size: int


@dataclass(frozen=True)
class Farewell:
    """How far the purge has come: of ``everything``, ``gone`` has no content any more, ``open_`` is still made.

    ``is_over`` when a pseudonym stands where the name was.
    """

    left_at: datetime
    everything: int
    gone: int
    open_: int
    is_over: bool


def belongings(user: User) -> Belongings:
    """What somebody would leave behind now."""
    living = Generation.objects.filter(user=user, deleted_at__isnull=True)
    counts = living.aggregate(
        videos=Count("pk", filter=~Q(status__in=OPEN)),
        waiting=Count("pk", filter=Q(status=Status.QUEUED)),
        in_the_making=Count("pk", filter=Q(status__in=OPEN) & ~Q(status=Status.QUEUED)),
    )
    return Belongings(
        **counts,
        storyboards=Storyboard.objects.filter(user=user).count(),
        keys=user.api_keys.filter(revoked_at=None).count(),
        webhooks=WebhookEndpoint.objects.filter(user=user, deleted_at__isnull=True).count(),
        held=_sum(Wallet.objects.filter(quota__user=user), "reserved"),
        size=_sum(Video.objects.filter(generation__in=living), "bytes"),
    )


def _sum(rows: QuerySet[Wallet] | QuerySet[Video], field: str) -> int:
    return rows.aggregate(sum=Sum(field))["sum"] or 0


def farewell(user: User) -> Farewell | None:
    """How far the purge of somebody who left has come; None for everybody else."""
    if user.retired_at is None:
        return None
    counts = Generation.objects.filter(user=user).aggregate(
        everything=Count("pk"),
        gone=Count("pk", filter=Q(purged_at__isnull=False)),
        open_=Count("pk", filter=Q(status__in=OPEN)),
    )
    is_over = not people.retired_users().filter(pk=user.pk).exists()
    return Farewell(left_at=user.retired_at, is_over=is_over, **counts)


@transaction.atomic
def hand_over(user: User, *, to: User, actor: User) -> int:
    """Give somebody's whole library to another person; returns how many videos.

    What is waiting or in the making goes too: who asked for it has paid, whoever has it now gets the video.
    Tags, presets and storyboards come along (a storyboard that is going is stopped first, so that no shot of it
    is paid by somebody who did not start it); favourites and collections are private, and stay.
    """
    check_operator(actor)
    if to == user:
        raise InvalidValue(_("They have it already. Choose somebody else."), param="to")
    if not to.is_active:
        raise WrongState(_("%(user)s is suspended, and could not see it.") % {"user": to})
    living = Generation.objects.filter(user=user, deleted_at__isnull=True)
    _retag(living, to)
    videos = living.update(maker=Coalesce("maker", "user"), user=to)
    Batch.objects.filter(user=user).update(user=to)
    for going in Storyboard.objects.filter(user=user, due_at__isnull=False):
        stop_storyboard(going)
    storyboards = Storyboard.objects.filter(user=user).update(user=to)
    taken = Preset.objects.filter(user=to).values_list("name", flat=True)
    Preset.objects.filter(user=user).exclude(name__in=list(taken)).update(user=to)
    people.audit("user.hand_over", user, actor=actor, to=to.username, videos=videos, storyboards=storyboards)
    people.notify([to], Notice.Kind.HANDED, link="/", who=user.username, videos=videos)
    return videos


def _retag(generations: QuerySet[Generation], to: User) -> None:
    """Words are a person's own: the same ones of the new owner's take their place."""
    tagged = Generation.tags.through.objects.filter(generation__in=generations)
    names = dict(tagged.values_list("tag_id", F("tag__name")).distinct())
    Tag.objects.bulk_create([Tag(user=to, name=name) for name in names.values()], ignore_conflicts=True)
    own = dict(Tag.objects.filter(user=to, name__in=names.values()).values_list("name", "pk"))
    for old, name in names.items():
        tagged.filter(tag=old).update(tag=own[name])
