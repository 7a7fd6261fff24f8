"""Somebody leaves: what there is of them, who goes on with it, and the end. Nothing happens without the name typed."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import rooms
from accounts.manage.forms import ServiceForm
from accounts.models import User
from generations import services
from kling_platform.errors import PlatformError

ROOM = "manage_people"
OVER = 286  # htmx asks no more


class SureForm(ServiceForm):
    """Whoever types the name has read whose it is."""

    name = forms.CharField(required=False)

    def __init__(self, *args: Any, person: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person = person

    def clean_name(self) -> str:
        name = self.cleaned_data["name"].strip()
        if name != self.person.username:
            raise forms.ValidationError(_("Type %(user)s, to be sure.") % {"user": self.person})
        return name


class HandOverForm(SureForm):
    """To whom."""

    to = forms.CharField(required=False)

    def clean_to(self) -> User:
        found = User.objects.filter(username=self.cleaned_data["to"].strip()).first()
        if found is None:
            raise forms.ValidationError(_("Nobody has this user name."))
        return found


class LeaveForm(SureForm):
    """Why."""

    reason = forms.CharField(required=False, max_length=200)


def _me(request: HttpRequest) -> User:
    return cast(User, request.user)


def _find(request: HttpRequest, user_id: int) -> User:
    return get_object_or_404(User.objects.visible_to(_me(request)), pk=user_id)


def _page(
    request: HttpRequest, person: User, *, hand: HandOverForm | None = None, leave: LeaveForm | None = None
) -> HttpResponse:
    context = {
        "person": person,
        "belongings": services.belongings(person),
        "hand": hand or HandOverForm(person=person),
        "leave": leave or LeaveForm(person=person),
        "heirs": User.objects.filter(is_active=True).exclude(pk=person.pk).order_by("username")[:200],
        "is_me": person == _me(request),
    }
    return render(request, "manage/leave.html", context, status=400 if hand or leave else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@rooms.act(ROOM, User.Role.ADMIN)
def leave(request: HttpRequest, user_id: int) -> HttpResponse:
    """What would happen; the POST lets it happen."""
    person = _find(request, user_id)
    if person.retired_at:
        return redirect("manage_person", person.pk)
    if request.method != "POST":
        return _page(request, person)
    form = LeaveForm(request.POST, person=person)
    if form.is_valid():
        try:
            services.retire_user(person, actor=_me(request), reason=form.cleaned_data["reason"])
        except PlatformError as refusal:
            form.show(refusal)
        else:
            messages.success(request, _("%(user)s is out. What is left goes now.") % {"user": person})
            return redirect("manage_person", person.pk)
    return _page(request, person, leave=form)


@require_POST
@rooms.act(ROOM, User.Role.ADMIN)
def hand_over(request: HttpRequest, user_id: int) -> HttpResponse:
    """Give the library to somebody else; the person stays."""
    person = _find(request, user_id)
    form = HandOverForm(request.POST, person=person)
    if form.is_valid():
        to = form.cleaned_data["to"]
        try:
            videos = services.hand_over(person, to=to, actor=_me(request))
        except PlatformError as refusal:
            form.show(refusal)
        else:
            said = ngettext(
                "%(videos)d video is %(to)s's now.", "%(videos)d videos are %(to)s's now.", videos
            )
            messages.success(request, said % {"videos": videos, "to": to})
            return redirect("manage_leave", person.pk)
    return _page(request, person, hand=form)


@require_GET
@rooms.act(ROOM, User.Role.ADMIN)
def farewell(request: HttpRequest, user_id: int) -> HttpResponse:
    """How far the purge is; 404 for whoever is still here."""
    person = _find(request, user_id)
    found = services.farewell(person)
    if found is None:
        raise Http404
    status = OVER if found.is_over else 200
    return render(request, "manage/_farewell.html", {"farewell": found}, status=status)
