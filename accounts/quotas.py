"""Which wallets pay for a user, a team and a key now; what blocks, and when it resets."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db import transaction
from django.db.models import Exists, F, FilteredRelation, Max, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from accounts import ledger, links, periods
from accounts.models import ApiKey, DefaultQuota, Quota, Team, TopUp, User, Wallet
from kling_platform import prepared
from kling_platform.errors import InsufficientQuota, NoQuota

ENOUGH_TO_TELL = timedelta(days=1)  # of use, before anybody says how long the rest will last


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
    def size(self) -> int:
        """What the period had to offer, without what has expired of top-ups."""
        return self.wallet.granted - self.wallet.expired

    @property
    def top_ups(self) -> list[tuple[int, datetime]]:
        """Credits of what is left that expire before the period ends, and when."""
        living = TopUp.objects.filter(grant__wallet=self.wallet, last_seq__isnull=True)
        known = list(living.select_related("grant").order_by("ends_at", "pk"))
        rest = ledger.unused(self.wallet.pk, known)
        return [(rest[each.pk], each.ends_at) for each in known if rest[each.pk]]

    def runs_out_at(self, now: datetime) -> datetime | None:
        """When the rest is used up, should it go on as in this period so far.

        None before a day of it is known, when nothing was used or nothing is left, or when the period ends earlier.
        """
        elapsed = self.known_for(now)
        if elapsed < ENOUGH_TO_TELL or not self.used or not self.wallet.available:
            return None
        out = now + elapsed * (self.wallet.available / self.used)
        return out if self.resets_at is None or out < self.resets_at else None

    def known_for(self, now: datetime) -> timedelta:
        """How long the quota has been there in this period."""
        return now - max(self.wallet.starts_at, self.quota.created_at)

    @property
    def scope(self) -> str:
        """``user``, ``team`` or ``key``."""
        return self.quota.scope

    @property
    def name(self) -> str:
        """A person's words for it, for the middle of a sentence: "your monthly quota"."""
        whose = {
            "user": pgettext("whose quota", "your"),
            "team": pgettext("whose quota", "your team's"),
            "key": pgettext("whose quota", "this key's"),
        }[self.scope]
        return _("%(whose)s %(quota)s") % {"whose": whose, "quota": Quota.Period(self.quota.period).quota}


def paying_wallets(
    *, user: User, team: Team | None = None, api_key: ApiKey | None = None
) -> dict[int, Quota]:
    """Ids of the open wallets that pay, with their quotas; opens and closes periods as the clock demands.

    One query where every wallet is open and current. Raises ``NoQuota`` where the user has none.
    """
    asked = _paying if prepared.is_possible() else _paying_twin
    found = _current(asked(user, team, api_key))
    if not any(quota.user_id for quota in found.values()):
        raise NoQuota(
            _("You have no quota yet, so nothing was made and nothing was charged. Ask for one:"),
            link=links.full(way_to_more(None)),
        )
    return found


def balances(user: User, *, api_key: ApiKey | None = None) -> list[Balance]:
    """The user's own balance first, then those of the teams and of the key."""
    owners = Q(user=user) | Q(team__in=user.teams.all())
    if api_key is not None:
        owners |= Q(api_key=api_key)
    found = _current(_with_wallets(Quota.objects.standing().filter(owners).select_related("team", "api_key")))
    wallets = Wallet.objects.in_bulk(found)
    known = [Balance(quota, wallets[wallet_id]) for wallet_id, quota in found.items()]
    return sorted(known, key=_in_order)


def tightest(user: User) -> Balance | None:
    """Of the quotas that pay for the user and their teams the one with the least left.

    None where none is the user's own: then nothing pays.
    """
    known = balances(user)
    if not any(balance.scope == "user" for balance in known):
        return None
    return min(known, key=lambda balance: balance.wallet.available)


def _in_order(balance: Balance) -> tuple[int, int, int]:
    quota = balance.quota
    scope = ("user", "team", "key").index(balance.scope)
    return scope, quota.team_id or quota.api_key_id or 0, Quota.Period.values.index(quota.period)


def balances_of(owner: User | Team | ApiKey) -> list[Balance]:
    """What the quotas of this one owner still allow now."""
    found = _current(_with_wallets(Quota.objects.of(owner).standing()))
    wallets = Wallet.objects.in_bulk(found)
    return sorted((Balance(quota, wallets[pk]) for pk, quota in found.items()), key=_in_order)


def balance(quota: Quota) -> Balance:
    """What one quota still allows now."""
    ((wallet_id, found),) = _current(_with_wallets(Quota.objects.filter(pk=quota.pk))).items()
    return Balance(found, Wallet.objects.get(pk=wallet_id))


def default_in_words() -> str:
    """“200 credits a day, 3,000 credits a month”, in the reader's language."""
    return ", ".join(
        _("%(credits)s credits %(per)s") % {"credits": intcomma(credits), "per": Quota.Period(period).per}
        for period, credits in default()[0].items()
    )


OPEN_WALLETS = Prefetch("wallets", Wallet.objects.filter(closed_at__isnull=True), to_attr="open_wallets")
# For a list of people or teams: their standing quotas with the open wallets, in two queries. See ``glances``.
AT_A_GLANCE = Prefetch(
    "quotas",
    Quota.objects.standing().prefetch_related(OPEN_WALLETS),
    to_attr="standing_quotas",
)


def glances(row: Any) -> list[Balance]:
    """What a person or team fetched with ``AT_A_GLANCE`` may still spend; nothing is opened or closed for it."""
    return sorted((glance(quota) for quota in row.standing_quotas), key=_in_order)


def glance(quota: Any) -> Balance:
    """A quota with its ``open_wallets``. Where the period is over, the next touch opens a whole new one."""
    now = timezone.now()
    for wallet in quota.open_wallets:
        if wallet.ends_at is None or wallet.ends_at > now:
            return Balance(quota, wallet)
    starts_at, ends_at = periods.bounds(quota.period, now, settings.TIME_ZONE)
    fresh = {"granted": quota.credits, "available": quota.credits}
    return Balance(quota, Wallet(quota=quota, starts_at=starts_at, ends_at=ends_at, **fresh))


def with_most_used(rows: QuerySet[Any], owner: str) -> QuerySet[Any]:
    """Each user (``owner`` "user") or team ("team") with ``most_used``: the most that an open wallet has used."""
    used = (
        Wallet.objects.filter(
            closed_at__isnull=True, quota__lifted_at__isnull=True, **{f"quota__{owner}": OuterRef("pk")}
        )
        .values(f"quota__{owner}")
        .annotate(used=Max(F("spent") + F("reserved")))
        .values("used")
    )
    return rows.annotate(most_used=Subquery(used))


def with_usage(rows: QuerySet[Quota]) -> QuerySet[Quota]:
    """Each quota with what its open wallet says, in the one query of the list, to be sorted by it."""
    is_open = FilteredRelation("wallets", condition=Q(wallets__closed_at__isnull=True))
    return rows.annotate(open_wallet=is_open).annotate(
        open_used=F("open_wallet__spent") + F("open_wallet__reserved"),
        open_left=F("open_wallet__available"),
        open_held=F("open_wallet__reserved"),
        open_until=F("open_wallet__ends_at"),
    )


FIRST_DEFAULT = {str(Quota.Period.MONTH): 1_000}


def default() -> tuple[dict[str, int], int]:
    """What somebody new may spend, by period, and the version of the row that says so; 0 without one."""
    row = DefaultQuota.objects.first()
    return (row.credits, row.version) if row else (FIRST_DEFAULT, 0)


def _paying_twin(user: User, team: Team | None, api_key: ApiKey | None) -> Iterable[Quota]:
    owners = Q(user=user)
    if team is not None:
        owners |= Q(team=team)
    if api_key is not None:
        owners |= Q(api_key=api_key)
    return _with_wallets(Quota.objects.standing().filter(owners))


def _paying(user: User, team: Team | None, api_key: ApiKey | None) -> Iterable[Quota]:
    """What its twin finds: each create asks for it."""
    owners = {"user": user.pk, "team": team and team.pk, "key": api_key and api_key.pk}
    for row in prepared.every(_PAYING, owners):
        quota: Any = _QUOTA.take(row)
        quota.open_id, quota.open_until, quota.lapsed, quota.now = row
        yield quota


_QUOTA = prepared.Columns(Quota, "q")
_PAYING = f"""
SELECT {_QUOTA.sql}, w.id, w.ends_at,
       EXISTS (SELECT 1 FROM accounts_topup t JOIN accounts_transfer g ON g.id = t.grant_id
                WHERE g.wallet_id = w.id AND t.last_seq IS NULL AND t.ends_at <= statement_timestamp()),
       statement_timestamp()
  FROM accounts_quota q
  LEFT JOIN accounts_wallet w ON w.quota_id = q.id AND w.closed_at IS NULL
 WHERE q.lifted_at IS NULL
   AND (q.user_id = %(user)s OR q.team_id = %(team)s::bigint OR q.api_key_id = %(key)s::bigint)
 ORDER BY q.id
"""  # noqa: S608


def _with_wallets(quotas: QuerySet[Quota]) -> QuerySet[Quota]:
    """Each with its open wallet, what that has of lapsed top-ups, and the database's clock."""
    open_wallet = FilteredRelation("wallets", condition=Q(wallets__closed_at__isnull=True))
    return (
        quotas.annotate(open_wallet=open_wallet)
        .annotate(
            open_id=F("open_wallet__pk"),
            open_until=F("open_wallet__ends_at"),
            lapsed=Exists(_lapsed.filter(grant__wallet=OuterRef("open_wallet__pk"))),
            now=Now(),
        )
        .order_by("pk")
    )


def _current(found: Iterable[Quota]) -> dict[int, Quota]:
    """Id of the wallet of each quota's running period, with the quota; reads only, unless a period is over."""
    rows: list[Any] = list(found)
    ids = {row.pk: row.open_id for row in rows}
    if not all(row.open_id and _runs(row, row.open_until) and not row.lapsed for row in rows):
        ids = {wallet.quota_id: wallet.pk for wallet in current_wallets(list(ids))}
    return {ids[row.pk]: row for row in rows}


# Top-ups whose time is over and that nobody has touched since.
_lapsed = TopUp.objects.filter(last_seq__isnull=True, ends_at__lte=Now())


def _runs(quota: Quota, ends_at: datetime | None) -> bool:
    """Whether an open wallet is the quota's current one; ``quota.now`` is the database's clock."""
    return ends_at is None or ends_at > quota.now  # type: ignore[attr-defined]


def wallets_with_lapsed() -> list[int]:
    """Open wallets with a top-up whose time is over and that nobody has touched since."""
    found = _lapsed.filter(grant__wallet__closed_at__isnull=True).order_by("grant__wallet_id")
    return list(found.values_list("grant__wallet_id", flat=True).distinct())


def current_wallet(quota: Quota) -> Wallet:
    """The wallet of the period that is running now, made if need be; locked until the transaction's end.

    The lock keeps the period open until a change has been posted.
    """
    (wallet,) = current_wallets([quota.pk])
    return wallet


@transaction.atomic
def current_wallets(quota_ids: Collection[int]) -> list[Wallet]:
    """The current wallet of each quota, locked; one whose period is over is closed, and a new one opened.

    What is unused of a top-up whose time is over expires. Quotas are locked before wallets, both in the
    order of their ids, as everywhere: two callers open one wallet and never wait in a circle.

    ``no_key``, because PostgreSQL checks a wallet's foreign key again at the commit of whoever updated the
    wallet twice (a late release does), and a plain FOR UPDATE of the quota would make that check wait.
    """
    quotas = (
        Quota.objects.filter(pk__in=quota_ids)
        .annotate(now=Now())
        .order_by("pk")
        .select_for_update(no_key=True)
    )
    locked = list(quotas)
    standing = {
        wallet.quota_id: wallet
        for wallet in Wallet.objects.filter(quota__in=locked, closed_at__isnull=True)
        .annotate(lapsed=Exists(_lapsed.filter(grant__wallet=OuterRef("pk"))))
        .order_by("pk")
        .select_for_update(no_key=True)
    }
    return [_continued(quota, standing.get(quota.pk)) for quota in locked]


def _continued(quota: Quota, standing: Wallet | None) -> Wallet:
    if standing is not None:
        if _runs(quota, standing.ends_at):
            if standing.lapsed:  # type: ignore[attr-defined]
                ledger.lapse(standing.pk)
                standing.refresh_from_db()
            return standing
        ledger.close(standing.pk)
    starts_at, ends_at = periods.bounds(quota.period, quota.now, settings.TIME_ZONE)  # type: ignore[attr-defined]
    wallet = Wallet.objects.create(quota=quota, starts_at=starts_at, ends_at=ends_at)
    ledger.allot(wallet.pk, quota.credits)
    return wallet


def refusal(wallet_id: int, quota: Quota, price: int) -> InsufficientQuota:
    """The sentence for a wallet that cannot pay: which quota, what is left, what it needs, when it resets.

    To be called after the transaction that failed. The wallet may have been opened in it, and so be gone
    by now; the quota's balance is asked for anew.
    """
    now = balance(quota)
    if now.wallet.available >= price:
        return InsufficientQuota(
            _("Your credits changed at this very moment. Nothing was charged; please send it again.")
        )
    return shortfall(now, price, left=now.wallet.available)


def shortfall(balance: Balance, price: int, *, left: int) -> InsufficientQuota:
    """The same for a balance of which so many credits are left for this, with the way to get more."""
    values = {
        "quota": balance.name,
        "left": left,
        "price": price,
        "date": date_format(localtime(balance.resets_at), _day_and_month()) if balance.resets_at else "",
    }
    if balance.resets_at:
        text = _("%(quota)s: %(left)d credits left, this needs %(price)d, resets %(date)s.")
    else:
        text = _("%(quota)s: %(left)d credits left, this needs %(price)d.")
    if balance.scope == "key":
        advice = _("Nothing was charged. Take a cheaper option, or raise the key's limit:")
    else:
        advice = _("Nothing was charged. Take a cheaper option, or ask for more:")
    sentence = text % values
    return InsufficientQuota(
        f"{sentence[:1].upper()}{sentence[1:]} {advice}", link=links.full(way_to_more(balance, price - left))
    )


def way_to_more(balance: Balance | None, missing: int = 0) -> str:
    """Where more can be had: the form that asks for it, or the page of the key; None asks for a first quota."""
    if balance is None:
        return "/account?ask#ask"
    if balance.scope == "key":
        return f"/account/keys/{balance.quota.api_key_id}"
    return f"/account?ask={missing}&quota={balance.quota.pk}#ask"


def _day_and_month() -> str:
    return pgettext("a day and month, as a date format of Django", "j F")
