"""People and teams, and who changed what about them."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

# What an API key may be good for.
SCOPES = ("read", "create", "webhooks")


class UserManager(DjangoUserManager["User"]):
    def visible_to(self, user: User) -> models.QuerySet[User]:
        """Whose names and figures this person may look up: all for admins and finance, a manager's teams' people."""
        if not user.is_active or user.role not in (User.Role.MANAGER, *User.SEE_ALL):
            return self.none()
        if user.role in User.SEE_ALL:
            return self.all()
        mine = Team.members.through.objects.filter(team__in=Team.objects.managed_by(user))
        return self.filter(pk__in=mine.values("user_id"))

    def funded_by(self, user: User) -> models.QuerySet[User]:
        """Whose quotas this person sets: everybody's for admins; for a manager the members of their own teams."""
        rows = self.filter(retired_at__isnull=True)
        if user.role == User.Role.ADMIN:
            return rows if user.is_active else rows.none()
        if user.role != User.Role.MANAGER:
            return rows.none()
        return (
            self.visible_to(user).filter(role=User.Role.MEMBER, retired_at__isnull=True).exclude(pk=user.pk)
        )

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
    # Names of the catalogue's models; empty allows all of them, those of tomorrow too.
    models_allowed = models.JSONField(_("models"), default=list, blank=True)
    # Left for good: the content is purged, and a pseudonym takes the name's place.
    retired_at = models.DateTimeField(_("left"), null=True, blank=True, editable=False)
    # Kinds of notices that this person wants letters about, besides those that everybody gets.
    mailed_kinds = models.JSONField(_("letters about"), default=list, blank=True)
    # The language of letters; empty for the site's own.
    language = models.CharField(_("language"), max_length=10, blank=True, default="")

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
        if user.role == User.Role.ADMIN:
            return self.all()
        # By id, not by a join: whoever asks on for members of these teams means all of them.
        return self.filter(pk__in=Team.members.through.objects.filter(user=user).values("team_id"))

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
    # Links by which people outside see a video; without sharing there are none either.
    share_links = models.BooleanField(_("links for people outside"), default=True)
    retention_days = models.PositiveIntegerField(_("days that videos are kept"), null=True, blank=True)
    # Since when it is so: nothing is deleted under a rule that nobody has had time to see.
    retention_since = models.DateTimeField(null=True, blank=True, editable=False)
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


class SignInTry(models.Model):
    """One try to sign in within the last minute; ``who`` is a digest of name and address. See ``throttle``."""

    who = models.CharField(max_length=64)
    at = models.DateTimeField(db_index=True)

    class Meta:
        indexes = [models.Index(fields=["who", "at"], name="accounts_signintry_who")]

    def __str__(self) -> str:
        return f"{self.who[:8]} {self.at:%H:%M:%S}"


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
