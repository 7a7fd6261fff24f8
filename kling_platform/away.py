"""A database that is away for a moment: how that is seen, and how those wait for it who have something to lose."""

from __future__ import annotations

import logging
import time

from django.db import InterfaceError, OperationalError, connection

AWAY = (OperationalError, InterfaceError)
BACK_SECONDS = 0.5  # between two looks whether it is back

logger = logging.getLogger(__name__)


def pause(error: Exception, who: str) -> None:
    """Say that ``who`` ("the queue waits") waits, let go of the dead line, and wait a little."""
    logger.warning("%s for the database: %s", who, error)
    connection.close()
    time.sleep(BACK_SECONDS)
