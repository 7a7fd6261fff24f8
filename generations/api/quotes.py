"""``?dry_run=1`` on a creating call: what it would cost and what stands in its way; nothing is written."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import serializers
from rest_framework.request import Request

from accounts.models import Quota
from accounts.quotas import Balance
from generations import services
from generations.api.serializers import QueueSerializer
from generations.public import queue_of
from kling_platform.api import error_body
from kling_platform.documents import RefusalSerializer
from kling_platform.errors import InvalidValue, PlatformError

YES, NO = ("1", "true"), ("", "0", "false")


def is_dry(request: Request) -> bool:
    """Whether only a quote is asked for; ``InvalidValue`` for what is neither yes nor no, as it could cost."""
    text = request.query_params.get("dry_run", "").lower()
    if text not in YES + NO:
        raise InvalidValue(_("dry_run is 1 or 0."), param="dry_run")
    return text in YES


def as_quote(quote: services.Quote) -> dict[str, Any]:
    """The quote in the words of the wire; null where the request is refused before it has a price."""
    made = quote.generation
    price = made.price if made else None
    return {
        "object": "quote",
        "possible": not quote.refusals,
        "cost": price,
        "model": made.model if made else None,
        "seconds": made.seconds if made else None,
        "size": made.size if made else None,
        "mode": made.mode if made else None,
        "sound": made.sound if made else None,
        "wallets": [_as_wallet(balance, price or 0) for balance in quote.balances],
        "refusals": [_as_refusal(refusal) for refusal in quote.refusals],
        "queue": queue_of(quote.forecast),
    }


def _as_wallet(balance: Balance, price: int) -> dict[str, Any]:
    left, resets_at = balance.wallet.available, balance.resets_at
    return {
        "scope": balance.scope,
        "period": str(balance.quota.period),
        "available": left,
        "after": left - price if left >= price else None,
        "resets_at": int(resets_at.timestamp()) if resets_at else None,
    }


def _as_refusal(refusal: PlatformError) -> dict[str, Any]:
    error: dict[str, Any] = error_body(refusal.status, refusal.code, str(refusal), refusal.param)["error"]
    return {"status": refusal.status} | error


class QuoteWalletSerializer(serializers.Serializer[Any]):
    scope = serializers.ChoiceField(["user", "team", "key"], help_text=gettext_lazy("Whose quota it is."))
    period = serializers.ChoiceField(Quota.Period.values, help_text=gettext_lazy("How often it begins anew."))
    available = serializers.IntegerField(help_text=gettext_lazy("What is left."))
    after = serializers.IntegerField(
        allow_null=True, help_text=gettext_lazy("What would be left; null where it cannot pay.")
    )
    resets_at = serializers.IntegerField(allow_null=True, help_text=gettext_lazy("Unix seconds."))


class QuoteRefusalSerializer(RefusalSerializer):
    status = serializers.IntegerField(
        help_text=gettext_lazy("The HTTP status that the real call would have.")
    )


class QuoteSerializer(serializers.Serializer[Any]):
    object = serializers.ChoiceField(["quote"])
    possible = serializers.BooleanField(help_text=gettext_lazy("Whether the real call would make it now."))
    cost = serializers.IntegerField(
        allow_null=True, help_text=gettext_lazy("Its price in credits; null where the request is refused.")
    )
    model = serializers.CharField(allow_null=True)
    seconds = serializers.IntegerField(allow_null=True, help_text=gettext_lazy("The length."))
    size = serializers.CharField(allow_null=True, help_text=gettext_lazy("The ratio."))
    mode = serializers.CharField(
        allow_null=True, help_text=gettext_lazy("The mode that would be taken: the cheapest that allows it.")
    )
    sound = serializers.BooleanField(allow_null=True, help_text=gettext_lazy("Whether it has sound."))
    wallets = QuoteWalletSerializer(many=True, help_text=gettext_lazy("Who would pay: all of them."))
    refusals = QuoteRefusalSerializer(
        many=True, help_text=gettext_lazy("What stands in its way; empty when nothing does.")
    )
    queue = QueueSerializer(help_text=gettext_lazy("When it would be made. No promise."))
