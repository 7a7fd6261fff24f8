"""Links in letters: an invitation's, and one that sets a new password. Signed, never stored, each good once.

An invitation's link carries its id and its nonce; the row says until when and whether it was used. A reset's
is Django's own token: made of the password's hash, so it dies with the password that it was made for.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.core import signing
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from accounts.models import Invitation, User
from kling_platform.errors import NotFound

_SALT = "accounts.invitation"


def invitation_path(invitation: Invitation) -> str:
    """``/join/…`` for this invitation as it stands."""
    return f"/join/{signing.dumps([invitation.pk, invitation.nonce.hex], salt=_SALT)}"


def invitation_of(token: str) -> Invitation:
    """The open invitation behind a link; ``NotFound`` for every other link, whatever is wrong with it."""
    try:
        pk, nonce = signing.loads(token, salt=_SALT)
        wanted = uuid.UUID(nonce)
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise dead() from error
    found = Invitation.objects.filter(
        pk=pk, nonce=wanted, accepted_at=None, withdrawn_at=None, expires_at__gt=Now()
    ).first()
    if found is None:
        raise dead()
    return found


def reset_path(user: User) -> str:
    """``/reset/ID/TOKEN`` for the password that the user has now."""
    return f"/reset/{user.pk}/{default_token_generator.make_token(user)}"


def opens(user: User, token: str) -> bool:
    """Whether a reset's token is good for this user now."""
    return user.is_active and default_token_generator.check_token(user, token)


def full(path: str) -> str:
    """The address as it stands in a letter."""
    return f"{settings.PUBLIC_URL}{path}"


def dead() -> NotFound:
    """Used, withdrawn, too old or mistyped: told apart by nobody, because anybody may ask."""
    return NotFound(_("This link no longer works: it was used, or its time is over. Ask for a new one."))
