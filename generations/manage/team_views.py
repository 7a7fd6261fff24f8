"""Teams: who is in them, what they may spend, and the rules for what is made for them."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import quotas, rooms
from accounts import services as people
from accounts.manage.boxes import boxes_of
from accounts.manage.forms import ServiceForm
from accounts.models import Team, User
from generations import services
from kling_platform.errors import PlatformError
from kling_platform.tables import Column, searched, table

ROOM = "manage_teams"
COLUMNS = (
    Column("name", gettext_lazy("Name"), ("name",)),
    Column("people", gettext_lazy("People"), ("people",), numeric=True),
    Column("used", gettext_lazy("Credits used"), ("most_used",), numeric=True),
    Column("rules", gettext_lazy("Rules"), wide=True),
)


class TeamForm(ServiceForm):
    """Name and rules; ``version`` is the one that the editor looked at."""

    name = forms.CharField(max_length=100)
    models_allowed = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    sharing = forms.BooleanField(required=False)
    share_links = forms.BooleanField(required=False)
    labelled = forms.BooleanField(required=False)
    retention_days = forms.IntegerField(required=False, min_value=1, max_value=people.LONGEST_RETENTION)
    version = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered: Any = self.fields["models_allowed"]
        offered.choices = [(model.name, model.label) for model in services.current_rules().offered]

    def clean_retention_days(self) -> int:
        """Nothing written means that nothing is deleted: 0, in the words of the service."""
        return self.cleaned_data["retention_days"] or 0


def _me(request: HttpRequest) -> User:
    return cast(User, request.user)


def _find(request: HttpRequest, team_id: int) -> Team:
    return get_object_or_404(Team.objects.visible_to(_me(request)), pk=team_id)


@require_GET
@rooms.look(ROOM)
def teams(request: HttpRequest) -> HttpResponse:
    """The teams that the viewer may see."""
    counted = Team.objects.visible_to(_me(request)).annotate(people=Count("members"))
    rows = quotas.with_most_used(counted.prefetch_related(quotas.AT_A_GLANCE), "team")
    page = table(request.GET, searched(rows, request.GET, ("name",)), COLUMNS, first="name")
    for row in page.rows:
        row.balances = quotas.glances(row)
    context: dict[str, Any] = {"table": page}
    if request.headers.get("HX-Request"):
        return render(request, "manage/_teams.html", context)
    context["may_make"] = _me(request).role == User.Role.ADMIN
    return render(request, "manage/teams.html", context)


@require_POST
@rooms.act(ROOM, User.Role.ADMIN)
def make(request: HttpRequest) -> HttpResponse:
    """A new team; its own page asks for the rest."""
    try:
        team = people.make_team(request.POST.get("name", ""), actor=_me(request))
    except PlatformError as refusal:
        messages.error(request, str(refusal))
        return redirect("manage_teams")
    return redirect("manage_team", team.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@rooms.look(ROOM)
def team(request: HttpRequest, team_id: int) -> HttpResponseBase:
    """One team: people, credits, rules."""
    found = _find(request, team_id)
    if request.method == "POST":
        return _change(request, found)
    return _page(request, found, TeamForm(initial=_now(found)))


@rooms.act(ROOM)
def _change(request: HttpRequest, found: Team) -> HttpResponse:
    form = TeamForm(request.POST)
    status = 400
    if form.is_valid():
        try:
            people.change_team(found, actor=_me(request), **form.cleaned_data)
        except PlatformError as refusal:
            form.show(refusal)
            status = refusal.status
        else:
            messages.success(request, _("Saved."))
            return redirect("manage_team", found.pk)
    return _page(request, found, form, status=status)


def _now(found: Team) -> dict[str, Any]:
    return {name: getattr(found, name) for name in TeamForm.base_fields}


def _page(request: HttpRequest, found: Team, form: TeamForm, *, status: int = 200) -> HttpResponse:
    viewer = _me(request)
    context = {
        "team": found,
        "form": form,
        "members": found.members.order_by("username"),
        "others": User.objects.visible_to(viewer).exclude(teams=found).order_by("username"),
        "balances": quotas.balances_of(found),
        "boxes": boxes_of(found),
        "may_fund": viewer.role == User.Role.ADMIN,
        "may_act": viewer.role in rooms.room(ROOM).act,
    }
    return render(request, "manage/team.html", context, status=status)


@require_POST
@rooms.act(ROOM)
def add(request: HttpRequest, team_id: int) -> HttpResponse:
    """Let somebody whom the viewer may see into the team."""
    found = _find(request, team_id)
    named = request.POST.get("user", "").strip()
    user = User.objects.visible_to(_me(request)).filter(username=named).first()
    if user is None:
        messages.error(request, _("You know nobody of this name. Somebody new is invited instead."))
    else:
        people.add_member(found, user, actor=_me(request))
        messages.success(request, _("%(user)s is in the team.") % {"user": user})
    return redirect("manage_team", found.pk)


@require_POST
@rooms.act(ROOM)
def remove(request: HttpRequest, team_id: int, user_id: int) -> HttpResponse:
    """Take somebody out of the team."""
    found = _find(request, team_id)
    user = get_object_or_404(found.members, pk=user_id)
    people.remove_member(found, user, actor=_me(request))
    messages.success(request, _("%(user)s is no longer in the team.") % {"user": user})
    if user == _me(request):
        return redirect("manage_teams")  # a manager who has left sees the team no longer
    return redirect("manage_team", found.pk)
