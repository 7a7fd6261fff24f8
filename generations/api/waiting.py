"""``Prefer: wait=N`` (RFC 7240): the answer comes when the video is over, or after N seconds.

Who waits holds a thread of the web server and nothing else: no connection to the database between two looks,
and never more threads than leave enough for everybody else.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import connection
from rest_framework.request import Request
from rest_framework.response import Response

from generations.models import Generation

MOST_SECONDS = 60
LOOK_SECONDS = 1.0
# Of the sixteen threads that a process has (gunicorn.conf.py).
MOST_WAITING = 6

_waiting = threading.BoundedSemaphore(MOST_WAITING)
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,9})\"?(?:$|[,;\s])", re.IGNORECASE)


def asked_seconds(request: Request) -> int:
    """How long the client would wait; 0 when it says nothing that can be understood, as the standard has it."""
    found = _WAIT.search(request.headers.get("Prefer", ""))
    return min(int(found[1]), MOST_SECONDS) if found else 0


def waited(
    request: Request,
    response: Response,
    find: Callable[[], Generation],
    say: Callable[[Generation], dict[str, Any]],
) -> Response:
    """The response, or a later one. ``Preference-Applied`` says that it waited; it does not when too many do."""
    seconds = asked_seconds(request)
    if seconds and _waiting.acquire(blocking=False):
        try:
            response.data = say(_until_over(find, seconds))
        finally:
            _waiting.release()
        response["Preference-Applied"] = f"wait={seconds}"
    return response


def _until_over(find: Callable[[], Generation], seconds: float) -> Generation:
    ends = time.monotonic() + seconds
    while True:
        generation = find()
        left = ends - time.monotonic()
        if not generation.is_open or left <= 0:
            return generation
        if not connection.in_atomic_block:
            connection.close()
        time.sleep(min(LOOK_SECONDS, left))
