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
from typing import NamedTuple

from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import ApiKey

PREFIX = "klp_"
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
LOOKUP, SECRET, CHECKSUM = 10, 32, 6
SCOPES = ("read", "create", "webhooks")


class NewKey(NamedTuple):
    """``text`` is shown once; the other two are stored."""

    text: str
    lookup: str
    digest: bytes


def make() -> NewKey:
    """A new random key."""
    body = PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(LOOKUP + SECRET))
    text = body + _checksum(body)
    return NewKey(text, _lookup(text), _digest(text))


def well_formed(text: str) -> bool:
    """Whether the key can be one of ours, told without a query."""
    if len(text) != len(PREFIX) + LOOKUP + SECRET + CHECKSUM or not text.startswith(PREFIX):
        return False
    body, checksum = text[:-CHECKSUM], text[-CHECKSUM:]
    return text.isascii() and hmac.compare_digest(checksum, _checksum(body))


def find(text: str) -> ApiKey | None:
    """The living key with its user, in one query, or None."""
    if not well_formed(text):
        return None
    key = ApiKey.objects.select_related("user").filter(lookup=_lookup(text), revoked_at__isnull=True).first()
    return key if key and hmac.compare_digest(bytes(key.digest), _digest(text)) else None


def touch(key: ApiKey) -> None:
    """Note that a key was used, at most once a minute, so that a busy client does not write all day."""

    if key.last_used_at and timezone.now() - key.last_used_at < timedelta(minutes=1):
        return
    before = timezone.now() - timedelta(minutes=1)
    ApiKey.objects.filter(Q(last_used_at__lt=before) | Q(last_used_at=None), pk=key.pk).update(
        last_used_at=Now()
    )


def _lookup(text: str) -> str:
    return text[: len(PREFIX) + LOOKUP]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("ascii")).digest()


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode("ascii")), ""
    for _ in range(CHECKSUM):
        number, rest = divmod(number, len(ALPHABET))
        digits = ALPHABET[rest] + digits
    return digits
