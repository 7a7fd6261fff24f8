"""The django-q2 functions of upkeep: telling admins, looking after the invariants. Nobody imports this module."""

from __future__ import annotations

import logging
from itertools import groupby

from django.conf import settings
from django.core.mail import EmailMessage
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from generations import lanes
from generations.models import Alarm
from kling_platform import alarms

log = logging.getLogger(__name__)

SHOWN = 20  # alarms of a kind in one mail; the rest is counted


def tell_admins() -> int:
    """Send every admin who has an address one mail about what rang; how many alarms it tells of.

    One such task runs at a time. Killed between mail and note it tells twice: better than never.
    """
    token = lanes.enter("alarms")
    if token is None:
        return 0  # its holder was told to look once more
    told = 0
    try:
        while True:
            told += _tell()
            if lanes.leave("alarms", token):
                return told
    except BaseException:
        lanes.abandon("alarms", token)  # the schedule tries again
        raise


def _tell() -> int:
    found = alarms.untold()
    admins = User.objects.filter(role=User.Role.ADMIN, is_active=True).exclude(email="").order_by("pk")
    addresses = list(admins.values_list("email", flat=True))
    if not found or not addresses:
        return 0
    kinds = {alarm.kind: alarm.get_kind_label() for alarm in found}
    subject = _("Alarm: %(what)s") % {"what": "; ".join(kinds.values())}
    mail = EmailMessage(subject[:200], _body(found), None, addresses)
    mail.send()
    alarms.note_told(found)
    return len(found)


def _body(found: list[Alarm]) -> str:
    parts = []
    for _kind, group in groupby(found, key=lambda alarm: alarm.kind):
        rows = list(group)
        lines = [f"{rows[0].get_kind_label()}\n"]
        lines += [f"  {row.first_at:%Y-%m-%d %H:%M} {row.text}{_times(row)}" for row in rows[:SHOWN]]
        if len(rows) > SHOWN:
            lines.append(_("  and %(count)d more") % {"count": len(rows) - SHOWN})
        parts.append("\n".join(lines))
    end = _("You hear of each kind once an hour at most. Times are UTC.")
    return "\n\n".join([*parts, f"{end}\n{settings.PUBLIC_URL}/admin/\n"])


def _times(row: Alarm) -> str:
    if row.times == 1:
        return ""
    return ngettext(" (%(times)d time)", " (%(times)d times)", row.times) % {"times": row.times}
