"""API keys: made and revoked."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import keys
from accounts.models import ApiKey, User
from accounts.services.auditing import audit
from kling_platform.errors import InvalidValue, NotFound


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
