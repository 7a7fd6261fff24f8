"""What the pages of ``/manage/`` share: the navigation."""

from __future__ import annotations

from django import template

from accounts import rooms
from accounts.models import User

register = template.Library()


@register.simple_tag
def rooms_of(user: User) -> list[rooms.Room]:
    """The rooms that a person may look into; none for members."""
    return rooms.open_to(user)
