"""Quotas, their wallets, and the journal of every credit that moves. Constraints hold what must be true."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models.keys import ApiKey
from accounts.models.people import Team, User


class QuotaQuerySet(models.QuerySet["Quota"]):
    def of(self, owner: User | Team | ApiKey) -> Self:
        """Everything that was ever set for this owner, also what is lifted now."""
        return self.filter(**Quota.owned_by(owner))

    def standing(self) -> Self:
        """Those that limit, and pay, now."""
        return self.filter(lifted_at__isnull=True)


class Quota(models.Model):
    """How many credits one user, team or key may spend in each period of one kind.

    An owner may have one for each kind, say 200 a day and 3,000 a month; then all of them pay, or none.
    """

    class Period(models.TextChoices):
        DAY = "day", _("day")
        WEEK = "week", _("week")
        MONTH = "month", _("month")
        TOTAL = "total", _("in total")

        @property
        def per(self) -> str:
            """“a day”, “in total”: for after a number of credits."""
            return {
                "day": gettext("a day"),
                "week": gettext("a week"),
                "month": gettext("a month"),
                "total": gettext("in total"),
            }[self.value]

        @property
        def quota(self) -> str:
            """“monthly quota”, for the middle of a sentence."""
            return {
                "day": gettext("daily quota"),
                "week": gettext("weekly quota"),
                "month": gettext("monthly quota"),
                "total": gettext("total quota"),
            }[self.value]

    user = models.ForeignKey(User, models.CASCADE, null=True, blank=True, related_name="quotas")
    team = models.ForeignKey(Team, models.CASCADE, null=True, blank=True, related_name="quotas")
    api_key = models.ForeignKey(ApiKey, models.CASCADE, null=True, blank=True, related_name="quotas")
    credits = models.PositiveBigIntegerField(_("credits per period"))
    period = models.CharField(_("period"), max_length=5, choices=Period, default=Period.MONTH)
    # Set where it limits no more; what its wallet holds is still resolved in it.
    lifted_at = models.DateTimeField(_("lifted"), null=True, blank=True, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    objects: ClassVar[models.Manager[Quota]] = QuotaQuerySet.as_manager()

    class Meta:
        verbose_name = _("quota")
        verbose_name_plural = _("quotas")
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=False, team__isnull=True, api_key__isnull=True)
                | Q(user__isnull=True, team__isnull=False, api_key__isnull=True)
                | Q(user__isnull=True, team__isnull=True, api_key__isnull=False),
                name="accounts_quota_one_owner",
            ),
            models.UniqueConstraint(fields=["user", "period"], name="accounts_quota_of_user_per_period"),
            models.UniqueConstraint(fields=["team", "period"], name="accounts_quota_of_team_per_period"),
            models.UniqueConstraint(fields=["api_key", "period"], name="accounts_quota_of_key_per_period"),
            models.CheckConstraint(
                condition=Q(period__in=["day", "week", "month", "total"]), name="accounts_quota_period_known"
            ),
            models.CheckConstraint(
                condition=Q(credits__lte=settings.MAX_CREDITS), name="accounts_quota_credits_bounded"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.owner}: {self.credits} / {self.get_period_display()}"

    @staticmethod
    def owned_by(owner: User | Team | ApiKey) -> dict[str, Any]:
        """The field of the owner with the owner in it: {"team": team}."""
        # Not by type(): request.user is a lazy stand-in for its user.
        field = "user" if isinstance(owner, User) else "team" if isinstance(owner, Team) else "api_key"
        return {field: owner}

    @property
    def scope(self) -> str:
        """``user``, ``team`` or ``key``."""
        return "user" if self.user_id else "team" if self.team_id else "key"

    @property
    def owner(self) -> User | Team | ApiKey:
        """The one user, team or key that this quota is for."""
        owner = self.user or self.team or self.api_key
        assert owner is not None  # noqa: S101 - held by accounts_quota_one_owner
        return owner


class DefaultQuota(models.Model):
    """What somebody new may spend in each kind of period, where nobody says otherwise: one row.

    Without the row it is ``quotas.FIRST_DEFAULT``.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    day = models.PositiveBigIntegerField(null=True)
    week = models.PositiveBigIntegerField(null=True)
    month = models.PositiveBigIntegerField(null=True)
    total = models.PositiveBigIntegerField(null=True)
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="accounts_defaultquota_one_row"),
            models.CheckConstraint(
                condition=Q(day__isnull=False)
                | Q(week__isnull=False)
                | Q(month__isnull=False)
                | Q(total__isnull=False),
                name="accounts_defaultquota_is_one",
            ),
        ]

    def __str__(self) -> str:
        return ", ".join(f"{credits} / {period}" for period, credits in self.credits.items())

    @property
    def credits(self) -> dict[str, int]:
        """Credits by period, for those periods that have any."""
        found = {period: getattr(self, period) for period in Quota.Period.values}
        return {period: credits for period, credits in found.items() if credits is not None}


class Wallet(models.Model):
    """A quota in one period, in whole credits: ``granted = available + reserved + spent + expired``.

    Written by ``accounts.ledger`` alone. ``version`` counts the transfers; the last one's ``seq`` equals it.
    """

    quota = models.ForeignKey(Quota, models.PROTECT, related_name="wallets")
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"), null=True, blank=True)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)
    granted = models.BigIntegerField(_("granted"), default=0)
    available = models.BigIntegerField(_("available"), default=0)
    reserved = models.BigIntegerField(_("held"), default=0)
    spent = models.BigIntegerField(_("spent"), default=0)
    expired = models.BigIntegerField(_("expired"), default=0)
    version = models.PositiveIntegerField(default=0)
    # The highest per cent at which its people were told; see ``services.warn_of_low_quotas``.
    warned = models.PositiveSmallIntegerField(default=0, editable=False)

    class Meta:
        verbose_name = _("wallet")
        verbose_name_plural = _("wallets")
        constraints = [
            models.CheckConstraint(
                condition=Q(granted=F("available") + F("reserved") + F("spent") + F("expired")),
                name="accounts_wallet_conserved",
            ),
            models.CheckConstraint(
                condition=Q(granted__gte=0, available__gte=0, reserved__gte=0, spent__gte=0, expired__gte=0),
                name="accounts_wallet_not_negative",
            ),
            models.UniqueConstraint(
                fields=["quota"], condition=Q(closed_at__isnull=True), name="accounts_wallet_one_open"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quota_id} {self.starts_at:%Y-%m-%d}"


class Transfer(models.Model):
    """One line of the journal: append-only, held so by triggers. ``amount`` is in credits.

    Only ``allot`` and ``adjust`` may be negative. ``reservation`` points from a settle, release or
    refund to the reserve that it resolves.
    """

    class Kind(models.TextChoices):
        ALLOT = "allot", _("quota")
        GRANT = "grant", _("granted")
        ADJUST = "adjust", _("corrected")
        RESERVE = "reserve", _("held")
        SETTLE = "settle", _("charged")
        RELEASE = "release", _("returned")
        REFUND = "refund", _("refunded")
        EXPIRE = "expire", _("expired")

    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="transfers")
    seq = models.PositiveIntegerField()
    kind = models.CharField(_("kind"), max_length=7, choices=Kind)
    amount = models.BigIntegerField(_("credits"))
    available_after = models.BigIntegerField(_("available after"))
    generation_id = models.UUIDField(_("generation"), null=True, blank=True, db_index=True)
    reservation = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="resolutions", db_index=False
    )
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    actor = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(_("time"), default=timezone.now)

    class Meta:
        verbose_name = _("transfer")
        verbose_name_plural = _("transfers")
        constraints = [
            # A careless stale writer loses here instead of minting.
            models.UniqueConstraint(fields=["wallet", "seq"], name="accounts_transfer_seq"),
            models.UniqueConstraint(
                fields=["wallet", "generation_id"],
                condition=Q(kind="reserve"),
                name="accounts_transfer_one_reserve",
            ),
            models.UniqueConstraint(
                fields=["reservation"],
                condition=Q(kind__in=["settle", "release"]),
                name="accounts_transfer_one_resolution",
            ),
            models.UniqueConstraint(
                fields=["reservation"], condition=Q(kind="refund"), name="accounts_transfer_one_refund"
            ),
            models.CheckConstraint(
                condition=Q(amount__gt=0) | (Q(kind__in=["allot", "adjust"]) & ~Q(amount=0)),
                name="accounts_transfer_amount_sign",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["settle", "release", "refund"], reservation__isnull=False)
                | (~Q(kind__in=["settle", "release", "refund"]) & Q(reservation__isnull=True)),
                name="accounts_transfer_resolves_a_reserve",
            ),
            models.CheckConstraint(
                condition=~Q(kind="reserve") | Q(generation_id__isnull=False),
                name="accounts_transfer_reserve_has_generation",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"


class TopUp(models.Model):
    """Credits that were granted until a moment: what is not used by then expires.

    Used first: what was held since ``grant`` and up to the line ``last_seq``, and did not come back, is theirs,
    those that end sooner before those that end later. ``ledger`` alone writes this.
    """

    grant = models.OneToOneField(Transfer, models.PROTECT, related_name="top_up")
    ends_at = models.DateTimeField(_("until"))
    # The wallet's version when they ended; what is held later uses none of them.
    last_seq = models.PositiveIntegerField(null=True)
    expired = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(expired=0) | Q(last_seq__isnull=False), name="accounts_topup_expires_at_its_end"
            )
        ]
        indexes = [
            # The sweep asks for those whose time is over.
            models.Index(fields=["ends_at"], condition=Q(last_seq__isnull=True), name="accounts_topup_living")
        ]

    def __str__(self) -> str:
        return f"{self.grant_id} {self.ends_at:%Y-%m-%d}"
