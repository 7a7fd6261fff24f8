"""Whom we tell what has happened: endpoints, deliveries, and what each try came to. No I/O."""

from __future__ import annotations

import uuid
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from kling_platform import keyset

MAX_URL_LENGTH = 2048
TEST_EVENT = "webhook.test"


class WebhookEvent(models.TextChoices):
    """What an endpoint can ask for: the ends of a generation."""

    SUCCEEDED = "generation.succeeded", _("a video is ready")
    FAILED = "generation.failed", _("a video failed")
    CANCELED = "generation.canceled", _("a video was canceled")


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    def owned_by(self, user: object) -> Self:
        """Its owner's, on every door; nobody else has a say in where events go, admins included."""
        return self.filter(user=user, deleted_at__isnull=True)

    def called(self) -> Self:
        """Those that get what happens now."""
        return self.filter(stopped="", deleted_at__isnull=True)

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-id")


class WebhookEndpoint(models.Model):
    """An address of a user's that is told of events.

    The secrets stand here as they are. A signature needs the secret itself, so a hash would not do; and a
    cipher whose key lies in the settings of the same machine would be opened by whoever reads this table
    and its backups from there. What a thief of this table could do is lie to the receiver about videos:
    he cannot act here. Shown once, never again, and a new one is a click away.
    """

    class Stopped(models.TextChoices):
        PAUSED = "paused", _("paused by you")
        GONE = "gone", _("its address answered 410, gone")
        FAILING = "failing", _("all ten tries failed, over three days")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="webhooks")
    name = models.CharField(_("name"), max_length=100, blank=True)
    url = models.URLField(_("address"), max_length=MAX_URL_LENGTH)
    events = models.JSONField(_("events"), default=list)
    created_at = models.DateTimeField(_("made"), default=timezone.now, editable=False)
    secret = models.CharField(max_length=80, editable=False)
    # During a rotation both sign, so that the receiver may change over at its leisure.
    old_secret = models.CharField(max_length=80, blank=True, editable=False)
    old_secret_until = models.DateTimeField(null=True, blank=True, editable=False)
    # Why it is not called; empty while it is.
    stopped = models.CharField(max_length=7, choices=Stopped, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Kept for a while, because an event of this moment may still point here.
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    succeeded_at = models.DateTimeField(_("last success"), null=True, blank=True, editable=False)
    # Who calls it now: one at a time, until the lease is over, so that a killed worker blocks nothing for long.
    claim_token = models.UUIDField(null=True, blank=True, editable=False)
    claimed_until = models.DateTimeField(null=True, blank=True, editable=False)
    # The longest not served comes first: a receiver with much to hear delays nobody else.
    served_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar[models.Manager[WebhookEndpoint]] = WebhookEndpointQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        constraints = [
            models.CheckConstraint(
                condition=Q(stopped="", stopped_at__isnull=True)
                | Q(stopped__in=["paused", "gone", "failing"], stopped_at__isnull=False),
                name="generations_webhookendpoint_stopped_known",
            ),
            models.CheckConstraint(
                condition=Q(old_secret="", old_secret_until__isnull=True)
                | (~Q(old_secret="") & Q(old_secret_until__isnull=False)),
                name="generations_webhookendpoint_old_secret_ends",
            ),
            models.CheckConstraint(
                condition=Q(claim_token__isnull=True, claimed_until__isnull=True)
                | Q(claim_token__isnull=False, claimed_until__isnull=False),
                name="generations_webhookendpoint_claim_ends",
            ),
            models.CheckConstraint(
                condition=Q(deleted_at__isnull=False) | ~Q(secret=""),
                name="generations_webhookendpoint_can_sign",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.url


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def due(self) -> Self:
        """What an endpoint should hear now, oldest due first."""
        return self.filter(status=WebhookDelivery.Status.WAITING, next_try_at__lte=Now()).order_by(
            "next_try_at", "created_at"
        )

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-id")

    def before(self, other: WebhookDelivery) -> Self:
        """The page after ``other`` in ``newest_first`` order."""
        return self.filter(keyset.less(other, "created_at", "id"))


class WebhookDelivery(models.Model):
    """One event for one endpoint: the row of the outbox. Its id is the ``webhook-id``, the same in every try."""

    class Status(models.TextChoices):
        WAITING = "waiting", _("waiting")
        DELIVERED = "delivered", _("delivered")
        FAILED = "failed", _("given up")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, related_name="deliveries")
    # Empty for a test.
    generation = models.ForeignKey(
        "generations.Generation", models.CASCADE, null=True, blank=True, related_name="+"
    )
    event = models.CharField(_("event"), max_length=40)
    created_at = models.DateTimeField(_("happened"), default=timezone.now, editable=False)
    status = models.CharField(_("state"), max_length=9, choices=Status, default=Status.WAITING)
    # Of the plan of ten that is running; sending it again by hand begins a new one.
    tries = models.PositiveSmallIntegerField(default=0, editable=False)
    first_try_at = models.DateTimeField(null=True, blank=True, editable=False)
    next_try_at = models.DateTimeField(_("next try"), null=True, blank=True, editable=False)

    objects: ClassVar[models.Manager[WebhookDelivery]] = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        constraints = [
            models.CheckConstraint(
                condition=Q(status="waiting", next_try_at__isnull=False)
                | Q(status__in=["delivered", "failed"], next_try_at__isnull=True),
                name="generations_webhookdelivery_waiting_is_due",
            ),
            # A generation ends once, so an endpoint hears of it once.
            models.UniqueConstraint(
                fields=["endpoint", "generation"], name="generations_webhookdelivery_one_an_end"
            ),
        ]
        indexes = [
            models.Index(
                fields=["endpoint", "next_try_at"],
                condition=Q(next_try_at__isnull=False),
                name="generations_webhooks_due",
            ),
            models.Index(
                F("endpoint"), F("created_at").desc(), F("id").desc(), name="generations_webhook_log"
            ),
            models.Index(fields=["created_at"], name="generations_webhook_age"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.id}"


class WebhookTry(models.Model):
    """One request to an endpoint, and what it came to."""

    class Outcome(models.TextChoices):
        DELIVERED = "delivered", _("taken")
        REFUSED = "refused", _("answered, but not with success (2xx)")
        REDIRECTED = "redirected", _("answered with a redirect, which is not followed")
        # One word for what is not allowed and for what is not there: the log is no map of our network.
        UNREACHABLE = "unreachable", _("the address could not be reached")
        TIMED_OUT = "timed_out", _("no answer in time")
        BROKEN = "broken", _("the connection broke, or the answer was not HTTP")
        OUR_FAULT = "our_fault", _("a fault of this platform; it is tried again")

    delivery = models.ForeignKey(WebhookDelivery, models.CASCADE, related_name="log")
    number = models.PositiveSmallIntegerField()
    at = models.DateTimeField(default=timezone.now)
    outcome = models.CharField(max_length=11, choices=Outcome)
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    ms = models.PositiveIntegerField(null=True, blank=True)
    # The start of the answer's body, without what looks like a secret.
    excerpt = models.CharField(max_length=500, blank=True)

    class Meta:
        verbose_name = _("webhook try")
        verbose_name_plural = _("webhook tries")
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.number}: {self.outcome}"
