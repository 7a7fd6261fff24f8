"""How it goes: upstream, queue, workers and what is stuck, for whoever runs the platform; and the big switch."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from generations import dispatch
from generations.models import (
    OPEN,
    Alarm,
    Generation,
    Status,
    Upstream,
    Video,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookTry,
    Worker,
)
from generations.services.operators import check_operator
from generations.services.outcomes import VIDEO_GONE
from generations.services.requests import UNDO_DELETE
from generations.services.wakeups import wake_dispatch, wake_store
from generations.services.webhooks import begin_anew
from kling_platform.errors import InvalidValue, WrongState
from kling_platform.text import check_text

# How far back an operator may look; the first one is what is shown unasked.
SPANS = {"day": timedelta(hours=24), "week": timedelta(days=7), "month": timedelta(days=30)}
WORKER_FORGOTTEN_AFTER = timedelta(hours=24)
WORKER_GONE_AFTER = timedelta(minutes=2)
# A video that is not stored after so many tries is worth an operator's look.
STUCK_STORES = 3
SAMPLE = 500
KEPT_SECONDS = 2.0


# --- the big switch -----------------------------------------------------------


@transaction.atomic
def pause_sending(*, actor: User, reason: str) -> None:
    """Send nothing more until ``resume_sending``; everybody sees why. Running ones go on to their end."""
    check_operator(actor)
    reason = check_text(reason, param="reason").strip()[:200]
    if not reason:
        raise InvalidValue(_("Say why: everybody will read it."), param="reason")
    if not dispatch.pause(reason=reason, actor=actor):
        raise WrongState(_("Sending is paused already; nothing was changed."))
    audit("sending.pause", "upstream", actor=actor, reason=reason)
    transaction.on_commit(forget_pause)


@transaction.atomic
def resume_sending(*, actor: User) -> None:
    """Send again, beginning with what has waited longest; nobody's 24 hours ran meanwhile."""
    check_operator(actor)
    if not dispatch.resume():
        raise WrongState(_("Nothing is paused; nothing was changed."))
    audit("sending.resume", "upstream", actor=actor)
    wake_dispatch()
    transaction.on_commit(forget_pause)


@dataclass(frozen=True)
class Pause:
    """Why nothing is sent, and since when."""

    since: datetime
    reason: str


_kept: tuple[float, Pause | None] | None = None


def sending_paused() -> Pause | None:
    """What the banner says, at most ``KEPT_SECONDS`` old: every page asks."""
    global _kept
    now = time.monotonic()
    if _kept is None or now - _kept[0] > KEPT_SECONDS:
        row = Upstream.objects.filter(paused_at__isnull=False).first()
        _kept = (now, Pause(row.paused_at, row.paused_reason) if row and row.paused_at else None)
    return _kept[1]


def forget_pause() -> None:
    """Look anew next time."""
    global _kept
    _kept = None


# --- what is stuck ------------------------------------------------------------


def open_doubts() -> QuerySet[Generation]:
    """What upstream may or may not be making, the oldest first."""
    rows = Generation.objects.filter(status=Status.UNKNOWN).select_related("user", "attach_wish")
    return rows.order_by("submitted_at", "pk")


def stuck_stores() -> QuerySet[Generation]:
    """Finished and paid videos that could not be fetched so far, the oldest first."""
    rows = Generation.objects.filter(status=Status.STORING, store_attempts__gte=STUCK_STORES)
    return rows.select_related("user").order_by("next_check_at", "pk")


def lost_videos(span: timedelta) -> QuerySet[Generation]:
    """Made and paid upstream, and gone before they could be fetched; the last lost first. Users got a refund."""
    rows = Generation.objects.filter(
        status=Status.FAILED, error_code=VIDEO_GONE, finished_at__gte=Now() - span
    )
    return rows.select_related("user").order_by("-finished_at", "pk")


@transaction.atomic
def store_now(generation: Generation, *, actor: User) -> None:
    """Try at once, instead of when its turn comes; ``WrongState`` where there is nothing to store."""
    check_operator(actor)
    rows = Generation.objects.filter(pk=generation.pk, status=Status.STORING)
    if not rows.update(next_check_at=Now()):
        raise WrongState(_("It is not being stored any more; nothing was changed. Look again."))
    audit("store.now", generation.pk, actor=actor)
    wake_store(generation.pk)


@dataclass(frozen=True)
class Unheard:
    """An endpoint with events that it never took, and what its last try came to."""

    endpoint: WebhookEndpoint
    many: int
    outcome: str
    status: int | None

    @property
    def host(self) -> str:
        """Where it is, and no more: the rest of an address may be a secret of its owner's."""
        return self.endpoint.url.split("/", 3)[2].rpartition("@")[2]


def _given_up(span: timedelta) -> QuerySet[WebhookDelivery]:
    """What endpoints that are still there never took, and was given up within the span.

    That was at its last try, or when its endpoint was stopped: then it may never have been tried.
    """
    since = Now() - span
    tried = Exists(WebhookTry.objects.filter(delivery=OuterRef("pk"), at__gte=since))
    lately = Q(tried) | Q(created_at__gte=since) | Q(endpoint__stopped_at__gte=since)
    rows = WebhookDelivery.objects.filter(lately, status=WebhookDelivery.Status.FAILED)
    return rows.filter(endpoint__deleted_at__isnull=True)


def unheard_webhooks(most: int, span: timedelta) -> list[Unheard]:
    """Endpoints to which something was given up within the span, the most events first."""
    given_up = Q(deliveries__in=_given_up(span))
    rows = WebhookEndpoint.objects.filter(given_up).select_related("user")
    tries = WebhookTry.objects.filter(delivery__endpoint=OuterRef("pk")).order_by("-pk")
    last = {name: Subquery(tries.values(name)[:1]) for name in ("outcome", "status")}
    found = rows.annotate(many=Count("deliveries"), last_outcome=last["outcome"], last_status=last["status"])
    labels = dict(WebhookTry.Outcome.choices)
    return [
        Unheard(row, row.many, str(labels.get(row.last_outcome, "")), row.last_status)
        for row in found.order_by("-many", "pk")[:most]
    ]


@transaction.atomic
def replay_webhooks(*, actor: User, span: timedelta, endpoint: WebhookEndpoint | None = None) -> int:
    """Send again what was given up within the span, to one endpoint or to all that are called; how many events.

    A stopped endpoint is its owner's to resume: nothing is sent to it. ``WrongState`` where nothing is left to send.
    """
    check_operator(actor)
    rows = _given_up(span).filter(endpoint__in=WebhookEndpoint.objects.called())
    many = begin_anew(rows.filter(endpoint=endpoint) if endpoint else rows)
    if not many:
        raise WrongState(
            _("Nothing was sent: what is left belongs to webhooks that their owners have to resume.")
        )
    audit("webhook.replay", endpoint.pk if endpoint else "all", actor=actor, events=many)
    return many


# --- storage ------------------------------------------------------------------


@dataclass(frozen=True)
class Storage:
    """Sizes in bytes; ``free`` and ``whole`` are of the local disk. ``purge_from`` is when the next files may go."""

    videos: int
    used: int
    free: int
    whole: int
    waiting: int
    purge_from: datetime | None


def storage() -> Storage:
    """What the videos take, what is left, and what of it goes next."""
    kept = Video.objects.aggregate(n=Count("pk"), used=Sum("bytes"))
    going = Generation.objects.filter(deleted_at__isnull=False, purged_at__isnull=True)
    goes = going.aggregate(n=Count("pk"), first=Min("deleted_at"))
    disk = shutil.disk_usage(settings.VAR_DIR)
    return Storage(
        videos=kept["n"],
        used=kept["used"] or 0,
        free=disk.free,
        whole=disk.total,
        waiting=goes["n"],
        purge_from=goes["first"] and goes["first"] + UNDO_DELETE,
    )


# --- workers ------------------------------------------------------------------


def worker_seen(worker: Worker) -> None:
    """A sign of life; the first one is its birth. Those that nobody heard of for a day are forgotten."""
    changed = Worker.objects.filter(pk=worker.pk).update(seen_at=Now(), restarts=worker.restarts)
    if not changed:
        worker.save(force_insert=True)
        Worker.objects.filter(seen_at__lt=Now() - WORKER_FORGOTTEN_AFTER).delete()


def worker_gone(worker_id: uuid.UUID) -> None:
    """It ended as it should."""
    Worker.objects.filter(pk=worker_id).delete()


# --- one look -----------------------------------------------------------------


@dataclass
class Health:
    """What one look needs, in a bounded number of queries. Times are in seconds, shares from 0 to 1."""

    upstream: Upstream
    cap: int
    most: int
    in_flight: int
    states: dict[str, int]
    waiting_since: datetime | None
    queue: list[tuple[str, int]]
    ended: int
    success_rate: float | None
    likely: float | None
    at_most: float | None
    errors: list[tuple[str, int]]
    workers: list[Worker]
    now: datetime
    alarms: list[Alarm]
    stuck_stores: int

    @property
    def silent(self) -> list[Worker]:
        """Workers that said nothing for longer than they should."""
        return [worker for worker in self.workers if self.now - worker.seen_at > WORKER_GONE_AFTER]

    @property
    def alive(self) -> bool:
        """Whether a cluster has run a task within the last minutes."""
        beat = self.upstream.last_beat_at
        return beat is not None and self.now - beat <= WORKER_GONE_AFTER


def health(span: timedelta = SPANS["day"]) -> Health:
    """How it goes now, and how it went within the span."""
    rows = Upstream.objects.select_related("paused_by").annotate(now=Now()).filter(pk=1)
    upstream = rows.first()
    if upstream is None:
        Upstream.objects.get_or_create(pk=1)
        upstream = rows.get()
    now: datetime = upstream.now
    since = now - span
    states = {str(row["status"]): row for row in _open_states()}
    outcomes = _outcomes(since)
    tried, made = sum(count for _code, count in outcomes), dict(outcomes).get("", 0)
    times = _times(since)
    return Health(
        upstream=upstream,
        now=now,
        cap=dispatch.cap_now(upstream, now),
        most=settings.OMNIMAAS_MAX_IN_FLIGHT,
        in_flight=sum(row["slots"] for row in states.values()),
        states={str(status): states[status]["n"] if status in states else 0 for status in OPEN},
        waiting_since=states[Status.QUEUED]["first"] if Status.QUEUED in states else None,
        stuck_stores=states[Status.STORING]["stuck"] if Status.STORING in states else 0,
        queue=_queue(),
        ended=tried,
        success_rate=made / tried if tried else None,
        likely=_quantile(times, 0.5),
        at_most=_quantile(times, 0.9),
        errors=[(code, count) for code, count in outcomes if code][:8],
        workers=list(Worker.objects.order_by("host", "started_at")),
        alarms=list(Alarm.objects.filter(last_at__gte=since).order_by("-last_at")[:8]),
    )


def _open_states() -> Iterable[Any]:
    """How many are in each open state, since when the first waits, and how many were stored in vain."""
    rows = Generation.objects.filter(status__in=OPEN).order_by().values("status")
    return rows.annotate(
        n=Count("pk"),
        first=Min("created_at"),
        slots=Count("pk", filter=dispatch.holds_slot()),
        stuck=Count("pk", filter=Q(store_attempts__gte=STUCK_STORES)),
    )


def _queue() -> list[tuple[str, int]]:
    """Who waits with how many, the longest queues first."""
    rows = Generation.objects.filter(status=Status.QUEUED).order_by().values_list("user__username")
    return list(rows.annotate(n=Count("pk")).order_by("-n", "user__username")[:10])


def _times(since: datetime) -> list[float]:
    """Seconds that upstream took for its last videos, sorted."""
    made = Generation.objects.filter(made_seconds__isnull=False, finished_at__gte=since)
    newest = made.order_by("-finished_at").values_list("made_seconds", flat=True)[:SAMPLE]
    return sorted(seconds or 0.0 for seconds in newest)


def _outcomes(since: datetime) -> list[tuple[str, int]]:
    """How often each error ended a generation, the most frequent first; the empty code is success."""
    ended = Generation.objects.filter(
        Q(status=Status.SUCCEEDED) | Q(status=Status.FAILED), finished_at__gte=since
    )
    return list(
        ended.order_by().values_list("error_code").annotate(n=Count("pk")).order_by("-n", "error_code")
    )


def _quantile(times: list[Any], share: float) -> float | None:
    return times[min(len(times) - 1, int(share * len(times)))] if times else None
