"""Which wallets pay for a user, a team and a key now; what blocks, and when it resets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import F, FilteredRelation, Q, QuerySet
from django.db.models.functions import Now
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from accounts import ledger, periods
from accounts.models import ApiKey, Quota, Team, User, Wallet
from kling_platform.errors import InsufficientQuota, NoQuota


@dataclass(frozen=True)
class Balance:
    """What one quota still allows now, in credits. ``resets_at`` is None for a quota in total."""

    quota: Quota
    wallet: Wallet

    @property
    def resets_at(self) -> datetime | None:
        return self.wallet.ends_at

    @property
    def used(self) -> int:
        """Spent and held: what counts against the quota."""
        return self.wallet.spent + self.wallet.reserved

    @property
    def scope(self) -> str:
        """``user``, ``team`` or ``key``."""
        return "user" if self.quota.user_id else "team" if self.quota.team_id else "key"

    @property
    def name(self) -> str:
        """A person's words for it, for the middle of a sentence: "your monthly quota"."""
        periods_ = {
            "day": _("daily quota"),
            "week": _("weekly quota"),
            "month": _("monthly quota"),
            "total": _("total quota"),
        }
        whose = {
            "user": pgettext("whose quota", "your"),
            "team": pgettext("whose quota", "your team's"),
            "key": pgettext("whose quota", "this key's"),
        }[self.scope]
        return _("%(whose)s %(quota)s") % {"whose": whose, "quota": periods_[self.wallet.period]}


@transaction.atomic
def paying_wallets(
    *, user: User, team: Team | None = None, api_key: ApiKey | None = None
) -> dict[int, Quota]:
    """Ids of the open wallets that pay, with their quotas; opens and closes periods as the clock demands.

    One query where every wallet is open and current. Raises ``NoQuota`` where the user has none.
    """
    owners = Q(user=user)
    if team is not None:
        owners |= Q(team=team)
    if api_key is not None:
        owners |= Q(api_key=api_key)
    found: dict[int, Quota] = {}
    for quota in _with_open_wallet(Quota.objects.filter(owners)):
        current = quota.open_wallet_id if quota.open_until is None or quota.open_until > quota.now else None  # type: ignore[attr-defined]
        found[current or _open_wallet(quota.pk)] = quota
    if not any(quota.user_id for quota in found.values()):
        raise NoQuota(
            _("You have no quota yet, so nothing was made and nothing was charged. Ask an admin for one.")
        )
    return found


def _with_open_wallet(quotas: QuerySet[Quota]) -> QuerySet[Quota]:
    """Each quota with the id and end of its open wallet, and the database's clock, in one query."""
    return quotas.annotate(
        open_wallet=FilteredRelation("wallets", condition=Q(wallets__closed_at__isnull=True)),
    ).annotate(open_wallet_id=F("open_wallet__pk"), open_until=F("open_wallet__ends_at"), now=Now())


def current_wallet(quota: Quota) -> Wallet:
    """The wallet of the period that is running now, made if need be."""
    return Wallet.objects.get(pk=_open_wallet(quota.pk))


@transaction.atomic
def _open_wallet(quota_id: int) -> int:
    """Id of the quota's current wallet. The quota's row is the lock: two callers open one wallet.

    A quota whose kind of period was changed begins a new wallet; the old one is closed.
    """
    quota = Quota.objects.select_for_update().get(pk=quota_id)
    now = Quota.objects.annotate(now=Now()).values_list("now", flat=True).get(pk=quota_id)
    starts_at, ends_at = periods.bounds(quota.period, now, settings.TIME_ZONE)
    standing = Wallet.objects.filter(quota=quota, closed_at__isnull=True).first()
    if standing and (standing.ends_at is None or standing.ends_at > now) and standing.period == quota.period:
        return standing.pk
    if standing:
        ledger.close(standing.pk)
    wallet = Wallet.objects.create(quota=quota, period=quota.period, starts_at=starts_at, ends_at=ends_at)
    ledger.allot(wallet.pk, quota.credits)
    return wallet.pk


def balances(user: User, *, api_key: ApiKey | None = None) -> list[Balance]:
    """The user's own balance first, then those of the teams and of the key."""
    owners = Q(user=user) | Q(team__members=user)
    if api_key is not None:
        owners |= Q(api_key=api_key)
    quotas = Quota.objects.filter(owners).select_related("team", "api_key").distinct()
    found = [Balance(quota, current_wallet(quota)) for quota in quotas]
    return sorted(found, key=lambda b: ("user", "team", "key").index(b.scope))


def refusal(wallet_id: int, quota: Quota, price: int) -> InsufficientQuota:
    """The sentence for a wallet that cannot pay: which quota, what is left, what it needs, when it resets."""
    balance = Balance(quota, Wallet.objects.get(pk=wallet_id))
    values = {
        "quota": balance.name,
        "left": balance.wallet.available,
        "price": price,
        "date": date_format(localtime(balance.resets_at), "j F") if balance.resets_at else "",
    }
    if balance.resets_at:
        text = _("%(quota)s: %(left)d credits left, this needs %(price)d, resets %(date)s.")
    else:
        text = _("%(quota)s: %(left)d credits left, this needs %(price)d.")
    advice = _("Nothing was charged. Take a cheaper option, or ask an admin for more.")
    sentence = text % values
    return InsufficientQuota(f"{sentence[:1].upper()}{sentence[1:]} {advice}")
