"""People: the list, one person, and what is done to them. Rows come through ``User.objects.visible_to``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.contrib import messages
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_filters import ChoiceFilter, FilterSet, ModelChoiceFilter, TypedChoiceFilter

from accounts import links, quotas, rooms, services
from accounts.manage.boxes import boxes_of
from accounts.manage.forms import InviteForm
from accounts.models import Invitation, Team, User
from kling_platform.errors import PlatformError
from kling_platform.tables import Column, download, searched, table

ROOM = "manage_people"
SEARCHED = ("username", "email", "first_name", "last_name")
STATES = {"active": True, "suspended": False}
COLUMNS = (
    Column("name", gettext_lazy("Name"), ("username",)),
    Column("role", gettext_lazy("Role"), ("role", "username"), wide=True),
    Column("teams", gettext_lazy("Teams"), wide=True),
    Column("used", gettext_lazy("Credits used"), ("most_used",), numeric=True),
    Column("seen", gettext_lazy("Last sign-in"), ("last_login",), numeric=True, wide=True),
)


def _me(request: HttpRequest) -> User:
    return cast(User, request.user)


@require_GET
@rooms.look(ROOM)
def people(request: HttpRequest) -> HttpResponse:
    """Everybody whom the viewer may see, searched, sorted, a page at a time."""
    page = table(request.GET, chosen(request), COLUMNS, first="name")
    for user in page.rows:
        user.balances = quotas.glances(user)
    context: dict[str, Any] = {"table": page}
    if request.headers.get("HX-Request"):
        return render(request, "manage/_people.html", context)
    context |= {
        "invitations": _invitations(_me(request)),
        "teams": Team.objects.visible_to(_me(request)).order_by("name"),
        "roles": User.Role.choices,
        "may_act": _me(request).role in rooms.room(ROOM).act,
    }
    return render(request, "manage/people.html", context)


class PeopleFilter(FilterSet):
    """What the list may be narrowed to; what is not among the choices counts as not said."""

    role = ChoiceFilter(choices=User.Role.choices)
    state = TypedChoiceFilter("is_active", choices=[(name, name) for name in STATES], coerce=STATES.get)
    team = ModelChoiceFilter("teams", queryset=lambda request: Team.objects.visible_to(request.user))


def chosen(request: HttpRequest) -> QuerySet[User]:
    """Everybody whom the viewer may see and who is searched for."""
    viewer = _me(request)
    seen = Prefetch("teams", Team.objects.visible_to(viewer).order_by("name"), to_attr="seen_teams")
    rows = User.objects.visible_to(viewer).prefetch_related(seen, quotas.AT_A_GLANCE)
    found = PeopleFilter(request.GET, quotas.with_most_used(rows, "user"), request=request).qs
    return searched(found, request.GET, SEARCHED)


def _invitations(viewer: User) -> list[Invitation]:
    """The open ones with their links, which their makers may hand over themselves."""
    found = list(services.invitations_of(viewer).select_related("invited_by").prefetch_related("teams"))
    for invitation in found:
        invitation.link = links.full(links.invitation_path(invitation))  # type: ignore[attr-defined]
        invitation.is_over = invitation.expires_at <= timezone.now()  # type: ignore[attr-defined]
    return found


@require_GET
@rooms.look(ROOM)
def export(request: HttpRequest) -> HttpResponseBase:
    """The list as it is searched and filtered, all of it, for a spreadsheet."""
    header = (
        "user",
        "email",
        "role",
        "teams",
        "active",
        "credits",
        "period",
        "quotas",
        "used",
        "last_sign_in",
    )
    return download("people", header, (_line(user) for user in chosen(request).order_by("username")))


def _line(user: Any) -> tuple[Any, ...]:
    known = quotas.glances(user)
    one = (known[0].quota.credits, known[0].quota.period) if len(known) == 1 else ("", "")
    standing = "; ".join(f"{balance.quota.credits} / {balance.quota.period}" for balance in known)
    used = "; ".join(f"{balance.used} / {balance.quota.period}" for balance in known)
    teams = "; ".join(team.name for team in user.seen_teams)
    signed_in = user.last_login.isoformat() if user.last_login else ""
    return (user.username, user.email, user.role, teams, user.is_active, *one, standing, used, signed_in)


@require_GET
@rooms.look(ROOM)
def person(request: HttpRequest, user_id: int) -> HttpResponse:
    """One person: who, which teams, how much, and for admins what can be done."""
    return render(request, "manage/person.html", _person(request, _find(request, user_id)))


def _find(request: HttpRequest, user_id: int) -> User:
    return get_object_or_404(User.objects.visible_to(_me(request)), pk=user_id)


def _person(request: HttpRequest, user: User) -> dict[str, Any]:
    viewer = _me(request)
    return {
        "person": user,
        "teams": Team.objects.visible_to(viewer).filter(members=user).order_by("name"),
        "balances": quotas.balances_of(user),
        "boxes": boxes_of(user),
        "may_fund": User.objects.funded_by(viewer).filter(pk=user.pk).exists(),
        "keys": user.api_keys.filter(revoked_at=None).count(),
        "roles": User.Role.choices,
        "may_act": viewer.role == User.Role.ADMIN,
        "is_me": viewer.pk == user.pk,
    }


def _done(request: HttpRequest, user_id: int, verb: Callable[[User], object], sentence: str) -> HttpResponse:
    """Do something to a person the viewer may see, and say how it went on their page."""
    user = _find(request, user_id)
    try:
        verb(user)
    except PlatformError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, sentence % {"user": user})
    return redirect("manage_person", user.pk)


@require_POST
@rooms.act(ROOM, User.Role.ADMIN)
def set_role(request: HttpRequest, user_id: int) -> HttpResponse:
    role = request.POST.get("role", "")
    return _done(
        request,
        user_id,
        lambda user: services.set_role(user, role, actor=_me(request)),
        _("%(user)s has another role now."),
    )


@require_POST
@rooms.act(ROOM, User.Role.ADMIN)
def suspend(request: HttpRequest, user_id: int) -> HttpResponse:
    return _done(
        request,
        user_id,
        lambda user: services.set_active(user, False, actor=_me(request)),
        _("%(user)s is suspended: signed out everywhere, keys and links are dead."),
    )


@require_POST
@rooms.act(ROOM, User.Role.ADMIN)
def resume(request: HttpRequest, user_id: int) -> HttpResponse:
    return _done(
        request,
        user_id,
        lambda user: services.set_active(user, True, actor=_me(request)),
        _("%(user)s is active."),
    )


@require_POST
@rooms.act(ROOM, User.Role.ADMIN)
def sign_out(request: HttpRequest, user_id: int) -> HttpResponse:
    return _done(
        request,
        user_id,
        lambda user: services.sign_out(user, actor=_me(request)),
        _("%(user)s is signed out everywhere. API keys go on."),
    )


@require_POST
@rooms.act(ROOM, User.Role.ADMIN)
def reset(request: HttpRequest, user_id: int) -> HttpResponse:
    return _done(
        request,
        user_id,
        lambda user: services.send_reset(user, actor=_me(request), language=get_language() or "en"),
        _("%(user)s gets a letter with a link for a new password."),
    )


# --- invitations --------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@rooms.act(ROOM)
def invite(request: HttpRequest) -> HttpResponse:
    """Ask somebody to join."""
    form = InviteForm(request.POST if request.method == "POST" else None, actor=_me(request))
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                invitation = services.invite(**form.cleaned_data, actor=_me(request))
            except PlatformError as refusal:
                form.show(refusal)
                status = refusal.status
            else:
                messages.success(
                    request, _("%(email)s gets a letter with a link.") % {"email": invitation.email}
                )
                return redirect("manage_people")
    return render(request, "manage/invite.html", {"form": form}, status=status)


def _of_invitation(request: HttpRequest, verb: Callable[[], Invitation], sentence: str) -> HttpResponse:
    try:
        messages.success(request, sentence % {"email": verb().email})
    except PlatformError as refusal:
        return render(request, f"{refusal.status}.html", {"message": refusal.message}, status=refusal.status)
    return redirect("manage_people")


@require_POST
@rooms.act(ROOM)
def invite_again(request: HttpRequest, invitation_id: int) -> HttpResponse:
    return _of_invitation(
        request,
        lambda: services.send_again(invitation_id, actor=_me(request)),
        _("%(email)s gets a new letter; the link before opens nothing any more."),
    )


@require_POST
@rooms.act(ROOM)
def withdraw(request: HttpRequest, invitation_id: int) -> HttpResponse:
    return _of_invitation(
        request,
        lambda: services.withdraw(invitation_id, actor=_me(request)),
        _("The invitation of %(email)s is withdrawn."),
    )
