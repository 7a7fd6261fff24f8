"""What people may do to people, quotas and keys; each change leaves its audit entry in the same transaction."""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import keys, ledger, quotas
from accounts.models import ApiKey, AuditEntry, Quota, Team, User
from kling_platform.errors import InvalidValue, NotFound, WrongState
from kling_platform.text import check_text

DEFAULT_CREDITS = 1_000
DEFAULT_PERIOD = Quota.Period.MONTH


def audit(action: str, subject: object, *, actor: User | None, **detail: Any) -> None:
    """One line of who did what; to be called inside the transaction of the change."""
    AuditEntry.objects.create(actor=actor, action=action, subject=str(subject)[:200], detail=detail)


@transaction.atomic
def set_quota(
    owner: User | Team | ApiKey,
    *,
    credits: int,
    period: str | None = None,
    reason: str = "",
    actor: User | None = None,
    version: int | None = None,
) -> ledger.Moved:
    """Give an owner this many credits per period; the current wallet moves by the difference at once.

    ``version`` is the one that the editor saw: where another editor was faster, ``WrongState``.
    """
    _check_credits(credits)
    if period is not None and period not in Quota.Period.values:
        raise InvalidValue(_("A period is one of day, week, month and total."), param="period")
    field = {User: "user", Team: "team", ApiKey: "api_key"}[type(owner)]
    quota, made = Quota.objects.get_or_create(
        **{field: owner}, defaults={"credits": credits, "period": period or DEFAULT_PERIOD}
    )
    before = {"credits": None, "period": None} if made else {"credits": quota.credits, "period": quota.period}
    if not made:
        seen = quota.version if version is None else version
        changed = Quota.objects.filter(pk=quota.pk, version=seen).update(
            credits=credits,
            period=period or quota.period,
            version=F("version") + 1,
            updated_at=timezone.now(),
        )
        if changed != 1:
            raise WrongState(
                _("Somebody else changed this quota meanwhile; nothing was saved. Look again, then decide.")
            )
        quota.refresh_from_db()
    change = ledger.allot(quotas.current_wallet(quota).pk, credits, reason=reason, actor=actor)
    audit(
        "quota.set",
        owner,
        actor=actor,
        before=before,
        credits=credits,
        period=quota.period,
        reason=reason,
        **change._asdict(),
    )
    return change


@transaction.atomic
def grant(quota: Quota, *, credits: int, reason: str, actor: User | None) -> None:
    """Add credits once, for the period that is running."""
    _check_credits(credits, least=1)
    ledger.grant(quotas.current_wallet(quota).pk, credits, reason=reason, actor=actor)
    audit("quota.grant", quota.owner, actor=actor, credits=credits, reason=reason)


@transaction.atomic
def adjust(quota: Quota, *, credits: int, reason: str, actor: User | None) -> ledger.Moved:
    """Correct the current wallet by a positive or negative amount; a cut may reach less than was wanted."""
    _check_credits(abs(credits), least=1)
    if not reason.strip():
        raise InvalidValue(_("Say why: a correction needs a reason."), param="reason")
    change = ledger.adjust(quotas.current_wallet(quota).pk, credits, reason=reason, actor=actor)
    audit("quota.adjust", quota.owner, actor=actor, reason=reason, **change._asdict())
    return change


def _check_credits(credits: int, *, least: int = 0) -> None:
    if (
        isinstance(credits, bool)
        or not isinstance(credits, int)
        or not least <= credits <= settings.MAX_CREDITS
    ):
        raise InvalidValue(
            _("Credits are a whole number from %(least)d to %(most)d.")
            % {"least": least, "most": settings.MAX_CREDITS},
            param="credits",
        )


@transaction.atomic
def make_key(
    user: User, *, label: str, scopes: tuple[str, ...] = keys.SCOPES, actor: User | None = None
) -> tuple[ApiKey, str]:
    """A new key and its text. The text is kept nowhere: show it now."""
    label = label.strip()
    if not label or len(label) > 100 or not label.isprintable():
        raise InvalidValue(_("Give the key a name of up to 100 characters."), param="label")
    if not scopes or set(scopes) - set(keys.SCOPES):
        raise InvalidValue(_("Choose what the key may do: read, create, webhooks."), param="scopes")
    new = keys.make()
    key = ApiKey.objects.create(
        user=user, label=label, lookup=new.lookup, digest=new.digest, scopes=sorted(scopes)
    )
    audit("key.make", user, actor=actor or user, key=new.lookup, label=label, scopes=sorted(scopes))
    return key, new.text


@transaction.atomic
def revoke_key(user: User, key_id: int, *, actor: User | None = None) -> ApiKey:
    """End a key at once. Revoking it again changes nothing. ``NotFound`` for somebody else's."""
    key = ApiKey.objects.filter(user=user, pk=key_id).first()
    if key is None:
        raise NotFound(_("There is no such key."))
    if ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=timezone.now()):
        audit("key.revoke", user, actor=actor or user, key=key.lookup, label=key.label)
        key.refresh_from_db()
    return key


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
