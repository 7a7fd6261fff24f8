"""API keys: ``klp_`` + 10 characters that find the row + 32 random ones + CRC-32, all base 62.

32 characters of base 62 carry 190 bits. The checksum lets a mistyped or forged key fail before any
query. At rest only the SHA-256 is kept; a fast hash is right for a secret that nobody can guess.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
import zlib
from datetime import timedelta
from typing import Any, NamedTuple

from django.db.models import Case, F, Q, When
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from accounts.models import ApiKey, User
from kling_platform import prepared

PREFIX = "klp_"
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
LOOKUP, SECRET, CHECKSUM = 10, 32, 6
# What a call asks a key and its owner: no password, and no times, which take longest to read.
OF_KEY = ("id", "user_id", "label", "lookup", "scopes", "model_names", "most_open")
OF_OWNER = ("id", "username", "email", "is_active", "role", "models_allowed", "language")


class NewKey(NamedTuple):
    """``text`` is shown once; the other two are stored."""

    text: str
    lookup: str
    digest: bytes


def make(lookup: str = "") -> NewKey:
    """A new random key; with a ``lookup`` another one for the same row."""
    start = lookup or PREFIX + _random(LOOKUP)
    body = start + _random(SECRET)
    text = body + _checksum(body)
    return NewKey(text, _lookup(text), _digest(text))


def well_formed(text: str) -> bool:
    """Whether the key can be one of ours, told without a query."""
    if len(text) != len(PREFIX) + LOOKUP + SECRET + CHECKSUM or not text.startswith(PREFIX):
        return False
    body, checksum = text[:-CHECKSUM], text[-CHECKSUM:]
    return text.isascii() and hmac.compare_digest(checksum, _checksum(body))


def find(text: str) -> ApiKey | None:
    """The living key with its user, or None; ``key.now`` is the database's clock. No query for a forged text.

    Notes the use, at most once a minute, so that a busy client does not write all day. On PostgreSQL, where
    each call of a client would pay for the round trip, in the same statement.
    """
    if not well_formed(text):
        return None
    if prepared.is_possible():
        return _find_and_note(text)
    if key := _found(text):
        _note(text)
    return key


def why_ended(text: str) -> str:
    """A sentence for whoever still sends a secret that was good once; empty for all else."""
    key = ApiKey.objects.filter(lookup=_lookup(text)).first() if well_formed(text) else None
    if key is None:
        return ""
    is_old = hmac.compare_digest(bytes(key.old_digest or b""), _digest(text))
    if not is_old and not hmac.compare_digest(bytes(key.digest), _digest(text)):
        return ""
    if key.revoked_at:
        return _("This API key was revoked. Make another one on your account page.")
    if is_old:
        return _("This API key was replaced by a new one, and its time is over. Use the new one.")
    return _("This API key has ended. Give it more time, or make another one, on your account page.")


def asked_for(text: str) -> dict[str, Any]:
    """The parameters of ``OPENED`` and ``NOTED``; for a text that is well formed."""
    return {"lookup": _lookup(text), "digest": _digest(text)}


# The condition for the living key of a secret, and of the one before while that lives, in a statement where
# the key goes by ``k``. The database compares digests: whoever learned one from the time that this takes
# would have nothing that opens.
OPENED = """k.lookup = %(lookup)s AND k.revoked_at IS NULL
   AND (k.expires_at IS NULL OR k.expires_at > statement_timestamp())
   AND (k.digest = %(digest)s OR k.old_digest = %(digest)s AND k.old_until > statement_timestamp())"""
# What such a statement begins with to write down that the secret is in use.
NOTED = f"""WITH noted AS (
  UPDATE accounts_apikey k SET last_used_at = statement_timestamp(),
         old_used_at = CASE WHEN k.digest = %(digest)s THEN k.old_used_at ELSE statement_timestamp() END
   WHERE {OPENED}
     AND coalesce(CASE WHEN k.digest = %(digest)s THEN k.last_used_at ELSE k.old_used_at END
                  < statement_timestamp() - interval '1 minute', true)
)"""  # noqa: S608
_KEY, _OWNER = prepared.Columns(ApiKey, "k", OF_KEY), prepared.Columns(User, "u", OF_OWNER)
_FIND_AND_NOTE = f"""
{NOTED}
SELECT {_KEY.sql}, {_OWNER.sql}, statement_timestamp()
  FROM accounts_apikey k JOIN accounts_user u ON u.id = k.user_id
 WHERE {OPENED}
"""  # noqa: S608


def _find_and_note(text: str) -> ApiKey | None:
    row = prepared.first(_FIND_AND_NOTE, asked_for(text))
    if row is None:
        return None
    key: Any = _KEY.take(row)
    key.user, key.now = _OWNER.take(row), row[0]
    return key


def _found(text: str) -> ApiKey | None:
    opens = Q(digest=_digest(text)) | Q(old_digest=_digest(text), old_until__gt=Now())
    in_time = Q(expires_at=None) | Q(expires_at__gt=Now())
    living = ApiKey.objects.filter(opens, in_time, lookup=_lookup(text), revoked_at=None)
    asked = (*OF_KEY, *(f"user__{name}" for name in OF_OWNER))
    return living.select_related("user").only(*asked).annotate(now=Now()).first()


def _note(text: str) -> None:
    is_new, is_old = Q(digest=_digest(text)), Q(old_digest=_digest(text))
    due = is_new & _not_since("last_used_at") | is_old & _not_since("old_used_at")
    ApiKey.objects.filter(due, lookup=_lookup(text)).update(
        last_used_at=Now(), old_used_at=Case(When(is_old, then=Now()), default=F("old_used_at"))
    )


def _not_since(column: str) -> Q:
    return Q(**{column: None}) | Q(**{f"{column}__lt": Now() - timedelta(minutes=1)})


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _number in range(length))


def _lookup(text: str) -> str:
    return text[: len(PREFIX) + LOOKUP]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("ascii")).digest()


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode("ascii")), ""
    for _number in range(CHECKSUM):
        number, rest = divmod(number, len(ALPHABET))
        digits = ALPHABET[rest] + digits
    return digits
