"""Letters, tables of people, upkeep: django-q2 functions, named by their dotted path. Ids in, a note of the end."""

from __future__ import annotations

import logging
import uuid
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import links, services
from accounts.models import Invitation, Notice, User

# As many sentences stand in one letter; the rest is counted.
MOST_IN_A_LETTER = 20

log = logging.getLogger(__name__)


def mail_invitation(invitation_id: int, nonce: str) -> bool:
    """Send an invitation as it stands; one that was sent again, accepted or withdrawn meanwhile is left alone."""
    invitation = (
        Invitation.objects.select_related("invited_by")
        .filter(pk=invitation_id, nonce=uuid.UUID(nonce), accepted_at=None, withdrawn_at=None, mailed_at=None)
        .first()
    )
    if invitation is None:
        return False
    link = links.full(links.invitation_path(invitation))
    with translation.override(invitation.language):
        error = _send(
            _("You are invited to make videos with us"),
            "accounts/letters/invitation.txt",
            {"invitation": invitation, "link": link, "host": invitation.invited_by},
            to=invitation.email,
        )
    services.record_mailed(invitation.pk, nonce=nonce, error=error)
    return not error


def mail_reset(user_id: int, language: str) -> bool:
    """Send the link that sets a new password."""
    user = User.objects.filter(pk=user_id, is_active=True).exclude(email="").first()
    if user is None:
        return False
    with translation.override(language):
        error = _send(
            _("Your new password"),
            "accounts/letters/reset.txt",
            {"user": user, "link": links.full(links.reset_path(user))},
            to=user.email,
        )
    return not error


def _send(subject: str, template: str, context: dict[str, object], *, to: str) -> str:
    """Hand one letter to the mail server; returns what went wrong, or nothing."""
    try:
        send_mail(subject, render_to_string(template, context), None, [to])
    except (SMTPException, OSError) as error:
        log.error("a letter could not be sent: %s", error)
        return str(error) or type(error).__name__
    return ""


def mail_notice(notice_id: int) -> bool:
    """Send what somebody was told in the portal as a letter, once."""
    notice = Notice.objects.select_related("user").filter(pk=notice_id, mailed_at__isnull=True).first()
    if notice is None or not notice.user.is_active or not notice.user.email:
        return False
    with translation.override(notice.user.language or settings.LANGUAGE_CODE):
        error = _send(
            notice.sentence[:150],
            "accounts/letters/notice.txt",
            {"notice": notice, "link": links.full(notice.link) if notice.link else ""},
            to=notice.user.email,
        )
    return not error and services.record_notice_mailed(notice.pk)


def mail_news() -> int:
    """Every minute: one letter to each whose videos have ended, with all that came together. How many went out."""
    return sum(_mail_news_to(user_id) for user_id in services.letters_due())


def _mail_news_to(user_id: int) -> bool:
    news = services.claim_letter(user_id)
    if not news or not news[0].user.is_active or not news[0].user.email:
        return False
    user, count = news[0].user, len(news)
    with translation.override(user.language or settings.LANGUAGE_CODE):
        many = ngettext("%(count)d video has ended", "%(count)d videos have ended", count) % {"count": count}
        shown = news[:MOST_IN_A_LETTER]
        context = {
            "news": [(notice.sentence, links.full(notice.link)) for notice in shown],
            "more": count - len(shown),
            "inbox": links.full(reverse("inbox")),
            "choose": links.full(f"{reverse('account')}#notices"),
        }
        subject = " ".join(news[0].sentence.split())[:150] if count == 1 else many
        error = _send(subject, "accounts/letters/news.txt", context, to=user.email)
    if not error:
        services.record_letter_mailed(news)
    return not error


def import_people(import_id: str) -> bool:
    """Do a table of people that was confirmed; a second task for it changes nothing."""
    return services.run_import(uuid.UUID(import_id))


def forget_imports() -> int:
    """Every hour: remove tables of people that are over since a day."""
    return services.forget_imports()


def lapse() -> int:
    """Every minute: take back what is left of top-ups whose time is over."""
    return services.lapse_top_ups()


def warn() -> int:
    """Every few minutes: tell those whose quotas run out."""
    return services.warn_of_low_quotas()
