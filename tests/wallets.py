"""What somebody's wallets hold, and what tests do to them."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts import ledger, quotas
from accounts.models import User, Wallet


def columns(wallet: Wallet) -> tuple[int, int, int, int, int]:
    """(granted, available, reserved, spent, expired) as the database has them."""
    wallet.refresh_from_db()
    return wallet.granted, wallet.available, wallet.reserved, wallet.spent, wallet.expired


def wallet_of(user: User) -> Wallet:
    """Of somebody with one quota."""
    return quotas.balance(user.quotas.get(lifted_at=None)).wallet


def hold(user: User, credits: int, **others: Any) -> uuid.UUID:
    generation = uuid.uuid4()
    with transaction.atomic():
        ledger.reserve(quotas.paying_wallets(user=user, **others), credits, generation_id=generation)
    return generation


def end_period(wallet: Wallet) -> None:
    """The wallet's time has passed."""
    Wallet.objects.filter(pk=wallet.pk).update(
        starts_at=timezone.now() - timedelta(days=40), ends_at=timezone.now() - timedelta(seconds=1)
    )


def left_of(user: User) -> dict[str, int]:
    return {balance.quota.period: balance.wallet.available for balance in quotas.balances_of(user)}
