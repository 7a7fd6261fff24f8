"""What people are told, and what they ask for. No I/O."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models.money import Quota

# An unanswered request has lapsed after this: the need is over, or was met in another way.
ASKED_FOR = timedelta(days=7)


class NoticeQuerySet(models.QuerySet["Notice"]):
    def unread(self) -> Self:
        return self.filter(read_at__isnull=True)

    def newest_first(self) -> Self:
        return self.order_by("-pk")

    def to_mail(self) -> Self:
        """Those that wait for the letter that gathers them."""
        return self.filter(mail_at__isnull=False, mailed_at__isnull=True)


class Notice(models.Model):
    """One thing that one person should know. Kept as facts, so that each reader gets it in their own language."""

    class Kind(models.TextChoices):
        ASKED = "asked", gettext_lazy("somebody asks for credits")
        DECIDED = "decided", gettext_lazy("your request was decided")
        LOW = "low", gettext_lazy("a quota runs out")
        DONE = "done", gettext_lazy("a video is ready")
        FAILED = "failed", gettext_lazy("a video failed")
        WEBHOOK = "webhook", gettext_lazy("a webhook was stopped")
        HANDED = "handed", gettext_lazy("a library was handed over to you")

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=12, choices=Kind)
    # What the sentence is made of; see ``sentence``.
    facts = models.JSONField(default=dict)
    # Where it leads to, within this site.
    link = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    read_at = models.DateTimeField(null=True, blank=True)
    mailed_at = models.DateTimeField(null=True, blank=True)
    # When the letter that gathers it with others is due; empty for none, and for one of its own.
    mail_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar[models.Manager[Notice]] = NoticeQuerySet.as_manager()

    class Meta:
        verbose_name = gettext_lazy("notice")
        verbose_name_plural = gettext_lazy("notices")
        indexes = [
            models.Index(F("user"), F("id").desc(), name="accounts_notice_newest"),
            # Asked by every page, for the number on the bell.
            models.Index(fields=["user"], condition=Q(read_at__isnull=True), name="accounts_notice_unread"),
            # Asked every minute: whose letters are due.
            models.Index(
                fields=["mail_at"],
                condition=Q(mail_at__isnull=False, mailed_at__isnull=True),
                name="accounts_notice_to_mail",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["asked", "decided", "low", "done", "failed", "webhook", "handed"]),
                name="accounts_notice_kind_known",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.user_id}"

    @property
    def sentence(self) -> str:
        """The notice in the language of whoever reads it now."""
        text = {
            "asked": _("%(who)s asks for %(credits)s credits: %(reason)s"),
            "asked_first": _("%(who)s has no quota yet and asks for one, of %(credits)s credits: %(reason)s"),
            "granted": _("%(by)s gave you %(credits)s credits. %(answer)s"),
            "granted_first": _("%(by)s gave you a quota: %(credits)s credits %(per)s. %(answer)s"),
            "declined": _("%(by)s declined your request for %(credits)s credits. %(answer)s"),
            "low": _("%(percent)s %% of a quota are used: %(left)s credits are left."),
            "low_user": _("%(percent)s %% of your %(quota)s are used: %(left)s credits are left."),
            "low_team": _(
                "%(percent)s %% of the %(quota)s of the team “%(name)s” are used: %(left)s credits are left."
            ),
            "low_key": _(
                "%(percent)s %% of the %(quota)s of the key “%(name)s” are used: %(left)s credits are left."
            ),
            "done": _("Ready: %(prompt)s"),
            "failed": _("Failed, and not charged: %(prompt)s"),
            "webhook": _("Your webhook was stopped, because it did not answer for three days: %(name)s"),
            "webhook_gone": _("Your webhook was stopped, because it answered 410 (gone): %(name)s"),
            "batch": _("“%(name)s” is complete: all %(asked)s videos are ready."),
            "batch_part": _(
                "“%(name)s” is over: %(done)s of %(asked)s videos are ready. The others cost nothing."
            ),
            "film": _("Your film is ready: %(title)s"),
            "halted": _("Your storyboard stopped: %(title)s"),
            "handed": _("The library of %(who)s is yours now: %(videos)s videos."),
        }[self.facts.get("as", self.kind)]
        return (text % _Facts(self.facts | self._words())).strip()

    def _words(self) -> dict[str, str]:
        """Facts that are said in the reader's language."""
        if "period" not in self.facts:
            return {}
        period = Quota.Period(self.facts["period"])
        return {"per": period.per, "quota": period.quota}


class _Facts(dict[str, Any]):
    """A fact that an older release did not write down is left out."""

    def __missing__(self, key: str) -> str:
        return "–"


class CreditRequestQuerySet(models.QuerySet["CreditRequest"]):
    def open(self) -> Self:
        """Those that wait for an answer."""
        return self.filter(state=CreditRequest.State.OPEN, created_at__gt=Now() - ASKED_FOR)


class CreditRequest(models.Model):
    """A member at the limit asks for more, once for this period; see ``services.ask_for_credits``.

    Without ``quota`` for a first one, by somebody who has none.
    """

    class State(models.TextChoices):
        OPEN = "open", gettext_lazy("waits for an answer")
        GRANTED = "granted", gettext_lazy("granted")
        DECLINED = "declined", gettext_lazy("declined")
        LAPSED = "lapsed", gettext_lazy("lapsed")

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="credit_requests")
    quota = models.ForeignKey("accounts.Quota", models.CASCADE, null=True, related_name="requests")
    credits = models.PositiveBigIntegerField()
    reason = models.CharField(max_length=200)
    state = models.CharField(max_length=8, choices=State, default=State.OPEN)
    granted = models.PositiveBigIntegerField(default=0)
    answer = models.CharField(max_length=200, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[models.Manager[CreditRequest]] = CreditRequestQuerySet.as_manager()

    class Meta:
        verbose_name = gettext_lazy("request for credits")
        verbose_name_plural = gettext_lazy("requests for credits")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["quota"], condition=Q(state="open"), name="accounts_creditrequest_one_open"
            ),
            models.UniqueConstraint(
                fields=["user"],
                condition=Q(state="open", quota__isnull=True),
                name="accounts_creditrequest_one_first",
            ),
            models.CheckConstraint(
                condition=Q(state="granted", granted__gt=0) | ~Q(state="granted") & Q(granted=0),
                name="accounts_creditrequest_granted_is_credits",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.credits}"
