"""Links by which people outside see one video. No I/O."""

from __future__ import annotations

import base64
import hashlib
import uuid
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from generations.models.generation import Status

# Of the HMAC's 256 bits: what fits into a link of 32 characters, and far beyond guessing.
TOKEN_BYTES = 24
LINK_TITLE_LENGTH = 120


class ShareLinkQuerySet(models.QuerySet["ShareLink"]):
    def owned_by(self, user: Any) -> Self:
        """Links to this person's videos, whoever made them."""
        return self.filter(generation__user=user)

    def standing(self) -> Self:
        """Neither ended nor revoked; whether they open something is ``live``'s question."""
        return self.filter(revoked_at__isnull=True, expires_at__gt=Now(), generation__deleted_at__isnull=True)

    def live(self) -> Self:
        """Those that open now: the video is there, its owner is active, its team's rules and ours allow it."""
        if not settings.SHARE_LINKS:
            return self.none()
        return self.standing().filter(
            Q(generation__team__isnull=True)
            | Q(generation__team__sharing=True, generation__team__share_links=True),
            generation__status=Status.SUCCEEDED,
            generation__user__is_active=True,
        )

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-id")


class ShareLink(models.Model):
    """One link to one video. Its text is kept nowhere: it is made anew from our secret and the id whenever its
    owner looks, and found by its checksum, so a copy of the database opens nothing."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    generation = models.ForeignKey("generations.Generation", models.CASCADE, related_name="share_links")
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    token_sha256 = models.CharField(max_length=64, unique=True, editable=False)
    # What strangers read; the prompt is nobody's business outside.
    title = models.CharField(_("title"), max_length=LINK_TITLE_LENGTH, blank=True)
    downloads = models.BooleanField(_("may be downloaded"), default=False)
    created_at = models.DateTimeField(_("made"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("ends"))
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    opened = models.PositiveIntegerField(_("times opened"), default=0, editable=False)
    last_seen_at = models.DateTimeField(_("last opened"), null=True, blank=True, editable=False)

    objects: ClassVar[models.Manager[ShareLink]] = ShareLinkQuerySet.as_manager()

    class Meta:
        verbose_name = _("share link")
        verbose_name_plural = _("share links")
        constraints = [
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("created_at")), name="generations_sharelink_ends_later"
            )
        ]

    def __str__(self) -> str:
        return f"{self.generation_id} until {self.expires_at:%Y-%m-%d}"

    def token(self) -> str:
        """The secret part of the link. After our SECRET_KEY changed it is another, and ``is_readable`` says so."""
        made = salted_hmac("generations.sharing", self.pk.hex, algorithm="sha256").digest()
        return base64.urlsafe_b64encode(made[:TOKEN_BYTES]).decode()

    @property
    def is_readable(self) -> bool:
        """Whether ``token`` is still the one that was given out."""
        return checksum(self.token()) == self.token_sha256


def checksum(token: str) -> str:
    """Of a link's secret part, in hex."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
