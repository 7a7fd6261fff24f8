"""Credits as people read them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from accounts import quotas, services
from accounts.models import Quota, Transfer, User

register = template.Library()

# What a line does to the credits that can still be used. Settling moves held ones to spent: no change here.
SIGNS = {Transfer.Kind.RESERVE: -1, Transfer.Kind.SETTLE: 0, Transfer.Kind.EXPIRE: -1}


@register.inclusion_tag("accounts/_balance.html")
def balance_pill(user: User) -> dict[str, Any]:
    """What the user can still spend, for the top bar: of several quotas the one with the least left."""
    balances = quotas.balances_of(user)
    return {"balance": min(balances, key=lambda balance: balance.wallet.available, default=None)}


@register.simple_tag
def unread_notices(user: User) -> list[int]:
    """What the bell counts: ids, newest first."""
    return services.unread(user)


@register.filter
def change(transfer: Transfer) -> int:
    """By how many credits a line of the journal changes what can still be used."""
    return SIGNS.get(Transfer.Kind(transfer.kind), 1) * transfer.amount


@register.filter
def signed(number: int) -> str:
    """“+25”, “−25” with a real minus sign, “0”."""
    return f"+{number}" if number > 0 else f"−{-number}" if number < 0 else "0"


@register.filter
def is_low(balance: quotas.Balance) -> bool:
    """Less than a tenth is left."""
    return balance.wallet.available * 10 < balance.size


@register.filter
def runs_out(balance: quotas.Balance) -> datetime | None:
    """When the rest is used up at this pace; None where it lasts, or where that cannot be told."""
    return balance.runs_out_at(timezone.now())


@register.simple_tag
def pace(balance: quotas.Balance) -> str:
    """How long the rest will last, should it go on as in this period; that it cannot be told yet; or nothing."""
    now = timezone.now()
    if not balance.used or not balance.wallet.available or balance.quota.period == "day":
        return ""
    if balance.known_for(now) < quotas.ENOUGH_TO_TELL:
        return _("too early to tell how long it will last")
    out = runs_out(balance)
    if out is None:
        return _("lasts at this pace")
    day = date_format(localtime(out), pgettext("a day and month, as a date format of Django", "j F"))
    return _("used up on %(date)s at this pace") % {"date": day}


@register.filter
def left_words(balance: quotas.Balance) -> str:
    """What stands beside the number that is left: “credits left today”."""
    words = {
        "day": _("credits left today"),
        "week": _("credits left this week"),
        "month": _("credits left this month"),
        "total": _("credits left"),
    }
    return words[balance.quota.period]


@register.filter
def left_of(balance: quotas.Balance) -> str:
    """“monthly quota of 1,000 credits, 730 left”."""
    return _("%(quota)s of %(granted)s credits, %(left)s left") % {
        "quota": Quota.Period(balance.quota.period).quota,
        "granted": intcomma(balance.size),
        "left": intcomma(balance.wallet.available),
    }


@register.filter
def per(balance: quotas.Balance) -> str:
    """“a day”, “a month”, “in total”: for after a number of credits."""
    return Quota.Period(balance.quota.period).per
