"""Users: made, suspended, given a role."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import Quota, User
from accounts.services.auditing import audit
from accounts.services.credits import DEFAULT_CREDITS, DEFAULT_PERIOD, set_quota
from accounts.services.keys import make_key
from kling_platform.errors import InvalidValue, WrongState
from kling_platform.text import check_text


@transaction.atomic
def set_active(user: User, active: bool, *, actor: User | None) -> None:
    """Suspend or bring back a user: sessions, keys and links follow the flag at once.

    Nobody suspends himself, so there is always an admin left who can undo it.
    """
    if actor == user and not active:
        raise WrongState(_("You cannot suspend yourself. Ask another admin."))
    if User.objects.filter(pk=user.pk, is_active=not active).update(is_active=active):
        user.is_active = active
        audit("user.resume" if active else "user.suspend", user, actor=actor)


@transaction.atomic
def set_role(user: User, role: str, *, actor: User | None) -> None:
    """Make somebody a member, manager or admin; admins alone enter ``/admin/``.

    No admin gives up the role by his own hand, so the last one cannot either.
    """
    if role not in User.Role.values:
        raise InvalidValue(_("A role is one of member, manager and admin."), param="role")
    if user.role == role:
        return
    if actor == user and user.role == User.Role.ADMIN:
        raise WrongState(_("You cannot take the admin role from yourself. Ask another admin."))
    before, user.role = user.role, role
    user.is_staff = user.is_superuser = role == User.Role.ADMIN
    user.save(update_fields=["role", "is_staff", "is_superuser"])
    audit("user.role", user, actor=actor, before=before, role=role)


class Provisioned(NamedTuple):
    """``password`` and ``api_key`` are texts to show once, None where nothing new was made."""

    user: User
    password: str | None
    api_key: str | None


@transaction.atomic
def provision(
    username: str,
    *,
    email: str | None = None,
    password: str | None = None,
    role: str | None = None,
    credits: int | None = None,
    period: str | None = None,
    api_key: str | None = None,
    actor: User | None = None,
) -> Provisioned:
    """Make sure that a user with this quota is there; again with the same words changes nothing.

    A new user without ``credits`` gets the default quota, one without ``password`` a random one.
    ``api_key`` is a label: each call with it makes a new key.
    """
    user = User.objects.filter(username=check_text(username, param="username")).first()
    made = user is None
    if user is None:
        user = User(username=username)
        password = password or secrets.token_urlsafe(12)
    try:
        if email is not None:
            validate_email(email)
            user.email = email
        if password is not None:
            validate_password(password, user)
            if made or not user.check_password(password):  # a new hash would end the user's sessions
                user.set_password(password)
        user.full_clean(exclude=["password"])
    except ValidationError as error:
        raise InvalidValue("; ".join(error.messages)) from error
    user.save(update_fields=None if made else ["email", "password"])
    if role is not None:
        set_role(user, role, actor=actor)
    if made:
        audit("user.make", user, actor=actor, role=user.role)
    if made or credits is not None or period is not None:
        _provision_quota(user, credits, period, actor)
    text = make_key(user, label=api_key, actor=actor)[1] if api_key else None
    return Provisioned(user, password, text)


def _provision_quota(user: User, credits: int | None, period: str | None, actor: User | None) -> None:
    standing = Quota.objects.filter(user=user).first()
    wanted = (
        credits if credits is not None else standing.credits if standing else DEFAULT_CREDITS,
        period or (standing.period if standing else DEFAULT_PERIOD),
    )
    if standing is None or wanted != (standing.credits, standing.period):
        set_quota(user, credits=wanted[0], period=wanted[1], actor=actor)
