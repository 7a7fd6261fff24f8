"""The django-q2 functions of alarms: tell those who should know. Nobody imports this module."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from generations import archive, chats, lanes, services
from generations.models import AlarmDelivery, AlarmMessage, WebhookTry, kind_label

log = logging.getLogger(__name__)

About, Outcome = AlarmMessage.About, WebhookTry.Outcome
CALLERS = 8
# No claim begins after this: well before the task's timeout.
TELL_SECONDS = 25


def tell() -> int:
    """Tell what rang, by e-mail and to every target; how many alarms were put into words.

    Killed between a call and its note it tells twice: better than never.
    """
    told = _plan()
    ends = time.monotonic() + TELL_SECONDS
    with ThreadPoolExecutor(CALLERS) as pool:
        while time.monotonic() < ends and (due := services.claim_alarm_deliveries(CALLERS)):
            calls = [(row, _call(row)) for row in due if row.target]
            answers = pool.map(chats.send, [call for _row, call in calls])
            for row in due:
                if row.target is None:
                    _mail(row)
            for (row, _made), answer in zip(calls, answers, strict=True):
                taken = answer.outcome == Outcome.DELIVERED
                services.record_alarm_try(row, outcome=answer.outcome, answer=answer.excerpt, taken=taken)
    return told


def _plan() -> int:
    """Put what rang into messages; one process at a time, and what rings meanwhile is seen too."""
    token = lanes.enter("alarms")
    if token is None:
        return 0  # its holder was told to look once more
    told = 0
    try:
        while True:
            told += services.plan_alarms(has_room=archive.has_room())
            if lanes.leave("alarms", token):
                return told
    except BaseException:
        lanes.abandon("alarms", token)  # the schedule tries again
        raise


def _call(row: AlarmDelivery) -> chats.Call:
    target = row.target
    assert target is not None  # noqa: S101 - for the type checker: e-mail has its own way
    with translation.override(target.language):
        return chats.Call(target.service, target.url, target.secret, letter(row.message))


def _mail(row: AlarmDelivery) -> None:
    """One mail to every admin who has an address."""
    written = letter(row.message)
    addresses = services.admin_addresses()
    subject, body = written.title[:200], "\n".join([*written.lines, "", written.end, ""])
    try:
        if addresses:
            EmailMessage(subject, body, None, addresses).send()
    except OSError as error:  # smtplib's errors are of this kind too
        log.warning("admins could not be told by e-mail: %s", error)
        services.record_alarm_try(row, outcome=Outcome.REFUSED, answer=str(error), taken=False)
    else:
        services.record_alarm_try(row, outcome=Outcome.DELIVERED, answer="", taken=True)


def letter(message: AlarmMessage) -> chats.Letter:
    """A message in the language that is in force."""
    page = f"{settings.PUBLIC_URL}{reverse('manage_operations')}"
    return chats.Letter(
        id=f"alarm_{message.pk}",
        title=_title(message),
        lines=tuple(_lines(message)),
        end=page,
        data=_data(message, page),
    )


def _title(message: AlarmMessage) -> str:
    what = {"what": kind_label(message.kind)}
    return {
        About.BEGUN: _("Alarm: %(what)s") % what,
        About.MORE: _("Still: %(what)s") % what,
        About.OVER: _("All clear: %(what)s") % what,
        About.TEST: _("A test: alarms of the platform arrive here"),
    }[About(message.about)]


def _lines(message: AlarmMessage) -> list[str]:
    if message.about == About.TEST:
        return [_("Nothing is wrong. Somebody wanted to see whether this works.")]
    begun = message.begun_at and _moment(message.begun_at)
    if message.about == About.OVER:
        return [
            _("It began on %(begun)s (UTC) and is over: nothing of this kind rang lately.") % {"begun": begun}
        ]
    lines = [
        f"{_moment(datetime.fromisoformat(at))} {text}{_times(times)}" for at, text, times in message.lines
    ]
    left = message.times - sum(times for _at, _text, times in message.lines)
    if left:
        lines.append(_("and %(count)d more") % {"count": left})
    if message.about == About.MORE:
        many = ngettext(
            "%(times)d time since the last message; it began on %(begun)s.",
            "%(times)d times since the last message; it began on %(begun)s.",
            message.times,
        )
        lines.insert(0, many % {"times": message.times, "begun": begun})
    return [*lines, _("What follows within the hour is told in one message. Times are UTC.")]


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def _times(times: int) -> str:
    if times == 1:
        return ""
    return ngettext(" (%(times)d time)", " (%(times)d times)", times) % {"times": times}


def _data(message: AlarmMessage, page: str) -> dict[str, Any]:
    """The same for a program."""
    return {
        "type": f"alarm.{message.about}",
        "timestamp": message.created_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "data": {
            "kind": message.kind,
            "title": _title(message),
            "begun_at": message.begun_at and message.begun_at.astimezone(UTC).isoformat(timespec="seconds"),
            "times": message.times,
            "alarms": [{"at": at, "text": text, "times": times} for at, text, times in message.lines],
            "page": page,
        },
    }
