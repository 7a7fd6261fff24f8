"""A generation, its states, its history, and the questions that are asked of it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from generations.models.groups import Batch, Tag, joined_tags
from kling_platform import keyset

# Ids of upstream are opaque text of up to this many characters (its gateway family's column).
UPSTREAM_ID_LENGTH = 191

SHOWN_AS_DELAYED = timedelta(minutes=20)


class Status(models.TextChoices):
    """The states of a generation. *Succeeded* means that the video is in our own storage."""

    QUEUED = "queued", _("waiting")
    SUBMITTING = "submitting", _("being sent")
    RUNNING = "running", _("in the making")
    STORING = "storing", _("being saved")
    UNKNOWN = "unknown", _("in doubt")
    SUCCEEDED = "succeeded", _("ready")
    FAILED = "failed", _("failed")
    CANCELED = "canceled", _("canceled")


class Derivation(models.TextChoices):
    """How a generation came from an earlier one. A plain retry has ``retry_of`` instead."""

    VARIATION = "variation", _("variation")
    MODEL = "model", _("on another model")
    EDIT = "edit", _("changed")
    CONTINUATION = "continuation", _("continued")


OPEN = (Status.QUEUED, Status.SUBMITTING, Status.RUNNING, Status.STORING, Status.UNKNOWN)

IN_FLIGHT = (Status.QUEUED, Status.SUBMITTING, Status.RUNNING, Status.STORING)

TERMINAL = (Status.SUCCEEDED, Status.FAILED, Status.CANCELED)


class GenerationQuerySet(models.QuerySet["Generation"]):
    def for_user(self, user: Any, *, few: bool = False) -> Self:
        """What this person may see on any door: own ones, team ones of own teams, everything for admins.

        ``few`` saves a question where the rows are named by id, and would choose a slow way through all of them.
        """
        living = self.filter(deleted_at__isnull=True)
        if not getattr(user, "is_active", False):
            return living.none()
        if getattr(user, "role", "") == "admin":
            return living
        teams = user.teams.filter(sharing=True).values_list("pk", flat=True)
        if not few and not (teams := list(teams)):  # the common question stays the simplest one
            return living.filter(user=user)
        return living.filter(Q(user=user) | Q(visibility="team", team__in=teams))

    def owned_by(self, user: Any) -> Self:
        """An API key's view: its owner's own rows only."""
        return self.filter(user=user, deleted_at__isnull=True)

    def open(self) -> Self:
        return self.filter(status__in=OPEN)

    def in_flight(self) -> Self:
        """Those in the making. What is in doubt is not among them: it may stay so for days."""
        return self.filter(status__in=IN_FLIGHT)

    def due(self, *statuses: str) -> Self:
        """Rows in one of these states whose time has come by the database's clock, oldest due first."""
        return self.filter(status__in=statuses, next_check_at__lte=Now()).order_by("next_check_at")

    def sendable(self) -> Self:
        """What waits and is due, and is not held back by a batch that is paused."""
        return self.due(Status.QUEUED).filter(batch__paused_at__isnull=True)

    def with_tags(self) -> Self:
        """Each with ``tag_names``, the names of its tags with commas between; no question more."""
        return self.annotate(tag_names=joined_tags(Generation.tags.through))

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-id")

    def before(self, other: Generation) -> Self:
        """The page after ``other`` in ``newest_first`` order."""
        return self.filter(keyset.less(other, "created_at", "id"))

    def ended_before(self, other: Generation) -> Self:
        """The page after ``other`` where the last one that ended comes first."""
        return self.filter(keyset.less(other, "finished_at", "id"))

    def after(self, other: Generation) -> Self:
        """The page after ``other`` in oldest-first order."""
        return self.filter(keyset.greater(other, "created_at", "id"))


class Generation(models.Model):
    """One video that somebody asked for. ``status`` is written by ``lifecycle.transition`` alone."""

    class Visibility(models.TextChoices):
        PRIVATE = "private", _("private")
        TEAM = "team", _("team")

    Status: ClassVar[type[Status]] = Status

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="generations", verbose_name=_("user")
    )
    # Who asked for it and paid, where it has been handed over since.
    maker = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    # The team that it was made for, and that paid too if it has a quota.
    made_for = models.ForeignKey(
        "accounts.Team", models.PROTECT, null=True, blank=True, related_name="+", editable=False
    )
    # The one that it is shared with: the same at first.
    team = models.ForeignKey("accounts.Team", models.PROTECT, null=True, blank=True, related_name="+")
    api_key = models.ForeignKey("accounts.ApiKey", models.SET_NULL, null=True, blank=True, related_name="+")
    visibility = models.CharField(max_length=7, choices=Visibility, default=Visibility.PRIVATE)
    retry_of = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="retries")
    derived_from = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="derived")
    derivation = models.CharField(max_length=12, choices=Derivation, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True)
    # Its files and words are gone for good; row, events and ledger stay.
    purged_at = models.DateTimeField(null=True, blank=True, editable=False)
    tags = models.ManyToManyField(Tag, related_name="generations", blank=True)
    batch = models.ForeignKey(
        Batch, models.PROTECT, null=True, blank=True, related_name="generations", db_index=False
    )
    # Its place in the batch, from 1; in a table the line that it begins on.
    batch_line = models.PositiveIntegerField(null=True, blank=True, editable=False)

    # What was asked for: the recipe, frozen.
    model = models.CharField(_("model"), max_length=60)
    prompt = models.TextField(_("prompt"))
    seconds = models.PositiveSmallIntegerField(_("length"))
    size = models.CharField(_("ratio"), max_length=9)
    mode = models.CharField(_("mode"), max_length=8)
    sound = models.BooleanField(_("sound"), default=False)
    metadata = models.JSONField(_("metadata"), default=dict, blank=True)
    price = models.PositiveIntegerField(_("price"))
    price_version = models.CharField(max_length=20)
    # Of the request as it came through the API, for clients that send it again without a key.
    request_digest = models.CharField(max_length=64, blank=True, editable=False)

    # Where it is.
    status = models.CharField(_("state"), max_length=10, choices=Status, default=Status.QUEUED)
    # When somebody has to look at an open row again, whatever else happens.
    next_check_at = models.DateTimeField(null=True, blank=True)
    progress = models.PositiveSmallIntegerField(_("progress"), default=0)
    error_code = models.CharField(max_length=60, blank=True)
    error_message = models.CharField(max_length=1000, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    # What upstream knows of it.
    give_up_at = models.DateTimeField(null=True, blank=True, editable=False)
    claim_token = models.UUIDField(null=True, blank=True, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    submitted_at = models.DateTimeField(null=True, blank=True, editable=False)
    upstream_id = models.CharField(
        _("upstream id"), max_length=UPSTREAM_ID_LENGTH, null=True, blank=True, unique=True
    )
    upstream_request_id = models.CharField(max_length=100, blank=True)
    upstream_reply = models.TextField(blank=True, editable=False)
    upstream_cost = models.BigIntegerField(null=True, blank=True)
    # From the POST to the poll that saw the success: what paces and forecasts are learned from.
    made_seconds = models.FloatField(null=True, blank=True, editable=False)
    result_url = models.TextField(blank=True, editable=False)
    polls = models.PositiveIntegerField(default=0, editable=False)
    polled_at = models.DateTimeField(null=True, blank=True, editable=False)
    missing_since = models.DateTimeField(null=True, blank=True, editable=False)
    missing_count = models.PositiveSmallIntegerField(default=0, editable=False)
    succeeded_upstream_at = models.DateTimeField(null=True, blank=True, editable=False)
    store_attempts = models.PositiveSmallIntegerField(default=0, editable=False)

    objects: ClassVar[models.Manager[Generation]] = GenerationQuerySet.as_manager()

    class Meta:
        verbose_name = _("generation")
        verbose_name_plural = _("generations")
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=[s.value for s in Status]), name="generations_generation_status_known"
            ),
            # So that no wake-up can be lost.
            models.CheckConstraint(
                condition=Q(status__in=[s.value for s in OPEN], next_check_at__isnull=False)
                | Q(status__in=[s.value for s in TERMINAL], next_check_at__isnull=True),
                name="generations_generation_open_is_due",
            ),
            models.CheckConstraint(
                condition=~Q(status="submitting") | Q(claim_token__isnull=False),
                name="generations_generation_submitting_claimed",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["running", "storing", "succeeded"]) | Q(upstream_id__isnull=False),
                name="generations_generation_running_has_id",
            ),
            models.CheckConstraint(
                condition=Q(status__in=[s.value for s in TERMINAL], finished_at__isnull=False)
                | Q(status__in=[s.value for s in OPEN], finished_at__isnull=True),
                name="generations_generation_finished_when_terminal",
            ),
            models.CheckConstraint(
                condition=Q(visibility="private") | Q(visibility="team", team__isnull=False),
                name="generations_generation_shared_with_a_team",
            ),
            models.CheckConstraint(
                condition=Q(progress__lte=100), name="generations_generation_progress_percent"
            ),
            # Its index finds what belongs to a batch.
            models.UniqueConstraint(
                fields=["batch", "batch_line"],
                condition=Q(batch__isnull=False),
                name="generations_generation_line_once",
            ),
            models.CheckConstraint(
                condition=Q(deleted_at__isnull=True) | Q(status__in=[s.value for s in TERMINAL]),
                name="generations_generation_deleted_is_over",
            ),
            # The word outlives its source, which may be gone; a source without the word says nothing.
            models.CheckConstraint(
                condition=Q(derivation="", derived_from__isnull=True)
                | Q(derivation__in=[d.value for d in Derivation]),
                name="generations_generation_derivation_known",
            ),
            models.CheckConstraint(
                condition=Q(derived_from__isnull=True) | Q(retry_of__isnull=True),
                name="generations_generation_one_origin",
            ),
        ]
        indexes = [
            # The engine's question, asked twice a second: what is due? Terminal rows are not in it.
            models.Index(
                fields=["status", "next_check_at"],
                condition=Q(next_check_at__isnull=False),
                name="generations_due",
            ),
            # The poll loop's, oldest due first over both of its states.
            models.Index(
                fields=["next_check_at"],
                condition=Q(status__in=["running", "unknown"], upstream_id__isnull=False),
                name="generations_polls_due",
            ),
            models.Index(
                "model",
                "mode",
                "seconds",
                F("created_at").desc(),
                condition=Q(made_seconds__isnull=False),
                name="generations_made",
            ),
            # The days of usage that nobody has summed up yet.
            models.Index(
                fields=["finished_at"], condition=Q(finished_at__isnull=False), name="generations_finished"
            ),
            # What is behind a number of usage, the last that ended first: of a person, a team, a key.
            *(
                models.Index(
                    whose,
                    F("finished_at").desc(),
                    F("id").desc(),
                    condition=Q(finished_at__isnull=False) & known,
                    name=f"generations_ended_{name}",
                )
                for name, whose, known in (
                    ("payer", Coalesce("maker", "user"), Q()),
                    ("team", F("made_for"), Q(made_for__isnull=False)),
                    ("key", F("api_key"), Q(api_key__isnull=False)),
                )
            ),
            models.Index(
                fields=["deleted_at"],
                condition=Q(deleted_at__isnull=False, purged_at__isnull=True),
                name="generations_to_purge",
            ),
            # The library's pages, mine and everybody's, by key.
            models.Index(F("user"), F("created_at").desc(), F("id").desc(), name="generations_of_user"),
            models.Index(F("created_at").desc(), F("id").desc(), name="generations_newest"),
            # A key's own limit of videos in the making, counted by every create of it.
            models.Index(
                fields=["api_key"],
                condition=Q(status__in=[s.value for s in IN_FLIGHT]),
                name="generations_in_flight_of_key",
            ),
            models.Index(
                F("team"),
                F("created_at").desc(),
                F("id").desc(),
                condition=Q(visibility="team"),
                name="generations_of_team",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.prompt[:40]}"

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def is_delayed(self) -> bool:
        """Open for longer than people should be told is normal."""
        return self.is_open and timezone.now() - self.created_at > SHOWN_AS_DELAYED


class Event(models.Model):
    """One step in the life of a generation. ``detail`` is for operators; people read ``note`` as a sentence."""

    generation = models.ForeignKey(Generation, models.CASCADE, related_name="events")
    at = models.DateTimeField(_("time"), default=timezone.now)
    from_status = models.CharField(max_length=10, choices=Status, blank=True)
    to_status = models.CharField(max_length=10, choices=Status)
    note = models.CharField(max_length=60, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    detail = models.JSONField(default=dict, blank=True)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.from_status} → {self.to_status}"


class AttachWish(models.Model):
    """An operator's wish that an id of upstream belongs to a generation in doubt; a task asks upstream."""

    generation = models.OneToOneField(
        Generation, models.CASCADE, primary_key=True, related_name="attach_wish"
    )
    upstream_id = models.CharField(max_length=UPSTREAM_ID_LENGTH)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    reason = models.CharField(max_length=200)
    answer = models.CharField(max_length=200, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.generation_id} is {self.upstream_id}"
