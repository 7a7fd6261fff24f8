"""API keys: made, bounded, renewed, revoked. None of it is on the API: a key makes no keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import keys
from accounts.models import SCOPES, ApiKey, Quota, User
from accounts.services.auditing import audit
from accounts.services.credits import check_credits, set_quotas
from kling_platform.errors import InvalidValue, NotFound, Suspended, WrongState

MOST_OPEN = 10_000
MOST_OVERLAP_HOURS = 7 * 24
LONGEST_LIFE = timedelta(days=3_660)


@dataclass(frozen=True)
class Limits:
    """What a key may not go beyond, besides its owner's quota; each left out is no limit.

    ``model_names``: the models that it may use; ``most_open``: videos in the making at a time; ``credits``
    by period: of several all must be able to pay.
    """

    model_names: tuple[str, ...] = ()
    most_open: int | None = None
    expires_at: datetime | None = None
    credits: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        """Raise ``InvalidValue`` for what cannot be."""
        for period, credits in self.credits.items():
            check_credits(credits, param=period)
        if self.most_open is not None and not 1 <= self.most_open <= MOST_OPEN:
            raise InvalidValue(
                _("Videos at a time are a number from 1 to %(most)d.") % {"most": MOST_OPEN},
                param="most_open",
            )
        if self.expires_at is not None and self.expires_at > timezone.now() + LONGEST_LIFE:
            raise InvalidValue(_("A key ends within ten years, or never."), param="expires_at")


@transaction.atomic
def make_key(
    user: User,
    *,
    label: str,
    scopes: Iterable[str] = SCOPES,
    limits: Limits | None = None,
    actor: User | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its text. The text is kept nowhere: show it now."""
    new = keys.make()
    key = ApiKey(user=user, label=_label(label), scopes=_scopes(user, scopes, actor or user))
    key.lookup, key.digest = new.lookup, new.digest
    key.save()
    audit("key.make", user, actor=actor or user, key=key.lookup, label=key.label, scopes=key.scopes)
    if limits is not None:
        _bound(key, limits, actor or user)
    return key, new.text


@transaction.atomic
def change_key(
    user: User, key_id: int, *, label: str, scopes: Iterable[str], limits: Limits, actor: User | None = None
) -> ApiKey:
    """Give a key another name, other scopes and limits; they hold from its next call on."""
    key = _living(user, key_id)
    before = {"label": key.label, "scopes": key.scopes}
    key.label, key.scopes = _label(label), _scopes(user, scopes, actor or user)
    key.save(update_fields=["label", "scopes"])
    if before != (after := {"label": key.label, "scopes": key.scopes}):
        audit("key.change", user, actor=actor or user, key=key.lookup, before=before, after=after)
    _bound(key, limits, actor or user)
    return key


def limits_of(key: ApiKey) -> Limits:
    """What a key is bound by now."""
    return Limits(
        model_names=tuple(key.model_names),
        most_open=key.most_open,
        expires_at=key.expires_at,
        credits=dict(Quota.objects.of(key).standing().values_list("period", "credits")),
    )


def _bound(key: ApiKey, limits: Limits, actor: User) -> None:
    limits.check()
    before = limits_of(key)
    if before == limits:
        return
    if limits.expires_at != before.expires_at and limits.expires_at and limits.expires_at <= timezone.now():
        raise InvalidValue(_("That moment is over. To end the key now, revoke it."), param="expires_at")
    key.model_names, key.most_open = sorted(set(limits.model_names)), limits.most_open
    key.expires_at = limits.expires_at
    key.save(update_fields=["model_names", "most_open", "expires_at"])
    if limits.credits != before.credits:
        set_quotas(key, limits.credits, actor=actor)
    told = {name: value for name, value in _words(limits).items() if value != _words(before)[name]}
    if told:
        audit(
            "key.bound",
            key.user,
            actor=actor,
            key=key.lookup,
            before={name: _words(before)[name] for name in told},
            after=told,
        )


def _words(limits: Limits) -> dict[str, object]:
    """For the audit; the credits have an entry of their own."""
    values = asdict(limits) | {"model_names": sorted(limits.model_names)}
    values["expires_at"] = limits.expires_at and limits.expires_at.isoformat()
    del values["credits"]
    return values


@transaction.atomic
def rotate_key(
    user: User, key_id: int, *, overlap_hours: int, actor: User | None = None
) -> tuple[ApiKey, str]:
    """A new secret at once, shown once; the one before opens for so many hours more, 0 for none.

    The key keeps its name, its limits and its start. Of three secrets in a row the first ends at once.
    """
    if not 0 <= overlap_hours <= MOST_OVERLAP_HOURS:
        raise InvalidValue(
            _("The old key can go on for 0 to %(most)d hours.") % {"most": MOST_OVERLAP_HOURS},
            param="overlap_hours",
        )
    key = _living(user, key_id)
    new = keys.make(key.lookup)
    changed = ApiKey.objects.filter(pk=key.pk, digest=key.digest, revoked_at__isnull=True).update(
        digest=new.digest,
        old_digest=F("digest") if overlap_hours else None,
        old_until=Now() + timedelta(hours=overlap_hours) if overlap_hours else None,
        old_used_at=F("last_used_at") if overlap_hours else None,
        last_used_at=None,
    )
    if changed != 1:
        raise WrongState(
            _("This key was renewed or revoked at the same moment; nothing was changed. Look again.")
        )
    audit(
        "key.rotate", user, actor=actor or user, key=key.lookup, label=key.label, overlap_hours=overlap_hours
    )
    key.refresh_from_db()
    return key, new.text


@transaction.atomic
def end_old_secret(user: User, key_id: int, *, actor: User | None = None) -> ApiKey:
    """End the secret before the last rotation at once. Ending it again changes nothing."""
    key = _living(user, key_id)
    old = ApiKey.objects.filter(pk=key.pk, old_until__isnull=False)
    if old.update(old_digest=None, old_until=None, old_used_at=None):
        audit("key.end_old", user, actor=actor or user, key=key.lookup, label=key.label)
        key.refresh_from_db()
    return key


@transaction.atomic
def revoke_key(user: User, key_id: int, *, actor: User | None = None) -> ApiKey:
    """End a key at once. Revoking it again changes nothing. ``NotFound`` for somebody else's."""
    key = ApiKey.objects.filter(user=user, pk=key_id).first()
    if key is None:
        raise _no_such_key()
    if ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=timezone.now()):
        audit("key.revoke", user, actor=actor or user, key=key.lookup, label=key.label)
        key.refresh_from_db()
    return key


def _no_such_key() -> NotFound:
    return NotFound(_("There is no such key."))


def _living(user: User, key_id: int) -> ApiKey:
    key = ApiKey.objects.filter(user=user, pk=key_id, revoked_at__isnull=True).first()
    if key is None:
        raise _no_such_key()
    return key


def _label(label: str) -> str:
    label = label.strip()
    if not label or len(label) > 100 or not label.isprintable():
        raise InvalidValue(_("Give the key a name of up to 100 characters."), param="label")
    return label


def _scopes(user: User, scopes: Iterable[str], actor: User) -> list[str]:
    """In their order. A key may be given no more than its owner and whoever gives it may have."""
    wanted = set(scopes)
    if not user.is_active:
        raise Suspended(_("This account is suspended. Ask an admin."))
    if not wanted or wanted - set(SCOPES):
        raise InvalidValue(_("Choose what the key may do: read, create, webhooks."), param="scopes")
    if beyond := sorted(wanted - (set(user.key_scopes) & set(actor.key_scopes))):
        raise InvalidValue(
            _("A key cannot be given “%(scope)s”, which its owner may not do.") % {"scope": beyond[0]},
            param="scopes",
        )
    return sorted(wanted)
