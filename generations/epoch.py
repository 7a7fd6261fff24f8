"""What this worker remembers outside the database: how often it saw a right to send being given.

A database that counts less than that was restored from a backup: what it calls queued may have been sent
since, and would be paid twice. The file is a hint of one host; losing it loses only this warning.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from pathlib import Path
from typing import NamedTuple

from django.conf import settings


class Account(NamedTuple):
    """Whose ids the open rows are: where upstream is, and sixteen hex digits that tell its keys apart."""

    host: str
    key_fingerprint: str


def account() -> Account:
    """The upstream of the settings."""
    digest = hashlib.sha256(settings.OMNIMAAS_API_KEY.encode()).hexdigest()
    return Account(settings.OMNIMAAS_BASE_URL, digest[:16])


def _path() -> Path:
    return Path(settings.VAR_DIR, "sends")


def sends_seen(database: uuid.UUID) -> int:
    """The highest count that this host has seen in this database; 0 before the first."""
    with contextlib.suppress(OSError, ValueError):
        name, count = _path().read_text().split()
        return int(count) if name == str(database) else 0
    return 0


def remember(database: uuid.UUID, sends: int) -> None:
    """Keep the count; a smaller one of the same database is not believed."""
    if sends <= sends_seen(database):
        return
    part = _path().with_name(f"sends.{os.getpid()}.part")
    part.write_text(f"{database} {sends}\n")
    part.replace(_path())
