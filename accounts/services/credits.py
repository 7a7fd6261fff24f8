"""How much: quotas, grants and corrections."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from accounts import ledger, quotas
from accounts.models import ApiKey, DefaultQuota, Quota, Team, User
from accounts.services.auditing import audit
from kling_platform.errors import InvalidValue, WrongState

Owner = User | Team | ApiKey


@transaction.atomic
def set_quota(
    owner: Owner,
    *,
    credits: int,
    period: str | None = None,
    reason: str = "",
    actor: User | None = None,
    version: int | None = None,
) -> ledger.Moved:
    """Give an owner this many credits per period; the current wallet moves by the difference at once.

    Without ``period`` it is that of the one quota that stands, a month where none does. The quotas for other
    periods stay. ``version`` is the one that the editor saw, 0 for no quota: where another editor was faster,
    ``WrongState``.
    """
    period = period or _only_period(owner)
    seen = None if version is None else {period: version}
    return _put(owner, {period: credits}, lift=(), seen=seen, reason=reason, actor=actor)[period]


def _only_period(owner: Owner) -> str:
    standing = list(Quota.objects.of(owner).standing().values_list("period", flat=True)[:2])
    if len(standing) > 1:
        raise InvalidValue(
            _("%(owner)s has more than one quota: say for which period.") % {"owner": owner}, param="period"
        )
    return standing[0] if standing else Quota.Period.MONTH


@transaction.atomic
def set_quotas(
    owner: Owner,
    credits: Mapping[str, int],
    *,
    seen: Mapping[str, int] | None = None,
    reason: str = "",
    actor: User | None = None,
) -> dict[str, ledger.Moved]:
    """Give an owner exactly these quotas, by period; all others are lifted: they limit and pay no more.

    What a lifted one's wallet holds is still resolved there. A user keeps at least one. ``seen`` are the
    versions that the editor looked at, by period, 0 for none. Returns what was moved, of those that changed.
    """
    if isinstance(owner, User) and not credits:
        raise InvalidValue(
            _("Leave at least one: who has no quota can make nothing. To stop somebody, set it to 0."),
            param="credits",
        )
    standing = dict(Quota.objects.of(owner).standing().values_list("period", "credits"))
    changed = {period: number for period, number in credits.items() if standing.get(period) != number}
    lift = [period for period in standing if period not in credits]
    return _put(owner, changed, lift=lift, seen=seen, reason=reason, actor=actor)


def _put(
    owner: Owner,
    wanted: Mapping[str, int],
    *,
    lift: Collection[str],
    seen: Mapping[str, int] | None,
    reason: str,
    actor: User | None,
) -> dict[str, ledger.Moved]:
    """Set some of an owner's quotas by period, and lift others; all quotas are locked before any wallet is."""
    for period, credits in wanted.items():
        check_credits(credits)
        if period not in Quota.Period.values:
            raise InvalidValue(_("A period is one of day, week, month and total."), param="period")
    made = {period for period in Quota.Period.values if period in wanted and _is_new(owner, period, wanted)}
    rows = {q.period: q for q in Quota.objects.of(owner).order_by("pk").select_for_update(no_key=True)}
    for period in {*wanted, *lift}:
        version = 0 if period in made else rows[period].version
        if seen is not None and seen.get(period, version) != version:
            raise _overtaken()
    for period in {*wanted, *lift} - made:
        now = timezone.now()
        new = {"credits": wanted[period], "lifted_at": None} if period in wanted else {"lifted_at": now}
        same = Quota.objects.filter(pk=rows[period].pk, version=rows[period].version)
        if not same.update(version=F("version") + 1, updated_at=now, **new):
            raise _overtaken()
    for period in lift:
        before = {"credits": rows[period].credits}
        audit("quota.lift", owner, actor=actor, period=period, before=before, reason=reason)
    wallets = {w.quota_id: w.pk for w in quotas.current_wallets([rows[period].pk for period in wanted])}
    moved = {}
    for period, credits in wanted.items():
        quota = rows[period]
        stood = period not in made and quota.lifted_at is None
        if period in made:  # its first wallet was opened with them
            moved[period] = ledger.Moved(0, 0)
        else:
            moved[period] = ledger.allot(wallets[quota.pk], credits, reason=reason, actor=actor)
        audit(
            "quota.set",
            owner,
            actor=actor,
            before={"credits": quota.credits, "period": period}
            if stood
            else {"credits": None, "period": None},
            credits=credits,
            period=period,
            reason=reason,
            **moved[period]._asdict(),
        )
    return moved


def _is_new(owner: Owner, period: str, wanted: Mapping[str, int]) -> bool:
    """Make the owner's quota for this period, where there never was one."""
    key = Quota.owned_by(owner)
    return Quota.objects.get_or_create(**key, period=period, defaults={"credits": wanted[period]})[1]


def _overtaken() -> WrongState:
    return WrongState(
        _("Somebody else changed this quota meanwhile; nothing was saved. Look again, then decide.")
    )


@transaction.atomic
def grant(
    quota: Quota, *, credits: int, reason: str, actor: User | None, until: datetime | None = None
) -> None:
    """Add credits once, for the period that is running, or until a moment in it: then their rest expires."""
    check_credits(credits, least=1)
    wallet = quotas.current_wallet(quota)
    if until is None:
        ledger.grant(wallet.pk, credits, reason=reason, actor=actor)
    else:
        _check_end(until, wallet.ends_at)
        ledger.top_up(wallet.pk, credits, ends_at=until, reason=reason, actor=actor)
    audit(
        "quota.grant",
        quota.owner,
        actor=actor,
        credits=credits,
        period=quota.period,
        reason=reason,
        until=until and until.isoformat(),
    )


def _check_end(until: datetime, period_ends_at: datetime | None) -> None:
    if until <= timezone.now():
        raise InvalidValue(_("That moment is over. Choose a later one."), param="until")
    if period_ends_at is not None and until > period_ends_at:
        raise InvalidValue(
            _(
                "The period ends before that, on %(date)s, and everything in it. Choose an earlier day, or none."
            )
            % {"date": date_format(localtime(period_ends_at), "DATETIME_FORMAT")},
            param="until",
        )


def lapse_top_ups() -> int:
    """Expire what is unused of top-ups whose time is over; of how many wallets."""
    over = quotas.wallets_with_lapsed()
    for wallet_id in over:
        ledger.lapse(wallet_id)
    return len(over)


@transaction.atomic
def adjust(quota: Quota, *, credits: int, reason: str, actor: User | None) -> ledger.Moved:
    """Correct the current wallet by a positive or negative amount; a cut may reach less than was wanted."""
    check_credits(abs(credits), least=1)
    if not reason.strip():
        raise InvalidValue(_("Say why: a correction needs a reason."), param="reason")
    change = ledger.adjust(quotas.current_wallet(quota).pk, credits, reason=reason, actor=actor)
    audit(
        "quota.adjust",
        quota.owner,
        actor=actor,
        period=quota.period,
        reason=reason,
        **change._asdict(),
    )
    return change


@transaction.atomic
def set_default_quotas(credits: Mapping[str, int], *, actor: User, version: int) -> None:
    """What somebody new may spend from now on, by period; nobody who is here already gets more or less.

    ``version`` is the one that the editor saw, 0 where it was never set; ``WrongState`` where it is another.
    """
    if not credits:
        raise InvalidValue(_("Leave at least one: who has no quota can make nothing."), param="credits")
    for number in credits.values():
        check_credits(number)
    before, seen = quotas.default()
    wanted = {period: credits.get(period) for period in Quota.Period.values}
    if seen == version == 0:
        seen += DefaultQuota.objects.get_or_create(pk=1, defaults=wanted)[1]
    else:
        seen = DefaultQuota.objects.filter(version=version).update(version=F("version") + 1, **wanted)
    if not seen:
        raise _overtaken()
    audit("quota.default", _("everybody new"), actor=actor, before=before, after=dict(credits))


def check_credits(credits: int, *, least: int = 0, param: str = "credits") -> None:
    """``InvalidValue``, about the field ``param``, for all but a whole number within reason."""
    if (
        isinstance(credits, bool)
        or not isinstance(credits, int)
        or not least <= credits <= settings.MAX_CREDITS
    ):
        raise InvalidValue(
            _("Credits are a whole number from %(least)d to %(most)d.")
            % {"least": least, "most": settings.MAX_CREDITS},
            param=param,
        )
