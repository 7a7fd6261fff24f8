"""Notices as people read them: the day, and a drawing for what each is about."""

from __future__ import annotations

from datetime import datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from accounts.models import Notice

register = template.Library()

# By what the sentence is, then by the kind; the class of the tone is in the style sheet.
DRAWINGS = {
    "batch": "grid-3x2-gap",
    "batch_part": "grid-3x2-gap",
    "film": "collection-play",
    "halted": "collection-play",
    "granted": "plus-lg",
    "declined": "x-circle",
    Notice.Kind.ASKED: "person",
    Notice.Kind.LOW: "exclamation-triangle",
    Notice.Kind.DONE: "check2-circle",
    Notice.Kind.FAILED: "exclamation-circle",
    Notice.Kind.WEBHOOK: "link-45deg",
    Notice.Kind.HANDED: "people",
}


@register.filter
def drawing(notice: Notice) -> str:
    """The name of its drawing in the sprite."""
    return DRAWINGS.get(notice.facts.get("as", notice.kind)) or DRAWINGS.get(notice.kind, "bell")


@register.filter
def day_words(moment: datetime) -> str:
    """“Today”, “Yesterday”, “28 November”, and with its year where that is another one."""
    day, today = localtime(moment).date(), timezone.localdate()
    if day == today:
        return _("Today")
    if day == today - timedelta(days=1):
        return _("Yesterday")
    if day.year == today.year:
        return date_format(day, pgettext("a day and month, as a date format of Django", "j F"))
    return date_format(day, "DATE_FORMAT")
