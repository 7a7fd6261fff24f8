"""What a request would cost, who would pay, and what stands in its way: a rehearsal that leaves nothing behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from accounts import quotas
from accounts.models import ApiKey, User, Wallet
from generations.models import Generation
from generations.services.forecasts import Forecast, forecast_new
from generations.services.paces import Kind
from generations.services.requests import create_paid, drafted
from kling_platform.errors import InsufficientQuota, PlatformError


@dataclass(frozen=True)
class Quote:
    """``generation`` as it would be made, never saved; None where the request itself is refused.

    ``refusals`` are what the real call would raise, one or more; without any it would be made.
    ``balances`` are of the wallets that would pay, as they stand before it.
    """

    generation: Generation | None = None
    forecast: Forecast | None = None
    balances: tuple[quotas.Balance, ...] = ()
    refusals: tuple[PlatformError, ...] = ()


def quote(*, user: User, request: Mapping[str, Any], api_key: ApiKey | None = None) -> Quote:
    """What ``create`` would do with the same arguments now. It is done, and taken back."""
    try:
        generation, _frames = drafted(user=user, request=request, api_key=api_key)
    except PlatformError as refusal:
        return Quote(refusals=(refusal,))
    with transaction.atomic():
        try:
            return _rehearse(generation)
        finally:
            transaction.set_rollback(True)


def _rehearse(generation: Generation) -> Quote:
    user = generation.user
    kind = Kind(generation.model, generation.seconds, generation.mode)
    forecast = forecast_new(kind, user.pk)
    try:
        paying = quotas.paying_wallets(user=user, team=generation.team, api_key=generation.api_key)
    except PlatformError as refusal:
        return Quote(generation, forecast, refusals=(refusal,))
    wallets = Wallet.objects.in_bulk(paying)
    balances = {pk: quotas.Balance(quota, wallets[pk]) for pk, quota in paying.items()}
    refusals: list[PlatformError] = [
        quotas.refusal(pk, paying[pk], generation.price)
        for pk, balance in balances.items()
        if balance.wallet.available < generation.price
    ]
    try:
        with transaction.atomic():
            create_paid(generation)
    except PlatformError as refusal:
        # The real call names the first wallet that cannot pay; here all of them stand already.
        if not (refusals and isinstance(refusal, InsufficientQuota)):
            refusals.append(refusal)
    return Quote(generation, forecast, tuple(balances.values()), tuple(refusals))
