"""How much: quotas, grants and corrections."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import ledger, quotas
from accounts.models import ApiKey, Quota, Team, User
from accounts.services.auditing import audit
from kling_platform.errors import InvalidValue, WrongState

DEFAULT_CREDITS = 1_000
DEFAULT_PERIOD = Quota.Period.MONTH


@transaction.atomic
def set_quota(
    owner: User | Team | ApiKey,
    *,
    credits: int,
    period: str | None = None,
    reason: str = "",
    actor: User | None = None,
    version: int | None = None,
) -> ledger.Moved:
    """Give an owner this many credits per period; the current wallet moves by the difference at once.

    ``version`` is the one that the editor saw: where another editor was faster, ``WrongState``.
    """
    check_credits(credits)
    if period is not None and period not in Quota.Period.values:
        raise InvalidValue(_("A period is one of day, week, month and total."), param="period")
    field = {User: "user", Team: "team", ApiKey: "api_key"}[type(owner)]
    quota, made = Quota.objects.get_or_create(
        **{field: owner}, defaults={"credits": credits, "period": period or DEFAULT_PERIOD}
    )
    before = {"credits": None, "period": None} if made else {"credits": quota.credits, "period": quota.period}
    if not made:
        seen = quota.version if version is None else version
        changed = Quota.objects.filter(pk=quota.pk, version=seen).update(
            credits=credits,
            period=period or quota.period,
            lifted_at=None,
            version=F("version") + 1,
            updated_at=timezone.now(),
        )
        if changed != 1:
            raise WrongState(
                _("Somebody else changed this quota meanwhile; nothing was saved. Look again, then decide.")
            )
        quota.refresh_from_db()
    change = ledger.allot(quotas.current_wallet(quota).pk, credits, reason=reason, actor=actor)
    audit(
        "quota.set",
        owner,
        actor=actor,
        before=before,
        credits=credits,
        period=quota.period,
        reason=reason,
        **change._asdict(),
    )
    return change


@transaction.atomic
def lift_quota(owner: Team | ApiKey, *, actor: User | None) -> None:
    """Limit a team or key no more. What its wallet holds is still resolved there, and it may get a quota again."""
    field = {Team: "team", ApiKey: "api_key"}[type(owner)]
    standing = Quota.objects.filter(**{field: owner}, lifted_at__isnull=True)
    if standing.update(lifted_at=timezone.now(), version=F("version") + 1, updated_at=timezone.now()):
        audit("quota.lift", owner, actor=actor)


@transaction.atomic
def grant(quota: Quota, *, credits: int, reason: str, actor: User | None) -> None:
    """Add credits once, for the period that is running."""
    check_credits(credits, least=1)
    ledger.grant(quotas.current_wallet(quota).pk, credits, reason=reason, actor=actor)
    audit("quota.grant", quota.owner, actor=actor, credits=credits, reason=reason)


@transaction.atomic
def adjust(quota: Quota, *, credits: int, reason: str, actor: User | None) -> ledger.Moved:
    """Correct the current wallet by a positive or negative amount; a cut may reach less than was wanted."""
    check_credits(abs(credits), least=1)
    if not reason.strip():
        raise InvalidValue(_("Say why: a correction needs a reason."), param="reason")
    change = ledger.adjust(quotas.current_wallet(quota).pk, credits, reason=reason, actor=actor)
    audit("quota.adjust", quota.owner, actor=actor, reason=reason, **change._asdict())
    return change


def check_credits(credits: int, *, least: int = 0) -> None:
    """``InvalidValue`` for all but a whole number within reason."""
    if (
        isinstance(credits, bool)
        or not isinstance(credits, int)
        or not least <= credits <= settings.MAX_CREDITS
    ):
        raise InvalidValue(
            _("Credits are a whole number from %(least)d to %(most)d.")
            % {"least": least, "most": settings.MAX_CREDITS},
            param="credits",
        )
