"""Invitations: made, sent again, withdrawn, accepted. The letter itself is sent by a task."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from accounts import links
from accounts.models import Invitation, Quota, Team, User
from accounts.services.auditing import audit
from accounts.services.credits import check_credits
from accounts.services.people import make_user
from kling_platform.errors import Forbidden, InvalidValue, NotFound, WrongState

GOOD_FOR = timedelta(days=7)


@transaction.atomic
def invite(
    email: str,
    *,
    actor: User,
    role: str = User.Role.MEMBER,
    teams: Iterable[Team] = (),
    credits: int | None = None,
    period: str = Quota.Period.MONTH,
) -> Invitation:
    """Ask somebody to join. Admins ask anybody; a manager asks members into teams of his own.

    Without ``credits``, and from a manager, the guest gets the quota that everybody new gets.
    """
    email, teams = _address(email), list(teams)
    if role not in User.Role.values:
        raise InvalidValue(_("A role is one of member, manager, finance and admin."), param="role")
    if actor.role != User.Role.ADMIN:
        _check_manager(actor, role, teams)
        credits = None
    if credits is not None:
        check_credits(credits)
    known = User.objects.filter(email__iexact=email).first()
    if known is not None:
        raise InvalidValue(
            _("%(email)s is here already, as %(user)s.") % {"email": email, "user": known}, param="email"
        )
    _close_overdue(email)
    if Invitation.objects.filter(email__iexact=email, accepted_at=None, withdrawn_at=None).exists():
        raise InvalidValue(
            _("%(email)s has an invitation already. Send that one again.") % {"email": email}, param="email"
        )
    invitation = Invitation.objects.create(
        email=email,
        role=role,
        credits=credits,
        period=period,
        language=get_language() or "en",
        invited_by=actor,
        expires_at=timezone.now() + GOOD_FOR,
    )
    invitation.teams.set(teams)
    audit("invitation.make", email, actor=actor, role=role, teams=[t.name for t in teams], credits=credits)
    _mail(invitation)
    return invitation


def _address(email: str) -> str:
    email = email.strip()
    try:
        validate_email(email)
    except ValidationError as error:
        raise InvalidValue("; ".join(error.messages), param="email") from error
    return email


def _check_manager(actor: User, role: str, teams: list[Team]) -> None:
    if role != User.Role.MEMBER:
        raise Forbidden(_("Only an admin gives a role. You can invite members."), param="role")
    own = set(Team.objects.managed_by(actor).values_list("pk", flat=True))
    if not teams or {team.pk for team in teams} - own:
        raise Forbidden(_("Choose the teams of yours that they join."), param="teams")


def _close_overdue(email: str) -> None:
    """One that ran out stands in nobody's way."""
    overdue = Invitation.objects.filter(email__iexact=email, accepted_at=None, withdrawn_at=None)
    overdue.filter(expires_at__lte=Now()).update(withdrawn_at=Now())


def invitations_of(actor: User) -> QuerySet[Invitation]:
    """The open ones that this person decides about: all for admins, those into a manager's own teams."""
    pending = Invitation.objects.filter(accepted_at=None, withdrawn_at=None)
    if actor.role == User.Role.ADMIN:
        return pending
    into = Invitation.teams.through.objects.filter(team__in=Team.objects.managed_by(actor))
    return pending.filter(pk__in=into.values("invitation_id"), role=User.Role.MEMBER)


@transaction.atomic
def send_again(invitation_id: int, *, actor: User) -> Invitation:
    """A new link, good for as long as a first one; the link before opens nothing any more."""
    fresh = {"nonce": uuid.uuid4(), "expires_at": timezone.now() + GOOD_FOR}
    if not invitations_of(actor).filter(pk=invitation_id).update(mailed_at=None, mail_error="", **fresh):
        raise _no_longer()
    invitation = Invitation.objects.get(pk=invitation_id)
    audit("invitation.again", invitation, actor=actor)
    _mail(invitation)
    return invitation


@transaction.atomic
def withdraw(invitation_id: int, *, actor: User) -> Invitation:
    """Take an invitation back before it is accepted."""
    if not invitations_of(actor).filter(pk=invitation_id).update(withdrawn_at=Now()):
        raise _no_longer()
    invitation = Invitation.objects.get(pk=invitation_id)
    audit("invitation.withdraw", invitation, actor=actor)
    return invitation


def _no_longer() -> NotFound:
    return NotFound(_("There is no such invitation any more: it was accepted or withdrawn."))


@transaction.atomic
def accept(token: str, *, username: str, password: str) -> User:
    """Become a user, once: of two who follow one link at the same moment, one does."""
    invitation = links.invitation_of(token)
    open_ = Invitation.objects.filter(pk=invitation.pk, nonce=invitation.nonce, accepted_at=None)
    if not open_.filter(withdrawn_at=None, expires_at__gt=Now()).update(accepted_at=Now()):
        raise links.dead()
    if User.objects.filter(email__iexact=invitation.email).exists():
        raise WrongState(_("Somebody with this e-mail address is here already. Sign in, or ask an admin."))
    user = make_user(
        username,
        email=invitation.email,
        password=password,
        role=invitation.role,
        credits=invitation.credits,
        period=invitation.period,
        actor=invitation.invited_by,
    )
    User.objects.filter(pk=user.pk).update(language=invitation.language)
    user.teams.set(invitation.teams.all())
    audit("invitation.accept", user, actor=user, email=invitation.email)
    return user


def _mail(invitation: Invitation) -> None:
    async_task("accounts.tasks.mail_invitation", invitation.pk, invitation.nonce.hex)


def record_mailed(invitation_id: int, *, nonce: str, error: str = "") -> None:
    """What became of the letter with this link; an older letter says nothing about a newer one."""
    sent = {"mail_error": error[:200]} if error else {"mailed_at": Now(), "mail_error": ""}
    Invitation.objects.filter(pk=invitation_id, nonce=uuid.UUID(nonce)).update(**sent)
