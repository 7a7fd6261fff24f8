"""What a key's own limits say to one more generation."""

from __future__ import annotations

from django.utils.translation import ngettext

from accounts.models import ApiKey
from generations.models import Generation
from kling_platform.errors import PlatformError

RETRY_AFTER = 15  # seconds; videos take a minute or more, and nobody knows which one ends first


class TooManyOpen(PlatformError):
    """The key has as many videos in the making as it may (429)."""

    code = "too_many_open"
    status = 429


def room(key: ApiKey) -> int | None:
    """How many more the key may have in the making; None where it has no limit. Its wallet must be locked."""
    if key.most_open is None:
        return None
    return max(0, key.most_open - Generation.objects.filter(api_key=key).in_flight().count())


def check_open(key: ApiKey) -> None:
    """``TooManyOpen`` where the newest generation of the key, just written, is one too many.

    To be called after its credits are held, in the same transaction: all generations of a key are paid
    from its owner's wallet, whose row is locked by then. So they are counted one after the other, each
    with a snapshot that has all before it, and no two can both be the last one that fits.
    """
    if key.most_open is None:
        return
    if Generation.objects.filter(api_key=key).in_flight().count() > key.most_open:
        raise TooManyOpen(
            ngettext(
                "This key may have %(most)d video in the making at a time, and has it. Nothing was made, "
                "nothing was charged; try again when it is ready.",
                "This key may have %(most)d videos in the making at a time, and has them. Nothing was made, "
                "nothing was charged; try again when one is ready.",
                key.most_open,
            )
            % {"most": key.most_open},
            retry_after=RETRY_AFTER,
        )
