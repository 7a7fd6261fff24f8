"""Credits as people read them."""

from __future__ import annotations

from typing import Any

from django import template

from accounts import quotas, services
from accounts.models import Transfer, User

register = template.Library()

# What a line does to the credits that can still be used. Settling moves held ones to spent: no change here.
SIGNS = {Transfer.Kind.RESERVE: -1, Transfer.Kind.SETTLE: 0, Transfer.Kind.EXPIRE: -1}


@register.inclusion_tag("accounts/_balance.html")
def balance_pill(user: User) -> dict[str, Any]:
    """The user's own balance for the top bar; nothing where nobody has given them a quota."""
    balances = quotas.balances(user)
    return {"balance": next((balance for balance in balances if balance.scope == "user"), None)}


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
    return balance.wallet.available * 10 < balance.wallet.granted
