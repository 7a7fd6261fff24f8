"""Users: made, suspended, given a role."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from accounts import links, quotas
from accounts.models import Quota, User
from accounts.services.auditing import audit
from accounts.services.credits import set_quotas
from accounts.services.keys import make_key
from kling_platform.errors import InvalidValue, WrongState
from kling_platform.text import check_text


@transaction.atomic
def set_active(user: User, active: bool, *, actor: User | None) -> None:
    """Suspend or bring back a user: sessions, keys and links follow the flag at once.

    Nobody suspends himself, so there is always an admin left who can undo it. Browsers that were signed
    in stay out when the user is brought back.
    """
    if actor == user and not active:
        raise WrongState(_("You cannot suspend yourself. Ask another admin."))
    if active and user.retired_at:
        raise WrongState(_("Who has left does not come back: make a new account."))
    if not active:
        keep_an_admin(user)
    changes: dict[str, Any] = {"is_active": active} | ({} if active else {"sign_outs": F("sign_outs") + 1})
    if User.objects.filter(pk=user.pk, is_active=not active).update(**changes):
        user.refresh_from_db(fields=["is_active", "sign_outs"])
        audit("user.resume" if active else "user.suspend", user, actor=actor)


def keep_an_admin(user: User) -> None:
    """``WrongState`` where no active admin were left without this one; in the transaction that takes them away.

    All of them are locked first, so that of two who remove each other at the same moment one stays.
    """
    admins = User.objects.select_for_update().filter(role=User.Role.ADMIN, is_active=True).order_by("pk")
    if {admin.pk for admin in admins} == {user.pk}:
        raise WrongState(_("%(user)s is the last admin. Make somebody else an admin first.") % {"user": user})


@transaction.atomic
def set_role(user: User, role: str, *, actor: User | None) -> None:
    """Make somebody a member, manager, finance or admin; admins alone enter ``/admin/``.

    No admin gives up the role by his own hand, so the last one cannot either.
    """
    if role not in User.Role.values:
        raise InvalidValue(_("A role is one of member, manager, finance and admin."), param="role")
    if user.role == role:
        return
    if actor == user and user.role == User.Role.ADMIN:
        raise WrongState(_("You cannot take the admin role from yourself. Ask another admin."))
    keep_an_admin(user)
    before, user.role = user.role, role
    user.is_staff = user.is_superuser = role == User.Role.ADMIN
    user.save(update_fields=["role", "is_staff", "is_superuser"])
    audit("user.role", user, actor=actor, before=before, role=role)


@transaction.atomic
def set_models(user: User, names: Sequence[str], *, actor: User | None) -> None:
    """Let somebody use these models of the catalogue alone; none named: every one."""
    before, wanted = user.models_allowed, sorted(set(names))
    if wanted != before:
        user.models_allowed = wanted
        user.save(update_fields=["models_allowed"])
        audit("user.models", user, actor=actor, before=before, models=wanted)


@transaction.atomic
def sign_out(user: User, *, actor: User | None) -> None:
    """End every session of a user, in all browsers; keys and links go on."""
    User.objects.filter(pk=user.pk).update(sign_outs=F("sign_outs") + 1)
    user.refresh_from_db(fields=["sign_outs"])
    audit("user.sign_out", user, actor=actor)


@transaction.atomic
def send_reset(user: User, *, actor: User | None, language: str = settings.LANGUAGE_CODE) -> None:
    """Mail a link by which the user sets a new password, once. The old one works until then."""
    if not user.is_active:
        raise WrongState(_("The account is suspended, so the link would open nothing. Bring it back first."))
    if not user.email:
        raise WrongState(
            _("No e-mail address of %(user)s is known. Enter one in the administration, then try again.")
            % {"user": user}
        )
    audit("user.reset", user, actor=actor)
    async_task("accounts.tasks.mail_reset", user.pk, language)


@transaction.atomic
def reset_password(user: User, *, token: str, password: str) -> None:
    """Set the password by a link; ``NotFound`` where it was used, is too old, or was made for another password."""
    locked = User.objects.select_for_update().get(pk=user.pk)
    if not links.opens(locked, token):
        raise links.dead()
    _set_password(locked, password)
    audit("user.password", locked, actor=locked)


def _set_password(user: User, password: str) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidValue("; ".join(error.messages), param="password") from error
    user.set_password(password)
    user.save(update_fields=["password"])


class Provisioned(NamedTuple):
    """``password`` and ``api_key`` are texts to show once, None where nothing new was made."""

    user: User
    password: str | None
    api_key: str | None


@transaction.atomic
def make_user(
    username: str,
    *,
    email: str,
    password: str | None,
    role: str = User.Role.MEMBER,
    credits: int | None = None,
    period: str = Quota.Period.MONTH,
    actor: User | None,
) -> User:
    """Somebody new, with a quota; without ``credits`` with what everybody new gets.

    ``InvalidValue`` for a name that is taken, in whatever case it is written.

    Without a password no sign-in is possible until a link has set one.
    """
    user = User(username=check_text(username, param="username"), email=email)
    if User.objects.filter(username__iexact=username).exists():
        raise _taken()
    try:
        user.full_clean(exclude=["password"])
    except ValidationError as error:
        field, texts = next(iter(error.message_dict.items()))
        raise InvalidValue("; ".join(texts), param=field) from error
    user.set_unusable_password()
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError as error:
        raise _taken() from error
    if password is not None:
        _set_password(user, password)
    set_role(user, role, actor=actor)
    audit("user.make", user, actor=actor or user, role=user.role)
    set_quotas(user, quotas.default()[0] if credits is None else {period: credits}, actor=actor)
    return user


def _taken() -> InvalidValue:
    return InvalidValue(_("This user name is taken. Choose another one."), param="username")


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
        user.full_clean(exclude=["password"], validate_constraints=False)  # the database holds them
    except ValidationError as error:
        raise InvalidValue("; ".join(error.messages)) from error
    user.save(update_fields=None if made else ["email", "password"])
    if role is not None:
        set_role(user, role, actor=actor)
    if made:
        audit("user.make", user, actor=actor, role=user.role)
    if made or credits is not None or period is not None:
        standing = {} if made else dict(Quota.objects.of(user).standing().values_list("period", "credits"))
        _provision_quota(user, standing, credits, period, actor)
    text = make_key(user, label=api_key, actor=actor)[1] if api_key else None
    return Provisioned(user, password, text)


def _provision_quota(
    user: User, standing: dict[str, int], credits: int | None, period: str | None, actor: User | None
) -> None:
    """Leave the user with the one quota that was asked for; what was not said stays as it is."""
    if credits is None and period is None:
        wanted = standing or quotas.default()[0]
    elif len(standing) > 1 and (credits is None or period is None):
        raise InvalidValue(
            _("%(owner)s has more than one quota: say for which period.") % {"owner": user}, param="period"
        )
    else:
        known_period, known_credits = next(iter((standing or quotas.FIRST_DEFAULT).items()))
        wanted = {period or known_period: known_credits if credits is None else credits}
    if wanted != standing:
        set_quotas(user, wanted, actor=actor)
