"""What a process needs that shall work on the database and the upstream of the running test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.db import connection


def database_url() -> str:
    """DATABASE_URL of the test's own database (xdist gives every worker one)."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    return (
        f"postgresql://{quote(database['USER'])}@/{database['NAME']}?host={quote(database['HOST'], safe='')}"
    )


def environment_of_this_test(settings: Any, **more: str) -> dict[str, str]:
    """The environment for ``manage.py`` as a child: what the test has changed in the settings included.

    The test needs a database whose rows others can see: ``transactional_db``.
    """
    return {
        **os.environ,
        "DATABASE_URL": database_url(),
        "OMNIMAAS_BASE_URL": settings.OMNIMAAS_BASE_URL,
        "OMNIMAAS_API_KEY": settings.OMNIMAAS_API_KEY,
        "EGRESS_ALLOW": ",".join(sorted(settings.EGRESS_ALLOW)),
        "VAR_DIR": str(Path(settings.MEDIA_ROOT).parent),
        **more,
    }
