"""Five tries to sign in a minute per name and address, counted in the database, so for every web process.

A try is written down *before* the password is looked at: parallel guesses count too, and a refused one
costs no hashing. Rows live for a minute; this is no history of who signed in.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from datetime import timedelta

from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import SignInTry
from kling_platform import origin
from kling_platform.errors import PlatformError

TRIES, WINDOW = 5, timedelta(minutes=1)


class TooManyTries(PlatformError):
    """Somebody is guessing, or has forgotten (429); ``retry_after`` says when the next try counts."""

    code = "too_many_tries"
    status = 429


def check(name: str, address: str) -> None:
    """Count one try of this name from this address; ``TooManyTries`` where it is one too many.

    A refused try is not counted, so waiting as long as the refusal says is always enough.
    """
    SignInTry.objects.filter(at__lt=Now() - WINDOW).delete()
    who = _who(name, address)
    mine = SignInTry.objects.create(who=who, at=Now())
    # Counted after the insert: of tries in parallel at most five can see five.
    recent = SignInTry.objects.filter(who=who, at__gte=Now() - WINDOW).order_by("at", "pk")
    before = list(recent.exclude(pk=mine.pk).values_list("at", flat=True))
    if len(before) >= TRIES:
        mine.delete()
        wait = (before[-TRIES] + WINDOW - timezone.now()).total_seconds()
        raise TooManyTries(
            _("Too many tries. Wait a minute, then try again; if the password is lost, ask an admin."),
            retry_after=min(max(1, math.ceil(wait)), int(WINDOW.total_seconds())),
        )


def forget(name: str, address: str) -> None:
    """Somebody who knew the password starts afresh."""
    SignInTry.objects.filter(who=_who(name, address)).delete()


def _who(name: str, address: str) -> str:
    """A digest, because people type passwords into the wrong field. Case and Unicode forms of a name are one."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return hashlib.sha256(f"{folded}\0{origin.network(address)}".encode("utf-8", "replace")).hexdigest()
