"""One holder at a time for a loop, by a lease in the database; the lease of a dead holder ends by itself."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from generations.models import Lane

LEASE = timedelta(seconds=15)
RENEW_SECONDS = 3


@transaction.atomic
def enter(name: str) -> uuid.UUID | None:
    """A token when the lane is free or its lease is over; else None, and the holder will look once more."""
    Lane.objects.get_or_create(name=name)
    token = uuid.uuid4()
    free = Q(token__isnull=True) | Q(until__lte=Now())
    if Lane.objects.filter(free, name=name).update(token=token, until=Now() + LEASE, wanted=False):
        return token
    Lane.objects.filter(name=name).update(wanted=True)
    return None


@transaction.atomic
def take_over(name: str) -> uuid.UUID:
    """Enter in any case; the former holder sees at its next ``renew`` that it is over."""
    Lane.objects.get_or_create(name=name)
    token = uuid.uuid4()
    Lane.objects.filter(name=name).update(token=token, until=Now() + LEASE, wanted=False)
    return token


class Held:
    """A lane that the caller has entered, renewed in time and no more often than needed."""

    def __init__(self, name: str, token: uuid.UUID) -> None:
        self.name, self.token = name, token
        self._renewed = time.monotonic()

    def still(self) -> bool:
        """Whether it is still ours; False after another holder took it over."""
        if time.monotonic() - self._renewed < RENEW_SECONDS:
            return True
        self._renewed = time.monotonic()
        return renew(self.name, self.token)


def renew(name: str, token: uuid.UUID) -> bool:
    """Hold on for another lease; False when somebody else holds the lane."""
    return Lane.objects.filter(name=name, token=token).update(until=Now() + LEASE) == 1


def leave(name: str, token: uuid.UUID) -> bool:
    """Give the lane up. False when it was wanted meanwhile: then it is still held, for one more look."""
    mine = Lane.objects.filter(name=name, token=token)
    if mine.filter(wanted=False).update(token=None, until=None):
        return True
    return mine.update(wanted=False, until=Now() + LEASE) == 0


def abandon(name: str, token: uuid.UUID) -> None:
    """Give the lane up whatever is wanted of it; the caller has woken a successor."""
    Lane.objects.filter(name=name, token=token).update(token=None, until=None, wanted=False)


def held(name: str) -> bool:
    """Whether somebody holds the lane now."""
    return Lane.objects.filter(name=name, token__isnull=False, until__gt=Now()).exists()
