"""The rooms of ``/manage/``: who may look, who may act, and the way there. One line makes a room.

Which rows a person sees in a room is not said here but by ``User.objects.visible_to`` and
``Team.objects.visible_to``; a page goes through one of them, so that a stranger's row is a 404.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from accounts.models import User

View = Callable[..., HttpResponseBase]
MANAGER, FINANCE, ADMIN = User.Role.MANAGER, User.Role.FINANCE, User.Role.ADMIN


class Room(NamedTuple):
    """``name`` is the URL's; ``look`` are the roles that come in, ``act`` those that change something there."""

    name: str
    label: Any
    look: tuple[str, ...]
    act: tuple[str, ...]


ROOMS = (
    Room("manage_people", _("People"), (MANAGER, FINANCE, ADMIN), (MANAGER, ADMIN)),
    Room("manage_teams", _("Teams"), (MANAGER, FINANCE, ADMIN), (MANAGER, ADMIN)),
    Room("manage_links", _("Shared links"), (MANAGER, ADMIN), (MANAGER, ADMIN)),
    Room("manage_requests", _("Requests"), (MANAGER, ADMIN), (MANAGER, ADMIN)),
    Room("manage_usage", _("Usage"), (MANAGER, FINANCE, ADMIN), ()),
    Room("manage_catalogue", _("Models and prices"), (FINANCE, ADMIN), (ADMIN,)),
    Room("manage_operations", _("Operations"), (ADMIN,), (ADMIN,)),
    Room("manage_audit", _("Audit"), (FINANCE, ADMIN), ()),
)
_BY_NAME = {room.name: room for room in ROOMS}


def open_to(user: User) -> list[Room]:
    """The rooms that a person may look into, in the order of the navigation."""
    return [room for room in ROOMS if user.role in room.look]


def room(name: str) -> Room:
    """The room of this name."""
    return _BY_NAME[name]


def look(name: str) -> Callable[[View], View]:
    """A page of a room. For everybody else there is no such page: 404."""
    return _door(_BY_NAME[name], ())


def act(name: str, *roles: str) -> Callable[[View], View]:
    """Something that changes; ``roles`` where fewer than the room's may. Who may only look gets 403."""
    room = _BY_NAME[name]
    return _door(room, roles or room.act)


def _door(room: Room, needed: tuple[str, ...]) -> Callable[[View], View]:
    def guard(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            role = getattr(request.user, "role", "")
            if role not in room.look:
                raise Http404
            if needed and role not in needed:
                raise PermissionDenied
            request.room = room.name  # type: ignore[attr-defined] # where the navigation shows that one is
            return view(request, *args, **kwargs)

        return never_cache(login_required(guarded))

    return guard
