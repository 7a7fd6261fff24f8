"""Somebody leaves: nothing opens any more at once, and in the end a pseudonym stands where the name was."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Cast, Concat, Now
from django.utils.translation import gettext as _

from accounts.models import ApiKey, User
from accounts.services.auditing import audit
from accounts.services.notices import forget_notices
from accounts.services.people import keep_an_admin
from kling_platform.errors import InvalidValue, WrongState

PSEUDONYM = "former-"


@transaction.atomic
def close_account(user: User, *, actor: User | None, reason: str) -> bool:
    """End sessions, keys and password for good. False when that was done before.

    Nobody does this to himself, so there is always an admin left.
    """
    if actor == user:
        raise WrongState(_("You cannot retire yourself. Ask another admin."))
    if not reason.strip():
        raise InvalidValue(_("Say why: it cannot be undone."), param="reason")
    keep_an_admin(user)
    if not User.objects.filter(pk=user.pk, retired_at__isnull=True).update(
        is_active=False, retired_at=Now(), sign_outs=F("sign_outs") + 1
    ):
        return False
    user.refresh_from_db()
    user.set_unusable_password()
    user.save(update_fields=["password"])
    ApiKey.objects.filter(user=user, revoked_at__isnull=True).update(revoked_at=Now())
    user.teams.clear()
    audit("user.retire", user, actor=actor, reason=reason.strip()[:200])
    return True


def retired_users() -> QuerySet[User]:
    """Those who left and still stand under their own name."""
    pseudonym = Concat(Value(PSEUDONYM), Cast("pk", User._meta.get_field("username")))
    return User.objects.filter(retired_at__isnull=False).exclude(username=pseudonym)


@transaction.atomic
def forget_name(user: User) -> str:
    """Put a pseudonym where name and address were; wallets and journal stay as they are."""
    pseudonym = f"{PSEUDONYM}{user.pk}"
    User.objects.filter(pk=user.pk, retired_at__isnull=False).update(
        username=pseudonym, email="", first_name="", last_name=""
    )
    ApiKey.objects.filter(user=user).update(label=pseudonym)
    forget_notices([user.pk])
    audit("user.forget", pseudonym, actor=None)
    return pseudonym
