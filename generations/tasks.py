"""django-q2 functions: claim, call out, hand what happened to a service. Nobody imports this module.

Threads do HTTP only; every query runs on the task's own thread. Each task starts with a compare-and-set,
so a task that comes twice, late or never changes nothing.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Callable
from functools import partial

from django.conf import settings
from django.db.models.functions import Now

from generations import archive, lanes, polling, sending, services
from generations import dispatch as slots
from generations.models import Alarm, Generation, Upstream, Video
from generations.omnimaas import client
from generations.omnimaas.errors import UpstreamError
from kling_platform import alarms
from kling_platform.away import AWAY, pause
from kling_platform.failpoints import reach

log = logging.getLogger(__name__)

# A dispatcher stops claiming after this, and a poll loop ends after that: both well before the task's timeout.
DISPATCH_SECONDS = 20
POLL_LOOP_SECONDS = 70
# A copied video waits so long for a database that went away meanwhile: else it would be copied anew, minutes later.
COPY_WAITS_SECONDS = 30


def gateway() -> client.Gateway:
    """The upstream of the settings."""
    return client.Gateway(
        base_url=settings.OMNIMAAS_BASE_URL,
        key=settings.OMNIMAAS_API_KEY,
        seconds=settings.OMNIMAAS_TIMEOUT,
        image_transport=settings.OMNIMAAS_IMAGE_TRANSPORT,
        metadata=settings.OMNIMAAS_METADATA,
        send_aspect_ratio=settings.OMNIMAAS_SEND_ASPECT_RATIO,
        send_external_id=settings.OMNIMAAS_SEND_EXTERNAL_ID,
    )


# --- dispatch ---------------------------------------------------------------


def dispatch() -> int:
    """Send what may be sent, in fair order, until nothing is left or the slots are full. Returns how many."""
    upstream = gateway()
    if not upstream.key or not _own_epoch():
        return 0
    if not archive.has_room():
        alarms.ring(Alarm.Kind.DISK, "nothing new is sent until there is room to keep it")
        return 0
    token = lanes.enter("dispatch")
    if token is None:
        return 0  # its holder was told to look once more
    reach("dispatch.entered")
    lane, sent = lanes.Held("dispatch", token), 0
    ends = time.monotonic() + DISPATCH_SECONDS
    while True:
        _probe_if_due(upstream)
        sent += sending.run(upstream, lane, ends)
        if lanes.leave(lane.name, lane.token):
            return sent
        if time.monotonic() > ends:
            lanes.abandon(lane.name, lane.token)
            services.wake_dispatch()
            return sent


def _probe_if_due(upstream: client.Gateway) -> None:
    """An open circuit whose wait is over: one GET decides whether one POST may try."""
    if slots.probe_due():
        slots.note_probe(client.alive(upstream, slots.newest_known_id()))


def _own_epoch() -> bool:
    """Whether the open rows belong to this host, key and time. A fresh start adopts all three."""
    try:
        slots.adopt_epoch()
    except slots.ForeignRows as error:
        log.error("nothing is sent or polled: %s. Run manage.py fence", error)
        return False
    return True


# --- poll -------------------------------------------------------------------


def poll(seconds: float = POLL_LOOP_SECONDS) -> int:
    """Ask for what is due, for ``seconds``; the minute schedule starts the next loop, which takes over."""
    upstream = gateway()
    if not upstream.key or not _own_epoch():
        return 0
    return polling.run(upstream, seconds)


# --- store ------------------------------------------------------------------


def store(generation_id: str) -> bool:
    """Copy one finished video into our storage. True when it is there now."""
    row = services.claim_store(uuid.UUID(generation_id))
    reach("store.claimed")
    if row is None:
        return False
    url = row.result_url
    try:
        try:
            return _store(row, url)
        except archive.LinkGone:
            # A link may die within hours of the success, and upstream hands out another.
            url = _fresh_url(row) or url
            return _store(row, url)
    except archive.ArchiveError as error:
        log.warning("generation %s is not stored yet: %s", row.pk, error)
        gone = isinstance(error, archive.LinkGone)
        services.record_store_failed(row.pk, message=str(error), gone=gone, fresh_url=url)
    return False


def _store(row: Generation, url: str) -> bool:
    copied = archive.copy(row.pk, url, made_at=row.created_at)
    reach("store.copied")
    video = Video(
        file=copied.file_name,
        poster=copied.poster_name,
        width=copied.width,
        height=copied.height,
        seconds=copied.seconds,
        fps=copied.fps,
        has_audio=copied.has_audio,
        bytes=copied.bytes,
        sha256=copied.sha256,
    )
    return _written_down(partial(services.record_stored, row.pk, video))


def _written_down(record: Callable[[], bool]) -> bool:
    """What it returns. Asked again until the database is back; twice changes nothing."""
    ends = time.monotonic() + COPY_WAITS_SECONDS
    while True:
        try:
            return record()
        except AWAY as error:
            if time.monotonic() > ends:
                raise
            pause(error, "a copied video waits")


def _fresh_url(row: Generation) -> str:
    time.sleep(settings.POLL_MIN_SECONDS)  # it was polled a moment ago
    with contextlib.suppress(UpstreamError):
        return client.fetch(row.upstream_id or "", gateway()).url
    return ""


def confirm(generation_id: str) -> bool:
    """Ask upstream about an id that an operator wants to attach. True when it is known there."""
    wish = services.pending_wish(uuid.UUID(generation_id))
    if wish is None:
        return False
    try:
        client.fetch(wish.upstream_id, gateway())
    except UpstreamError as error:
        return services.confirm_wish(wish, confirmed=False, answer=error.message or type(error).__name__)
    return services.confirm_wish(wish, confirmed=True, answer="confirmed")


# --- time -------------------------------------------------------------------


def sweep() -> dict[str, int]:
    """Every minute: what time does to rows."""
    return services.sweep_due()


def sum_up() -> int:
    """Every quarter of an hour: sum up the days that are over."""
    return services.sum_up_days()


def tidy() -> int:
    """Every hour: remove what killed downloads left behind, and what nobody asks for again."""
    services.forget_answers()
    services.forget_alarm_messages()
    return archive.remove_abandoned() + alarms.forget()


def beat() -> None:
    """Proof that the queue hands out tasks and that a worker runs them."""
    Upstream.objects.get_or_create(pk=1)
    Upstream.objects.filter(pk=1).update(last_beat_at=Now())
