"""What ``GET /v1/quota`` says: a function makes the answer, and serializers declare it for the documents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from accounts.models import Quota
from accounts.quotas import Balance


def as_quota(balances: Iterable[Balance]) -> dict[str, Any]:
    """All balances, and what the next generation may cost at most: every wallet that pays must have it."""
    data = [_as_balance(balance) for balance in balances]
    paying = [each["available"] for each in data if each["scope"] in ("user", "key")]
    has_own = any(each["scope"] == "user" for each in data)
    return {"object": "quota", "available": min(paying) if has_own else 0, "data": data}


def _as_balance(balance: Balance) -> dict[str, Any]:
    wallet, resets_at = balance.wallet, balance.resets_at
    return {
        "scope": balance.scope,
        "period": str(balance.quota.period),
        "granted": wallet.granted,
        "available": wallet.available,
        "reserved": wallet.reserved,
        "spent": wallet.spent,
        "expired": wallet.expired,
        "resets_at": int(resets_at.timestamp()) if resets_at else None,
    }


class BalanceSerializer(serializers.Serializer[Any]):
    scope = serializers.ChoiceField(["user", "team", "key"], help_text=_("Whose quota it is."))
    period = serializers.ChoiceField(Quota.Period.values, help_text=_("How often it begins anew."))
    granted = serializers.IntegerField(help_text=_("available + reserved + spent + expired, in credits."))
    available = serializers.IntegerField(help_text=_("What is left."))
    reserved = serializers.IntegerField(help_text=_("Held for generations that are still open."))
    spent = serializers.IntegerField(help_text=_("Charged for videos."))
    expired = serializers.IntegerField(help_text=_("Gone with the end of the period."))
    resets_at = serializers.IntegerField(
        allow_null=True, help_text=_("Unix seconds; null for a quota in total, which never begins anew.")
    )


class QuotaSerializer(serializers.Serializer[Any]):
    object = serializers.ChoiceField(["quota"])
    available = serializers.IntegerField(help_text=_("What the next generation may cost at most."))
    data = BalanceSerializer(many=True)  # type: ignore[assignment] # a field
