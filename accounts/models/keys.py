"""API keys: at rest only what finds and proves them."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.people import User

ENDS_SOON = timedelta(days=14)


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
