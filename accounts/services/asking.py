"""A member at the limit asks for credits, and whoever is answerable gives them, gives others, or declines.

Who has no quota yet asks for a first one in the same way; then what is given is a quota of some period.
"""

from __future__ import annotations

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from accounts.models import CreditRequest, Notice, Quota, Team, User
from accounts.services.auditing import audit
from accounts.services.credits import grant, set_quota
from accounts.services.notices import notify
from kling_platform.errors import InvalidValue, WrongState
from kling_platform.text import check_text

State = CreditRequest.State


@transaction.atomic
def ask_for_credits(user: User, *, credits: int, reason: str, quota: Quota | None = None) -> CreditRequest:
    """Ask for credits, once, for the period that is running; managers of the user's teams (else admins) are told.

    Without ``quota`` it is the user's own; who has none asks for a first one. ``WrongState`` while an earlier
    request waits.
    """
    if isinstance(credits, bool) or not isinstance(credits, int) or not 0 < credits <= settings.MAX_CREDITS:
        raise InvalidValue(
            _("Ask for a whole number of credits, up to %(most)d.") % {"most": settings.MAX_CREDITS},
            param="credits",
        )
    reason = check_text(reason, param="reason").strip()[:200]
    if not reason:
        raise InvalidValue(_("Say what it is for: somebody has to decide."), param="reason")
    quota = quota or Quota.objects.of(user).standing().order_by("pk").first()
    if quota and quota.user_id != user.pk and not _is_of_team(user, quota):
        raise WrongState(_("This quota is not yours, so nothing was asked. Look again at what you have."))
    same = CreditRequest.objects.filter(quota=quota) if quota else user.credit_requests.filter(quota=None)
    lapsed = same.filter(state=State.OPEN).exclude(pk__in=CreditRequest.objects.open().values("pk"))
    lapsed.update(state=State.LAPSED)
    try:
        with transaction.atomic():
            request = CreditRequest.objects.create(user=user, quota=quota, credits=credits, reason=reason)
    except IntegrityError as error:
        raise WrongState(
            _("You have asked already. You will be told as soon as somebody decides.")
        ) from error
    audit("request.make", user, actor=user, credits=credits, reason=reason)
    notify(
        deciders(user),
        Notice.Kind.ASKED,
        link="/manage/requests",
        who=user.username,
        credits=credits,
        reason=reason,
        **({} if quota else {"as": "asked_first"}),
    )
    return request


def _is_of_team(user: User, quota: Quota) -> bool:
    return quota.team_id is not None and user.teams.filter(pk=quota.team_id).exists()


def deciders(user: User) -> list[User]:
    """Who is told that this user asks: the managers of their teams, else the admins."""
    teams = Team.objects.filter(members=user)
    managers = User.objects.filter(role=User.Role.MANAGER, is_active=True, teams__in=teams).exclude(
        pk=user.pk
    )
    found = list(managers.distinct().order_by("pk"))
    return found or list(User.objects.filter(role=User.Role.ADMIN, is_active=True).order_by("pk"))


def requests_for(actor: User) -> QuerySet[CreditRequest]:
    """The open requests that this person may decide, the oldest first.

    All for admins; for a manager those of people in their teams, and of their teams' quotas. Nobody's own.
    """
    rows = CreditRequest.objects.open().select_related("user", "quota__team").order_by("pk")
    if not actor.is_active or actor.role not in (User.Role.ADMIN, User.Role.MANAGER):
        return rows.none()
    if actor.role == User.Role.ADMIN:
        return rows
    teams = Team.objects.managed_by(actor).values("pk")
    people = Team.members.through.objects.filter(team__in=teams).values("user_id")
    theirs = Q(quota__team__in=teams) | Q(quota__team__isnull=True, user__in=people)
    return rows.filter(theirs).exclude(user=actor)


@transaction.atomic
def grant_request(
    request: CreditRequest,
    *,
    actor: User,
    credits: int | None = None,
    period: str = Quota.Period.MONTH,
    answer: str = "",
) -> CreditRequest:
    """Give what was asked for, or another number of credits, for the period that is running.

    Who has no quota yet gets one: so many credits in each ``period``.
    """
    credits = request.credits if credits is None else credits
    request = _decide(request, actor, State.GRANTED, answer, granted=credits)
    if request.quota:
        grant(request.quota, credits=credits, reason=request.reason, actor=actor)
        _tell(request, actor, "granted", credits)
    else:
        _give_first(request, actor, credits, period)
        _tell(request, actor, "granted_first", credits, period=period)
    return request


def _give_first(request: CreditRequest, actor: User, credits: int, period: str) -> None:
    """A quota for somebody without one; ``WrongState`` where somebody else was faster in another way."""
    theirs = Quota.objects.of(request.user)
    if theirs.standing().exists():
        raise WrongState(
            _("%(who)s has a quota by now. Change that one, or decline.") % {"who": request.user}
        )
    seen = theirs.filter(period=period).values_list("version", flat=True).first() or 0
    set_quota(request.user, credits=credits, period=period, version=seen, reason=request.reason, actor=actor)


@transaction.atomic
def decline_request(request: CreditRequest, *, actor: User, answer: str = "") -> CreditRequest:
    """Give nothing, with a word of why if there is one."""
    request = _decide(request, actor, State.DECLINED, answer)
    _tell(request, actor, "declined", request.credits)
    return request


def _decide(request: CreditRequest, actor: User, state: str, answer: str, granted: int = 0) -> CreditRequest:
    answer = check_text(answer, param="answer").strip()[:200]
    if granted < 0 or granted > settings.MAX_CREDITS or (state == State.GRANTED and not granted):
        raise InvalidValue(_("Give a whole number of credits."), param="credits")
    # The state itself is in the WHERE: a question inside it would be answered as of before the other's commit.
    rows = CreditRequest.objects.filter(pk=request.pk, state=State.OPEN)
    decided = {"state": state, "granted": granted, "answer": answer, "decided_by": actor, "decided_at": Now()}
    if not requests_for(actor).filter(pk=request.pk).exists() or not rows.update(**decided):
        raise WrongState(_("This is decided already, has lapsed, or is not for you. Nothing was changed."))
    request.refresh_from_db()
    audit(f"request.{state}", request.user, actor=actor, credits=granted or request.credits, answer=answer)
    return request


def _tell(request: CreditRequest, actor: User, how: str, credits: int, **more: str) -> None:
    facts = {"as": how, "by": actor.username, "credits": credits, "answer": request.answer, **more}
    notify([request.user], Notice.Kind.DECIDED, link="/account#credits", **facts)
