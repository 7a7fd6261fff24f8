"""Who may spend how much: of one person, of a team, of many at once, and of everybody new."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from accounts import quotas, rooms, services
from accounts.manage.boxes import boxes
from accounts.manage.people_views import chosen
from accounts.models import Quota, Team, User
from accounts.services.bulk import AT_ONCE, HOW
from kling_platform.errors import InvalidValue, PlatformError
from kling_platform.text import whole_number

PEOPLE, TEAMS = "manage_people", "manage_teams"
LAST_YEAR = 9000  # far beyond any quota, and before the end of the calendar


def _me(request: HttpRequest) -> User:
    return cast(User, request.user)


def _funded(request: HttpRequest, user_id: int) -> User:
    """Somebody whom the viewer sees and whose quotas he sets."""
    user = get_object_or_404(User.objects.visible_to(_me(request)), pk=user_id)
    if not User.objects.funded_by(_me(request)).filter(pk=user.pk).exists():
        raise PermissionDenied
    return user


def _team(request: HttpRequest, team_id: int) -> Team:
    return get_object_or_404(Team.objects.visible_to(_me(request)), pk=team_id)


def _done(request: HttpRequest, to: str, verb: Callable[[], object], said: str) -> HttpResponse:
    try:
        verb()
    except PlatformError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, said)
    return redirect(to)


# --- one person, one team ---------------------------------------------------------


def _typed(request: HttpRequest) -> tuple[dict[str, int], dict[str, int]]:
    """Credits by period as they were typed, and the versions that were looked at."""
    credits = {}
    for period in Quota.Period.values:
        text = request.POST.get(period, "").strip()
        if text:
            number = whole_number(text.replace(",", ""))
            credits[period] = -1 if number is None else number  # which the service refuses, and says why
    seen = {
        period: whole_number(request.POST.get(f"seen_{period}", "")) or 0 for period in Quota.Period.values
    }
    return credits, seen


def _set(request: HttpRequest, owner: User | Team, to: str) -> HttpResponse:
    credits, seen = _typed(request)
    reason = request.POST.get("reason", "").strip()[:200]
    return _done(
        request,
        to,
        lambda: services.set_quotas(owner, credits, seen=seen, reason=reason, actor=_me(request)),
        _("Saved. It holds at once."),
    )


def _grant(request: HttpRequest, owner: User | Team, to: str) -> HttpResponse:
    standing = Quota.objects.of(owner).standing()
    quota = get_object_or_404(standing, pk=whole_number(request.POST.get("quota", "")) or 0)

    def give() -> None:
        services.grant(
            quota,
            credits=whole_number(request.POST.get("credits", "").replace(",", "")) or 0,
            reason=request.POST.get("reason", "").strip()[:200],
            actor=_me(request),
            until=_end_of(request.POST.get("until", "")),
        )

    return _done(request, to, give, _("Given. They can go on at once."))


def _end_of(text: str) -> datetime | None:
    """The first moment after a day of the platform's time zone; None where none is said."""
    if not text.strip():
        return None
    try:
        day = parse_date(text.strip())
    except ValueError:
        day = None
    if day is None or day.year > LAST_YEAR:
        raise InvalidValue(_("Write the day as 2026-12-31."), param="until")
    return datetime.combine(day + timedelta(days=1), time.min, timezone.get_current_timezone())


@require_POST
@rooms.act(PEOPLE)
def set_of_person(request: HttpRequest, user_id: int) -> HttpResponse:
    """Somebody's quotas: exactly those that are filled in."""
    user = _funded(request, user_id)
    return _set(request, user, reverse("manage_person", args=[user.pk]))


@require_POST
@rooms.act(PEOPLE)
def grant_to_person(request: HttpRequest, user_id: int) -> HttpResponse:
    """Credits once, for the period that is running or until a day in it."""
    user = _funded(request, user_id)
    return _grant(request, user, reverse("manage_person", args=[user.pk]))


@require_POST
@rooms.act(TEAMS, User.Role.ADMIN)
def set_of_team(request: HttpRequest, team_id: int) -> HttpResponse:
    """A team's quotas; none at all, and it limits no more."""
    team = _team(request, team_id)
    return _set(request, team, reverse("manage_team", args=[team.pk]))


@require_POST
@rooms.act(TEAMS, User.Role.ADMIN)
def grant_to_team(request: HttpRequest, team_id: int) -> HttpResponse:
    """Credits once, for all of a team."""
    team = _team(request, team_id)
    return _grant(request, team, reverse("manage_team", args=[team.pk]))


# --- many at once -------------------------------------------------------------------


class EditForm(forms.Form):
    """What becomes of the quotas of the people who are chosen."""

    period = forms.ChoiceField(choices=Quota.Period.choices)
    how = forms.ChoiceField(choices=list(HOW.items()))
    amount = forms.IntegerField(min_value=-settings.MAX_CREDITS, max_value=settings.MAX_CREDITS)

    def edit(self) -> services.Edit:
        return services.Edit(**self.cleaned_data)


@require_http_methods(["GET", "HEAD", "POST"])
@rooms.act(PEOPLE)
def many(request: HttpRequest) -> HttpResponse:
    """Choose people as in their list, and what becomes of their quotas; look at what it does to each; do it."""
    if request.method == "POST":
        return _apply(request)
    actor = _me(request)
    people = User.objects.funded_by(actor).filter(pk__in=chosen(request).order_by().values("pk"))
    form = EditForm(request.GET if "amount" in request.GET else None)
    effects: list[services.Effect] = []
    refused = ""
    if form.is_valid():
        try:
            effects = services.preview(people, form.edit())[: AT_ONCE + 1]
        except PlatformError as refusal:
            refused = str(refusal)
    default, version = quotas.default()
    context = {
        "form": form,
        "how": HOW,
        "query": request.GET.get("q", "")[:100],
        "teams": Team.objects.visible_to(actor).order_by("name"),
        "roles": User.Role.choices,
        "count": people.count(),
        "effects": [effect for effect in effects[:AT_ONCE] if effect.changes],
        "same": sum(not effect.changes for effect in effects[:AT_ONCE]),
        "more": len(effects) > AT_ONCE,
        "most": AT_ONCE,
        "refused": refused,
        "looked": form.is_bound and not refused,
        "boxes": boxes(default, dict.fromkeys(Quota.Period.values, version)),
        "version": version,
        "may_set_default": actor.role == User.Role.ADMIN,
    }
    return render(request, "manage/quotas.html", context)


def _apply(request: HttpRequest) -> HttpResponse:
    form = EditForm(request.POST)
    pairs = (each.partition(":") for each in request.POST.getlist("who")[: AT_ONCE + 1])
    seen = {whole_number(pk) or 0: whole_number(version) or 0 for pk, _colon, version in pairs}
    try:
        if not form.is_valid():
            raise InvalidValue(_("Choose what becomes of the quota, and for which period."), param="how")
        changed = services.apply_edit(
            form.edit(), seen=seen, reason=request.POST.get("reason", "")[:200], actor=_me(request)
        )
    except PlatformError as refusal:
        messages.error(request, str(refusal))
        return redirect(f"{reverse('manage_quotas')}?{request.GET.urlencode()}")
    said = ngettext("%(count)d quota is changed.", "%(count)d quotas are changed.", changed)
    messages.success(request, said % {"count": changed})
    return redirect("manage_people")


@require_POST
@rooms.act(PEOPLE, User.Role.ADMIN)
def set_default(request: HttpRequest) -> HttpResponse:
    """What everybody new gets."""
    credits, _seen = _typed(request)
    version = whole_number(request.POST.get("seen", "")) or 0
    return _done(
        request,
        reverse("manage_quotas"),
        lambda: services.set_default_quotas(credits, actor=_me(request), version=version),
        _("Saved. It holds for everybody who comes from now on."),
    )
