"""An export of 100,000 rows: what it takes of the web server's memory, and when its first byte comes.

The server is the real one with one process; its memory is what the system says of it, looked at all the time.
"""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

from accounts import services as people
from accounts.models import User
from generations import services
from tests.prove.web import gunicorn

ROWS = 100_000
MOST_MB = 32  # that the process may grow by
FORMS = ("csv", "jsonl")
LOOK_SECONDS = 0.01

# Like the first one in all but its id, its time and its words.
_MANY = """
INSERT INTO generations_generation ({columns})
SELECT {values} FROM generations_generation, generate_series(1, %s) AS number WHERE id = %s
"""


def run(number: int, seed: int) -> str:
    """One of the two forms."""
    kind = FORMS[number]
    user = people.provision("historian", credits=1_000).user
    make(user, ROWS)
    _key, text = people.make_key(user, label="export")
    with gunicorn(processes=1) as site:
        fetch(f"{site}/v1/video/generations/export?format={kind}&q=nothing-has-this", text)  # warm
        with growth(worker_of(site)) as grown:
            lines, first, last, size = fetch(f"{site}/v1/video/generations/export?format={kind}", text)
    assert lines == ROWS + 1 + (kind == "csv"), lines
    assert first < last / 10, f"the first byte came after {first:.2f} of {last:.2f} s"
    assert grown[0] < MOST_MB, f"{grown[0]:.1f} MB"
    return (
        f"{ROWS} rows as {kind}: {size / 1e6:.0f} MB in {last:.1f} s, first byte after {first:.2f} s, "
        f"memory of the server +{grown[0]:.1f} MB"
    )


def make(user: User, count: int) -> None:
    """So many rows like one that was asked for and taken back, each a second older than the one before."""
    request = {"model": "kling-v2-6", "prompt": "海边的黄昏，" * 20}
    first = services.cancel(services.create(user=user, request=request), actor=user)
    changed = {
        "id": "gen_random_uuid()",
        "created_at": "created_at - number * interval '1 second'",
        "prompt": "prompt || number",
    }
    with connection.cursor() as cursor:
        columns = [
            c.name for c in connection.introspection.get_table_description(cursor, "generations_generation")
        ]
        values = ", ".join(changed.get(name, f'"{name}"') for name in columns)
        names = ", ".join(f'"{name}"' for name in columns)
        cursor.execute(_MANY.format(columns=names, values=values), [count, first.pk])
        cursor.execute("ANALYZE generations_generation")


def fetch(url: str, key: str) -> tuple[int, float, float, int]:
    """Lines, seconds to the first byte and to the last, bytes."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    began = time.monotonic()
    with direct.open(
        urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"}), timeout=600
    ) as answer:
        lines = size = 0
        first = 0.0
        while part := answer.read1(1 << 16):
            first = first or time.monotonic() - began
            lines, size = lines + part.count(b"\n"), size + len(part)
    return lines, first, time.monotonic() - began, size


def worker_of(site: str) -> int:
    """The process that answers: the one child of the server's first process, which is ours."""
    ours = [int(pid) for pid in _children("self")]
    (worker,) = [int(pid) for parent in ours for pid in _children(str(parent))]
    return worker


def _children(pid: str) -> list[str]:
    return [
        child
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


@contextmanager
def growth(pid: int) -> Iterator[list[float]]:
    """By how many megabytes the memory of a process was larger at most than at the start."""
    grown, over = [0.0], threading.Event()
    start = _resident(pid)

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            grown[0] = max(grown[0], (_resident(pid) - start) / 1e6)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield grown
    finally:
        over.set()
        looking.join()


def _resident(pid: int) -> int:
    """Bytes; see proc(5)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
