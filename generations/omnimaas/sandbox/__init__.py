"""A real HTTP server that speaks the gateway's wire and renders real films, so that everything can be tried.

It lives in a folder, survives a restart, and no model is asked. It imports nothing else of this project.

The wire
    ``POST /v1/video/generations``, ``GET /v1/video/generations/{id}`` with ``Authorization: Bearer KEY``, as the
    gateway's document has them; the film lies under ``url`` (``/files/{id}.mp4``, Range and HEAD, no key).

For tests and operators, with the same key
    ``GET /_journal``: every POST so far as a JSON list, oldest first. A line has ``at``, ``request_id``,
    ``external_task_id`` (from metadata, else null), ``model``, ``prompt``, ``fields`` (names that were sent),
    ``outcome`` (``created``, ``refused``, or ``fault``: nothing created, on order), ``status`` (null: the line was
    broken instead of an answer), ``id`` (null: nothing was created), and ``detail`` or ``order``.
    ``GET /_polls``: every GET of a generation since the start, oldest first, each with ``at`` (Unix seconds) and
    ``id``; the last hundred thousand.
    ``POST /_faults`` with ``{"word": "500", "value": "", "times": 2}`` or a list of such: the next requests of that
    word's stage misbehave so. ``GET`` shows what is left, ``DELETE`` forgets it.

Words in the prompt that make it fail, delay or lie: the table in ``words``.

Rooms: ``wire`` (what is right, and the shapes of answers), ``pictures``, ``words``, ``faults``, ``answers``
(ordered ones), ``store`` (journal), ``gateway`` (behaviour), ``scene`` and ``caption`` (a frame), ``render`` (a
film), ``studio`` (films in the background), ``files`` (ranges), ``handler`` and ``listener`` (HTTP), ``server``.
"""

from .gateway import SCALE
from .server import SandboxServer
from .store import InUse
from .words import table

__all__ = ["SCALE", "InUse", "SandboxServer", "table"]
