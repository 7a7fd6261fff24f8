"""One change to the quotas of many people: shown with what it does to each, then done to all or to none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import quotas
from accounts.models import Quota, User
from accounts.services.auditing import audit
from accounts.services.credits import check_credits, set_quota
from kling_platform.errors import InvalidValue, PlatformError, WrongState

AT_ONCE = 500  # people in one edit
SET, ADD, PERCENT = "set", "add", "percent"
HOW = {
    SET: gettext_lazy("set to"),
    ADD: gettext_lazy("raise by (− cuts)"),
    PERCENT: gettext_lazy("raise by % (− cuts)"),
}


@dataclass(frozen=True)
class Edit:
    """What becomes of the quota for ``period``; ``amount`` is in credits, or in per cent."""

    period: str
    how: str
    amount: int

    def check(self) -> None:
        """Raise ``InvalidValue`` for what cannot be."""
        if self.how not in HOW or self.period not in Quota.Period.values:
            raise InvalidValue(_("Choose what becomes of the quota, and for which period."), param="how")
        if self.how == SET:
            check_credits(self.amount)
        elif not -settings.MAX_CREDITS <= self.amount <= settings.MAX_CREDITS or not self.amount:
            raise InvalidValue(_("Say by how much, up or down."), param="amount")

    def after(self, before: int | None) -> int | None:
        """Credits after it; None for who has no quota that could be raised or cut."""
        if self.how == SET:
            return self.amount
        if before is None:
            return None
        after = before + self.amount if self.how == ADD else (before * (100 + self.amount) + 50) // 100
        return min(max(after, 0), settings.MAX_CREDITS)


@dataclass(frozen=True)
class Effect:
    """What an edit does to one person. ``version`` of the quota as it was looked at, 0 for none.

    ``moved`` is what the running period gets or loses at once; ``short`` is what a cut cannot take any more,
    because it is spent or held.
    """

    user: User
    version: int
    before: int | None
    after: int | None
    moved: int = 0
    short: int = 0

    @property
    def changes(self) -> bool:
        return self.after is not None and self.after != self.before


def preview(users: QuerySet[User], edit: Edit) -> list[Effect]:
    """What the edit would do to each of them now, in the order of their names; nothing is written."""
    edit.check()
    return [_effect(user, edit) for user in users.prefetch_related(quotas.AT_A_GLANCE).order_by("username")]


def _effect(user: User, edit: Edit) -> Effect:
    balance = next((b for b in quotas.glances(user) if b.quota.period == edit.period), None)
    if balance is None:
        lifted = (
            Quota.objects.of(user).filter(period=edit.period).first()
        )  # rare, and then it has a version too
        after = edit.after(None)
        return Effect(user, lifted.version if lifted else 0, None, after, moved=after or 0)
    before = balance.quota.credits
    after = edit.after(before)
    wanted = (after or 0) - before
    moved = max(wanted, -balance.wallet.available)
    return Effect(user, balance.quota.version, before, after, moved, moved - wanted)


@transaction.atomic
def apply_edit(edit: Edit, *, seen: Mapping[int, int], reason: str, actor: User) -> int:
    """Do it to these people, by id with the version of the quota that was looked at: to all or to none.

    ``WrongState`` names whose quota somebody else changed meanwhile. Returns how many were changed.
    """
    edit.check()
    if not reason.strip():
        raise InvalidValue(_("Say why: everybody whose quota changes may ask."), param="reason")
    if not 1 <= len(seen) <= AT_ONCE:
        raise InvalidValue(_("Choose 1 to %(most)d people.") % {"most": AT_ONCE}, param="who")
    users = list(User.objects.funded_by(actor).filter(pk__in=seen).order_by("pk"))
    if len(users) != len(seen):
        raise WrongState(_("Somebody among these is not yours to decide about any more. Look again."))
    standing = Quota.objects.filter(user__in=users, period=edit.period).standing().order_by("pk")
    quotas.current_wallets(list(standing.values_list("pk", flat=True)))  # all locked, in everybody's order
    credits = dict(standing.values_list("user_id", "credits"))
    changed = 0
    for user in users:
        after = edit.after(credits.get(user.pk))
        if after is None or after == credits.get(user.pk):
            continue
        try:
            set_quota(
                user, credits=after, period=edit.period, version=seen[user.pk], reason=reason, actor=actor
            )
        except WrongState as error:
            raise _overtaken(user) from error
        changed += 1
    audit(
        "quota.bulk",
        actor,
        actor=actor,
        how=edit.how,
        amount=edit.amount,
        period=edit.period,
        people=changed,
        reason=reason,
    )
    return changed


def _overtaken(user: User) -> PlatformError:
    return WrongState(
        _("Somebody else changed the quota of %(user)s meanwhile; nothing was saved for anybody. Look again.")
        % {"user": user}
    )
