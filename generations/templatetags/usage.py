"""Numbers of usage as people read them."""

from __future__ import annotations

from typing import Any

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from generations.services import UsageSums

register = template.Library()


@register.filter
def told(tile: Any) -> str:
    """The number of a tile in its own words; a dash where there is none."""
    if tile.value is None:
        return "–"
    if tile.kind == "percent":
        return percent(tile.value)
    if tile.kind == "dollars":
        return f"${tile.value:,.2f}"
    return waited(tile.value) if tile.kind == "seconds" else intcomma(round(tile.value))


@register.filter
def percent(share: float) -> str:
    """0.125 → “12.5 %”."""
    return _("%(number)s %%") % {"number": number_format(round(100 * share, 1))}


@register.filter
def signed_percent(change: int) -> str:
    """12 → “+12 %”, with a real minus sign for less."""
    sign = "+" if change > 0 else "−" if change < 0 else "±"
    return _("%(number)s %%") % {"number": f"{sign}{abs(change)}"}


@register.filter
def waited(seconds: float | None) -> str:
    """“45 s”, “3 min 20 s”; a dash for nothing."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return _("%(seconds)d s") % {"seconds": rest}
    return _("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": rest}


@register.filter
def dollars(sums: UsageSums) -> str:
    """Upstream's real cost, and of how many of all it is known; a dash where no reply carried one."""
    if sums.upstream_dollars is None:
        return "–"
    cost = f"${sums.upstream_dollars:,.2f}"
    return cost if sums.upstream_costed >= sums.ended else f"{cost} ({sums.upstream_costed}/{sums.ended})"
