"""What a generation has cost, in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from django import template
from django.utils.translation import gettext as _

from accounts.models import Transfer
from generations.models import Generation, Status

register = template.Library()

K = Transfer.Kind


@register.simple_tag
def bill(generation: Generation, lines: Iterable[Transfer]) -> str:
    """“25 held, 25 returned: …; you were not charged.” ``lines`` are those of its owner's own wallet."""
    sums: Counter[str] = Counter()
    for line in lines:
        sums[line.kind] += line.amount
    values = {
        "held": sums[K.RESERVE],
        "charged": sums[K.SETTLE],
        "back": sums[K.RELEASE] or sums[K.REFUND],
        "why": _why(generation),
    }
    if sums[K.REFUND]:
        return _("%(charged)d charged, %(back)d refunded: %(why)s. In the end it cost you nothing.") % values
    if sums[K.RELEASE]:
        return _("%(held)d held, %(back)d returned: %(why)s. You were not charged.") % values
    if sums[K.SETTLE]:
        return _("%(held)d held, %(charged)d charged: the video was made.") % values
    if generation.status == Status.UNKNOWN:
        return _("%(held)d held. While it is in doubt you are not charged.") % values
    if sums[K.RESERVE]:
        return (
            _("%(held)d held. They are charged once the video is made, and come back if it is not.") % values
        )
    return ""


def _why(generation: Generation) -> str:
    """The reason for credits that came back, for the middle of a sentence."""
    if generation.status == Status.CANCELED:
        return _("canceled before it was sent")
    return {
        "unsent": _("it could not be sent for a day"),
        "never_confirmed": _("it was never confirmed"),
        "video_gone": _("the finished file could not be fetched"),
        "picture_lost": _("its picture could not be read any more"),
    }.get(generation.error_code, _("the gateway did not make it"))
