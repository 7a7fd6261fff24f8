"""Who may do what, and how much. This app knows nothing of videos: the ledger points back by UUID."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts.models_notices import CreditRequest as CreditRequest
from accounts.models_notices import Notice as Notice

# What an API key may be good for.
SCOPES = ("read", "create", "webhooks")
ENDS_SOON = timedelta(days=14)


class UserManager(DjangoUserManager["User"]):
    def visible_to(self, user: User) -> models.QuerySet[User]:
        """Whose names and figures this person may look up: all for admins and finance, a manager's teams' people."""
        if not user.is_active or user.role not in (User.Role.MANAGER, *User.SEE_ALL):
            return self.none()
        if user.role in User.SEE_ALL:
            return self.all()
        mine = Team.members.through.objects.filter(team__in=Team.objects.managed_by(user))
        return self.filter(pk__in=mine.values("user_id"))

    def create_superuser(
        self, username: str, email: str | None = None, password: str | None = None, **extra: Any
    ) -> User:
        """`createsuperuser` makes an admin in our sense too, so that role and staff flag agree."""
        return super().create_superuser(username, email, password, **{"role": User.Role.ADMIN, **extra})


class User(AbstractUser):
    """A person of the team. ``is_active=False`` is *suspended*: no door opens, keys and links are dead."""

    class Role(models.TextChoices):
        MEMBER = "member", _("member")
        MANAGER = "manager", _("manager")
        FINANCE = "finance", _("finance")
        ADMIN = "admin", _("admin")

    # Who sees everybody. Finance looks at people and money and changes nothing.
    SEE_ALL: ClassVar[tuple[str, ...]] = (Role.ADMIN, Role.FINANCE)

    role = models.CharField(_("role"), max_length=10, choices=Role, default=Role.MEMBER)
    # Part of what a session is checked against, so that one more signs out every browser.
    sign_outs = models.PositiveIntegerField(default=0, editable=False)
    # Left for good: the content is purged, and a pseudonym takes the name's place.
    retired_at = models.DateTimeField(_("left"), null=True, blank=True, editable=False)
    # Kinds of notices that this person wants letters about, besides those that everybody gets.
    mailed_kinds = models.JSONField(_("letters about"), default=list, blank=True)

    objects: ClassVar[UserManager] = UserManager()

    @property
    def key_scopes(self) -> tuple[str, ...]:
        """What a key of this person may be good for at most: all of it, or nothing while suspended."""
        return SCOPES if self.is_active else ()

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints = [
            models.CheckConstraint(
                condition=Q(role="admin", is_staff=True) | (~Q(role="admin") & Q(is_staff=False)),
                name="accounts_user_staff_is_admin",
            ),
            models.CheckConstraint(
                condition=Q(retired_at__isnull=True) | Q(is_active=False), name="accounts_user_retired_is_out"
            ),
            models.CheckConstraint(
                condition=Q(role__in=["member", "manager", "finance", "admin"]),
                name="accounts_user_role_known",
            ),
        ]

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Django's, and the number of sign-outs in it: sessions end with a new password or with one more."""
        salt = "accounts.models.User.session"
        value = f"{self.password}\0{self.sign_outs}"
        return salted_hmac(salt, value, secret=secret, algorithm="sha256").hexdigest()


class TeamManager(models.Manager["Team"]):
    def managed_by(self, user: User) -> models.QuerySet[Team]:
        """The teams whose people and rules this person decides about: all for admins, a manager's own."""
        if not user.is_active or user.role not in (User.Role.ADMIN, User.Role.MANAGER):
            return self.none()
        return self.all() if user.role == User.Role.ADMIN else self.filter(members=user)

    def visible_to(self, user: User) -> models.QuerySet[Team]:
        """Those that are managed; finance looks at all."""
        return self.all() if user.is_active and user.role in User.SEE_ALL else self.managed_by(user)


class Team(models.Model):
    """People who share a library, under rules of their own; a team may have a quota of its own.

    The rules bind what is made *for* the team: those are the videos that it pays for and can see.
    """

    name = models.CharField(_("name"), max_length=100, unique=True)
    members = models.ManyToManyField(User, related_name="teams", verbose_name=_("members"), blank=True)
    # Names of the catalogue's models; empty allows all of them, those of tomorrow too.
    models_allowed = models.JSONField(_("models"), default=list, blank=True)
    sharing = models.BooleanField(_("sharing"), default=True)
    labelled = models.BooleanField(_("label"), default=False)
    retention_days = models.PositiveIntegerField(_("days that videos are kept"), null=True, blank=True)
    version = models.PositiveIntegerField(default=1, editable=False)

    objects: ClassVar[TeamManager] = TeamManager()

    class Meta:
        verbose_name = _("team")
        verbose_name_plural = _("teams")
        constraints = [
            models.CheckConstraint(
                condition=Q(retention_days__isnull=True) | Q(retention_days__gte=1),
                name="accounts_team_retention_positive",
            )
        ]

    def __str__(self) -> str:
        return self.name


class ApiKey(models.Model):
    """A key of one user. Only its SHA-256 is kept; ``lookup`` is the public part that finds the row."""

    user = models.ForeignKey(User, models.CASCADE, related_name="api_keys", verbose_name=_("user"))
    label = models.CharField(_("label"), max_length=100)
    lookup = models.CharField(_("start of the key"), max_length=16, unique=True)
    digest = models.BinaryField(max_length=32, editable=False)
    scopes = models.JSONField(_("scopes"), default=list)
    # What it may not go beyond, besides its owner's quota (its own one is a ``Quota``).
    model_names = models.JSONField(_("models"), default=list, blank=True)  # none: all of them
    most_open = models.PositiveIntegerField(_("videos in the making at a time"), null=True, blank=True)
    expires_at = models.DateTimeField(_("ends"), null=True, blank=True)
    created_at = models.DateTimeField(_("made"), default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)
    # The secret before the last rotation opens too, until then.
    old_digest = models.BinaryField(max_length=32, null=True, editable=False)
    old_until = models.DateTimeField(null=True, blank=True, editable=False)
    old_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    # When its allowance of creating calls is whole again, in Unix microseconds. See ``accounts.rates``.
    creates_whole_at = models.BigIntegerField(default=0, editable=False)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(most_open__isnull=True) | Q(most_open__gte=1), name="accounts_apikey_some_open"
            ),
            models.CheckConstraint(
                condition=Q(old_digest__isnull=True, old_until__isnull=True)
                | Q(old_digest__isnull=False, old_until__isnull=False),
                name="accounts_apikey_old_secret_ends",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} ({self.lookup}…)"

    @property
    def has_ended(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def ends_soon(self) -> bool:
        """Soon enough to think of another one."""
        soon = timezone.now() + ENDS_SOON
        return not self.has_ended and self.expires_at is not None and self.expires_at <= soon

    @property
    def old_secret_lives(self) -> bool:
        return self.old_until is not None and self.old_until > timezone.now()

    def may(self, scope: str) -> bool:
        """Whether it is good for this now: its owner may have lost what the key was once given."""
        return scope in self.scopes and scope in self.user.key_scopes


class Quota(models.Model):
    """How many credits one user, team or key may spend in each period."""

    class Period(models.TextChoices):
        DAY = "day", _("day")
        WEEK = "week", _("week")
        MONTH = "month", _("month")
        TOTAL = "total", _("in total")

    user = models.OneToOneField(User, models.CASCADE, null=True, blank=True, related_name="quota")
    team = models.OneToOneField(Team, models.CASCADE, null=True, blank=True, related_name="quota")
    api_key = models.OneToOneField(ApiKey, models.CASCADE, null=True, blank=True, related_name="quota")
    credits = models.PositiveBigIntegerField(_("credits per period"))
    period = models.CharField(_("period"), max_length=5, choices=Period, default=Period.MONTH)
    # Set for a team or key that is not limited any more; what its wallet holds is still resolved in it.
    lifted_at = models.DateTimeField(_("lifted"), null=True, blank=True, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

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
            models.CheckConstraint(
                condition=Q(period__in=["day", "week", "month", "total"]), name="accounts_quota_period_known"
            ),
            models.CheckConstraint(
                condition=Q(credits__lte=settings.MAX_CREDITS), name="accounts_quota_credits_bounded"
            ),
            models.CheckConstraint(
                condition=Q(lifted_at__isnull=True) | Q(user__isnull=True),
                name="accounts_quota_of_a_user_stands",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.owner}: {self.credits} / {self.get_period_display()}"

    @property
    def owner(self) -> User | Team | ApiKey:
        """The one user, team or key that this quota is for."""
        owner = self.user or self.team or self.api_key
        assert owner is not None  # noqa: S101 - held by accounts_quota_one_owner
        return owner


class Wallet(models.Model):
    """A quota in one period, in whole credits: ``granted = available + reserved + spent + expired``.

    Written by ``accounts.ledger`` alone. ``version`` counts the transfers; the last one's ``seq`` equals it.
    """

    quota = models.ForeignKey(Quota, models.PROTECT, related_name="wallets")
    period = models.CharField(max_length=5, choices=Quota.Period)
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
        return f"{self.quota_id} {self.period} {self.starts_at:%Y-%m-%d}"


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


class AuditEntry(models.Model):
    """Who changed what about people, quotas and keys; written in the transaction of the change."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    at = models.DateTimeField(_("time"), default=timezone.now, db_index=True)
    actor = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("by")
    )
    action = models.CharField(_("action"), max_length=40)
    subject = models.CharField(_("subject"), max_length=200)
    # Where the request came from; empty for what a command or a task did.
    address = models.GenericIPAddressField(_("from"), null=True, blank=True)
    detail = models.JSONField(_("detail"), default=dict)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.action} {self.subject}"


class Invitation(models.Model):
    """A letter that makes its reader a user, once. The link is signed, not stored: see ``accounts.invitations``.

    ``nonce`` is in the link, so that sending it again ends the one before.
    """

    email = models.EmailField(_("email"))
    role = models.CharField(_("role"), max_length=10, choices=User.Role, default=User.Role.MEMBER)
    teams = models.ManyToManyField(Team, related_name="invitations", verbose_name=_("teams"), blank=True)
    credits = models.PositiveBigIntegerField(_("credits per period"))
    period = models.CharField(_("period"), max_length=5, choices=Quota.Period, default=Quota.Period.MONTH)
    language = models.CharField(max_length=10)
    nonce = models.UUIDField(default=uuid.uuid4, editable=False)
    invited_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(_("made"), default=timezone.now)
    expires_at = models.DateTimeField(_("until"))
    mailed_at = models.DateTimeField(_("sent"), null=True, blank=True)
    mail_error = models.CharField(max_length=200, blank=True)
    accepted_at = models.DateTimeField(_("accepted"), null=True, blank=True)
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True)

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(role__in=["member", "manager", "finance", "admin"]),
                name="accounts_invitation_role_known",
            ),
            models.CheckConstraint(
                condition=Q(accepted_at__isnull=True) | Q(withdrawn_at__isnull=True),
                name="accounts_invitation_one_end",
            ),
            models.UniqueConstraint(
                Lower("email"),
                condition=Q(accepted_at__isnull=True, withdrawn_at__isnull=True),
                name="accounts_invitation_one_open",
            ),
        ]

    def __str__(self) -> str:
        return self.email


class SignInTry(models.Model):
    """One try to sign in within the last minute; ``who`` is a digest of name and address. See ``throttle``."""

    who = models.CharField(max_length=64)
    at = models.DateTimeField(db_index=True)

    class Meta:
        indexes = [models.Index(fields=["who", "at"], name="accounts_signintry_who")]

    def __str__(self) -> str:
        return f"{self.who[:8]} {self.at:%H:%M:%S}"
