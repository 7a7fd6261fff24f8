"""What operators must know of, and whom we tell it: rooms of chats, addresses, mailboxes. No I/O."""

from __future__ import annotations

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from generations.models.webhooks import MAX_URL_LENGTH, WebhookTry


class Alarm(models.Model):
    """Trouble that no member can mend. The same words again, before they were told, count up ``times``."""

    class Kind(models.TextChoices):
        CIRCUIT = "circuit", _("nothing is sent: upstream fails or refuses our account")
        BREACH = "breach", _("an invariant is breached")
        DISK = "disk", _("the disk is nearly full: nothing new is sent")
        LOST_VIDEO = "lost_video", _("a finished video could not be fetched any more")
        WORKER = "worker", _("a worker froze or died and was started anew")

    # No choices: a new kind is a line of code, no change of the table.
    kind = models.CharField(_("kind"), max_length=20)
    text = models.CharField(_("what happened"), max_length=300)
    times = models.PositiveIntegerField(_("times"), default=1)
    first_at = models.DateTimeField(_("first"), default=timezone.now)
    last_at = models.DateTimeField(_("last"), default=timezone.now)
    told_at = models.DateTimeField(_("told"), null=True, blank=True)

    class Meta:
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "text"], condition=Q(told_at__isnull=True), name="generations_alarm_told_once"
            )
        ]
        indexes = [models.Index(fields=["kind", "-last_at"], name="generations_alarm_newest")]

    def __str__(self) -> str:
        return f"{self.get_kind_label()}: {self.text}"

    def get_kind_label(self) -> str:
        """The kind as a sentence; its bare word where this code does not know it."""
        return kind_label(self.kind)


def kind_label(kind: str) -> str:
    """A kind of alarms as a sentence; its bare word where this code does not know it."""
    return str(Alarm.Kind(kind).label) if kind in Alarm.Kind.values else kind


class AlarmTarget(models.Model):
    """A room of a chat, or a program, that hears of alarms.

    Address and secret stand here as they are: each is needed itself at every call, and a cipher whose key lies
    on the same machine would hide it from nobody. Pages show them masked, the audit names the host alone.
    """

    class Service(models.TextChoices):
        SLACK = "slack", _("Slack")
        FEISHU = "feishu", _("Feishu (Lark)")
        DINGTALK = "dingtalk", _("DingTalk")
        WECOM = "wecom", _("WeCom")
        WEBHOOK = "webhook", _("a program (webhook)")

    name = models.CharField(_("name"), max_length=60)
    service = models.CharField(_("service"), max_length=10, choices=Service)
    url = models.URLField(_("address"), max_length=MAX_URL_LENGTH)
    secret = models.CharField(max_length=200, blank=True)
    kinds = models.JSONField(_("alarms"), default=list)
    language = models.CharField(_("language"), max_length=10)
    is_on = models.BooleanField(_("on"), default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("who hears of alarms")
        verbose_name_plural = _("who hears of alarms")

    def __str__(self) -> str:
        return self.name

    @property
    def masked_url(self) -> str:
        """Enough to recognise the address, and not enough to post there."""
        start = "/".join(self.url.split("/", 3)[:3])
        return f"{start}/…{self.url[-4:]}" if len(self.url) > len(start) + 12 else f"{start}/…"


class AlarmMessage(models.Model):
    """What is said at once about one kind: that it began, what followed, or that it is over."""

    class About(models.TextChoices):
        BEGUN = "begun", _("alarm")
        MORE = "more", _("still going on")
        OVER = "over", _("all clear")
        TEST = "test", _("test")

    kind = models.CharField(max_length=20)  # of the alarms; empty for a test
    about = models.CharField(max_length=5, choices=About)
    # [when (ISO 8601), what happened, how often] of the first so many; ``times`` counts them all.
    lines = models.JSONField(default=list)
    times = models.PositiveIntegerField(default=0)
    begun_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["kind", "-created_at"], name="generations_alarm_said")]

    def __str__(self) -> str:
        return f"{self.about} {self.kind}"

    @property
    def kind_label(self) -> str:
        """Of what it speaks, as a sentence."""
        return kind_label(self.kind)


class AlarmDeliveryQuerySet(models.QuerySet["AlarmDelivery"]):
    def due(self) -> Self:
        """What should be said now, oldest first."""
        return self.filter(next_try_at__lte=Now()).order_by("next_try_at", "pk")


class AlarmDelivery(models.Model):
    """One message for one target, or by e-mail for all admins: the row of the outbox."""

    class Status(models.TextChoices):
        WAITING = "waiting", _("waiting")
        DELIVERED = "delivered", _("delivered")
        FAILED = "failed", _("given up")

    message = models.ForeignKey(AlarmMessage, models.CASCADE, related_name="deliveries")
    # Empty for the e-mail to admins.
    target = models.ForeignKey(AlarmTarget, models.CASCADE, null=True, related_name="deliveries")
    status = models.CharField(max_length=9, choices=Status, default=Status.WAITING)
    tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    # Of the last try; ``answer`` is the start of what was said, in a line, without what looks like a secret.
    outcome = models.CharField(max_length=11, choices=WebhookTry.Outcome, blank=True)
    answer = models.CharField(max_length=300, blank=True)

    objects: ClassVar[models.Manager[AlarmDelivery]] = AlarmDeliveryQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(status="waiting", next_try_at__isnull=False)
                | Q(status__in=["delivered", "failed"], next_try_at__isnull=True),
                name="generations_alarmdelivery_waiting_is_due",
            ),
            models.UniqueConstraint(fields=["message", "target"], name="generations_alarmdelivery_once"),
        ]
        indexes = [
            models.Index(
                fields=["next_try_at"],
                condition=Q(next_try_at__isnull=False),
                name="generations_alarms_due",
            )
        ]

    def __str__(self) -> str:
        return f"{self.message} → {self.target or 'e-mail'}"
