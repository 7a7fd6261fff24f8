"""Quotas that run out: their people are told once at 80, 95 and 100 per cent."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F, Q

from accounts.models import Notice, Quota, User, Wallet
from accounts.services.notices import notify

LEVELS = (80, 95, 100)
A_RUN = 500


def warn_of_low_quotas() -> int:
    """Tell those whose open wallets have passed a level since the last look; how many wallets."""
    used, size = F("spent") + F("reserved"), F("granted") - F("expired")
    passed = Q()
    for level in LEVELS:
        passed |= Q(warned__lt=level, hundredfold__gte=size * level)
    rows = Wallet.objects.filter(closed_at__isnull=True, granted__gt=F("expired")).annotate(
        hundredfold=used * 100
    )
    return sum(
        _warn(wallet)
        for wallet in rows.filter(passed).select_related(
            "quota__team", "quota__api_key__user", "quota__user"
        )[:A_RUN]
    )


@transaction.atomic
def _warn(wallet: Wallet) -> bool:
    percent = 100 * (wallet.spent + wallet.reserved) // (wallet.granted - wallet.expired)
    level = max(level for level in LEVELS if percent >= level)
    if not Wallet.objects.filter(pk=wallet.pk, warned__lt=level).update(warned=level):
        return False  # another task was faster
    quota = wallet.quota
    facts = {"as": f"low_{quota.scope}", "period": quota.period, "name": _name(quota)}
    notify(
        _concerned(wallet),
        Notice.Kind.LOW,
        link=_place(quota),
        percent=level,
        left=wallet.available,
        **facts,
    )
    return True


def _name(quota: Quota) -> str:
    """What its reader calls the owner; one's own quota needs no name."""
    return quota.team.name if quota.team else quota.api_key.label if quota.api_key else ""


def _place(quota: Quota) -> str:
    """Where its readers see it, and can do something."""
    if quota.team_id:
        return f"/manage/teams/{quota.team_id}"
    return f"/account/keys/{quota.api_key_id}" if quota.api_key_id else "/account#credits"


def _concerned(wallet: Wallet) -> list[User]:
    """Who spends it; for a team those who manage it."""
    quota = wallet.quota
    if quota.user:
        return [quota.user]
    if quota.api_key:
        return [quota.api_key.user]
    managers = User.objects.filter(role=User.Role.MANAGER, teams=quota.team_id, is_active=True)
    return list(managers.order_by("pk"))
