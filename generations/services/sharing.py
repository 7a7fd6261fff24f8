"""Links for people outside: made, followed, revoked. Which of them open is ``ShareLink.objects.live``'s to say."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import Team, User
from accounts.services import audit
from generations.models import LINK_TITLE_LENGTH, Generation, ShareLink, ShareLinkQuerySet, Status
from generations.models.sharing import checksum
from kling_platform.errors import Forbidden, InvalidValue, NotFound, WrongState
from kling_platform.text import check_text

# How long a link may last, in days; the first is the usual one.
LINK_DAYS = (7, 1, 30, 90, 365)
# Of one video at a time: more are a mistake that nobody would ever revoke.
MOST_LINKS = 50


def may_link(user: User, generation: Generation) -> bool:
    """Whether this person may make a link to it: its owner, where platform and team let people outside see it."""
    return generation.user_id == user.pk and generation.status == Status.SUCCEEDED and _is_allowed(generation)


def _is_allowed(generation: Generation) -> bool:
    team = generation.team
    return settings.SHARE_LINKS and (team is None or (team.sharing and team.share_links))


@transaction.atomic
def make_link(
    generation: Generation, *, actor: User, days: int = LINK_DAYS[0], downloads: bool = False, title: str = ""
) -> ShareLink:
    """A new link to a finished video, good for ``days`` days. ``title`` is what strangers read above it."""
    if generation.status != Status.SUCCEEDED:
        raise WrongState(_("A link shows a video that is ready, and this one is not."))
    if not _is_allowed(generation):
        raise Forbidden(
            _("The team %(team)s makes no links for people outside. Ask its manager.")
            % {"team": generation.team.name}
            if generation.team
            else _("This platform makes no links for people outside.")
        )
    if days not in LINK_DAYS:
        listed = ", ".join(str(each) for each in sorted(LINK_DAYS))
        raise InvalidValue(_("A link lasts %(days)s days.") % {"days": listed}, param="days")
    title = " ".join(check_text(title, param="title").split())
    if len(title) > LINK_TITLE_LENGTH:
        raise InvalidValue(_("A title has at most 120 characters."), param="title")
    if ShareLink.objects.filter(generation=generation).standing().count() >= MOST_LINKS:
        raise WrongState(_("There are 50 links to this video already. Revoke some first."))
    link = ShareLink(
        generation=generation,
        maker=actor,
        title=title,
        downloads=downloads,
        expires_at=timezone.now() + timedelta(days=days),
    )
    link.token_sha256 = checksum(link.token())
    link.save(force_insert=True)
    audit("link.make", generation.pk, actor=actor, link=str(link.pk), days=days, downloads=downloads)
    return link


@transaction.atomic
def revoke_link(link: ShareLink, *, actor: User) -> None:
    """It opens nothing any more, from now on and for good; doing it again changes nothing."""
    if ShareLink.objects.filter(pk=link.pk, revoked_at__isnull=True).update(revoked_at=Now()):
        audit("link.revoke", link.generation_id, actor=actor, link=str(link.pk))


def follow_link(token: str) -> ShareLink:
    """The link behind a token, with its video; ``NotFound`` for every other token, whatever is wrong with it."""
    live = ShareLink.objects.live().select_related("generation__video", "generation__team")
    link = live.filter(token_sha256=checksum(token)).first()
    if link is None:
        raise NotFound(_("This link does not work. It has ended, or was taken back: ask whoever sent it."))
    return link


def note_opened(link: ShareLink) -> None:
    """Somebody looked at its page."""
    ShareLink.objects.filter(pk=link.pk).update(opened=F("opened") + 1, last_seen_at=Now())


def links_managed_by(user: User) -> ShareLinkQuerySet:
    """Those that this person answers for: all for admins, the links to their teams' videos for managers."""
    if user.role == User.Role.ADMIN and user.is_active:
        return ShareLink.objects.all()
    return ShareLink.objects.filter(generation__team__in=Team.objects.managed_by(user))


def links_to(generation: Generation) -> ShareLinkQuerySet:
    """The links to a video that have neither ended nor been revoked, newest first."""
    return ShareLink.objects.filter(generation=generation).standing().newest_first()
