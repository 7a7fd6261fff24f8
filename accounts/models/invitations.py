"""Letters that make their reader a user."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.money import Quota
from accounts.models.people import Team, User


class Invitation(models.Model):
    """A letter that makes its reader a user, once. The link is signed, not stored: see ``accounts.invitations``.

    ``nonce`` is in the link, so that sending it again ends the one before.
    """

    email = models.EmailField(_("email"))
    role = models.CharField(_("role"), max_length=10, choices=User.Role, default=User.Role.MEMBER)
    teams = models.ManyToManyField(Team, related_name="invitations", verbose_name=_("teams"), blank=True)
    # None: what everybody new gets on the day it is accepted.
    credits = models.PositiveBigIntegerField(_("credits per period"), null=True)
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
