"""What is told of alarms, when, and to whom: the first of a kind at once, what follows within the hour in one
message, and an all clear at the end. Each message is an outbox of deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import groupby

from django.db import transaction
from django.db.models import F, Max
from django.db.models.functions import Now

from accounts.models import User
from generations.dispatch import database_now
from generations.models import Alarm, AlarmDelivery, AlarmMessage, AlarmTarget, Upstream

Kind, About, Delivery = Alarm.Kind, AlarmMessage.About, AlarmDelivery.Status

# What rings within this time after a message waits, to be told together.
QUIET = timedelta(hours=1)
# Nothing rang for so long, and nothing is wrong any more: it is over. All of history is verified once within a day.
CALM, CALM_BREACH = timedelta(minutes=15), timedelta(days=1)
BEAT_OVERDUE = timedelta(minutes=2)
# Each stands for itself: there is nothing that could end.
NEVER_OVER = {Kind.LOST_VIDEO.value}
SHOWN = 20  # alarms in one message; the rest is counted
# Waits between six tries, in seconds.
WAITS = (60, 300, 900, 3600, 3 * 3600)
TRIES = len(WAITS) + 1
# Longer than a call can take, so that only a killed worker's try is ever planned by it.
LEASE = timedelta(seconds=60)
KEPT = timedelta(days=90)


@transaction.atomic
def plan_alarms(*, has_room: bool) -> int:
    """Write down what is to be told now, for everybody who should hear it; how many alarms it tells of.

    One caller at a time. ``has_room`` says that the disk is not full. What nobody would hear stays untold.
    """
    now, told = database_now(), 0
    latest = _latest()
    untold = Alarm.objects.filter(told_at__isnull=True).order_by("kind", "first_at").select_for_update()
    waiting = set()
    for kind, group in groupby(untold, key=lambda alarm: alarm.kind):
        rows, last = list(group), latest.get(kind)
        waiting.add(kind)
        if last is None or last.about == About.OVER or now - last.created_at >= QUIET:
            told += _tell(kind, rows, last)
    for kind, last in latest.items():
        if kind not in waiting and last.about != About.OVER and _is_over(kind, now, has_room=has_room):
            message = AlarmMessage(kind=kind, about=About.OVER, begun_at=last.begun_at)
            if not _say(message):
                message.save()  # what comes next is a new beginning, also where nobody hears of this end
    return told


def _latest() -> dict[str, AlarmMessage]:
    """The last message of each kind."""
    said = AlarmMessage.objects.exclude(about=About.TEST).order_by().values("kind")
    newest = said.annotate(newest=Max("pk")).values_list("newest", flat=True)
    return {message.kind: message for message in AlarmMessage.objects.filter(pk__in=list(newest))}


def _tell(kind: str, rows: list[Alarm], last: AlarmMessage | None) -> int:
    goes_on = last is not None and last.about != About.OVER and kind not in NEVER_OVER
    message = AlarmMessage(
        kind=kind,
        about=About.MORE if goes_on else About.BEGUN,
        lines=[[row.first_at.isoformat(timespec="seconds"), row.text, row.times] for row in rows[:SHOWN]],
        times=sum(row.times for row in rows),
        begun_at=last.begun_at if goes_on and last else rows[0].first_at,
    )
    if not _say(message):
        return 0
    Alarm.objects.filter(pk__in=[row.pk for row in rows]).update(told_at=Now())
    return len(rows)


def _say(message: AlarmMessage) -> bool:
    """Put it in the outbox of everybody who should hear it; False when that is nobody."""
    on = AlarmTarget.objects.filter(is_on=True).order_by("pk")
    hearers: list[AlarmTarget | None] = [target for target in on if message.kind in target.kinds]
    if admin_addresses():
        hearers.append(None)
    if not hearers:
        return False
    message.save()
    AlarmDelivery.objects.bulk_create(
        AlarmDelivery(message=message, target=target, next_try_at=Now()) for target in hearers
    )
    return True


def admin_addresses() -> list[str]:
    """Where admins get their mail; those without an address hear nothing by it."""
    admins = User.objects.filter(role=User.Role.ADMIN, is_active=True).exclude(email="").order_by("pk")
    return list(admins.values_list("email", flat=True))


def _is_over(kind: str, now: datetime, *, has_room: bool) -> bool:
    if kind in NEVER_OVER:
        return False
    calm = CALM_BREACH if kind == Kind.BREACH else CALM
    if Alarm.objects.filter(kind=kind, last_at__gt=now - calm).exists():
        return False
    upstream = Upstream.objects.filter(pk=1).first()
    if kind == Kind.CIRCUIT:
        return upstream is None or upstream.circuit == Upstream.Circuit.CLOSED
    if kind == Kind.WORKER:
        beat = upstream.last_beat_at if upstream else None
        return beat is not None and now - beat < BEAT_OVERDUE
    return has_room if kind == Kind.DISK else True


# --- deliveries -----------------------------------------------------------------


def claim_alarm_deliveries(most: int) -> list[AlarmDelivery]:
    """What is due, each for the caller alone until its next try; with message and target."""
    rows = AlarmDelivery.objects.due().select_related("message", "target")
    return [row for row in rows[:most] if _claim(row)]


def _claim(row: AlarmDelivery) -> bool:
    mine = AlarmDelivery.objects.filter(pk=row.pk, tries=row.tries, next_try_at__lte=Now())
    if row.tries >= TRIES:  # whoever made the last one was killed over it
        mine.update(status=Delivery.FAILED, next_try_at=None, ended_at=Now())
        return False
    row.tries += 1
    return mine.update(tries=F("tries") + 1, next_try_at=Now() + LEASE) == 1


def record_alarm_try(row: AlarmDelivery, *, outcome: str, answer: str, taken: bool) -> None:
    """Note what a try came to, and plan the next. A test is tried once; what was given up meanwhile stays so."""
    mine = AlarmDelivery.objects.filter(pk=row.pk, tries=row.tries, status=Delivery.WAITING)
    said = {"outcome": outcome, "answer": answer[:300]}
    if taken or row.tries >= TRIES or row.message.about == About.TEST:
        status = Delivery.DELIVERED if taken else Delivery.FAILED
        mine.update(**said, status=status, next_try_at=None, ended_at=Now())
    else:
        mine.update(**said, next_try_at=Now() + timedelta(seconds=WAITS[row.tries - 1]))


def give_up_alarms(targets: Iterable[AlarmTarget]) -> None:
    """What waits for these is not sent any more."""
    waiting = AlarmDelivery.objects.filter(target__in=list(targets), status=Delivery.WAITING)
    waiting.update(status=Delivery.FAILED, next_try_at=None, ended_at=Now())


def forget_alarm_messages() -> int:
    """Delete what was said long ago, but for the last word of each kind; returns how many rows went."""
    kept = [message.pk for message in _latest().values()]
    return AlarmMessage.objects.filter(created_at__lt=Now() - KEPT).exclude(pk__in=kept).delete()[0]
