"""R25: a database that comes back from a backup sends nothing before the fence was run, and nothing twice after it."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings as of_django
from django.core.management import call_command
from django.db import connection, connections
from django.db.models.functions import Now
from django.utils.module_loading import import_string

from accounts import services as people
from accounts.invariants import ALL
from accounts.invariants import INVARIANTS as OF_ACCOUNTS
from accounts.models import User
from generations.invariants import INVARIANTS as OF_GENERATIONS
from generations.models import Generation, Status
from generations.omnimaas.sandbox import SandboxServer
from tests import crashes
from tests.makers import ask

KEY = "sk-r25"


def backup(home: Path) -> str:
    """Where a copy of the whole database stands now."""
    name = str(connection.settings_dict["NAME"])
    connections.close_all()
    if connection.vendor == "sqlite":
        copy = str(home / "backup.sqlite3")
        connection.cursor().execute("VACUUM INTO %s", [copy])
        return copy
    with connection._nodb_cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}_backup" TEMPLATE "{name}"')
    return f"{name}_backup"


def restore(copy: str) -> None:
    """Put the copy in the place of the database, as somebody does who lost it."""
    name = str(connection.settings_dict["NAME"])
    connections.close_all()
    if connection.vendor == "sqlite":
        for ending in ("-wal", "-shm"):
            Path(name + ending).unlink(missing_ok=True)
        shutil.copyfile(copy, name)
        return
    with connection._nodb_cursor() as cursor:
        cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        cursor.execute(f'ALTER DATABASE "{copy}" RENAME TO "{name}"')


def revive(*, in_flight: int, settings: Any, home: Path) -> str:
    """Take a backup, send what waits, restore the backup, and let the engine run before and after the fence."""
    settings.OMNIMAAS_MAX_IN_FLIGHT, settings.POLL_MIN_SECONDS = in_flight, 0
    settings.VAR_DIR, settings.MEDIA_ROOT = home, home / "media"
    user = people.provision(f"restored-{User.objects.count()}", credits=1_000_000).user
    with SandboxServer(home / "sandbox", key=KEY, speed=200, scale=0.125) as sandbox:
        settings.OMNIMAAS_BASE_URL, settings.OMNIMAAS_API_KEY = sandbox.url, KEY
        settings.EGRESS_ALLOW = frozenset({sandbox.url.removeprefix("http://")})
        import_string("generations.dispatch.adopt_epoch")()
        # Some were sent before the backup, the others after it: the backup calls them queued.
        for number in range(in_flight):
            ask(user, prompt="cat [stuck]" if number % 2 else "cat [fail]")
            if number == in_flight // 3:
                import_string("generations.tasks.dispatch")()
        copy = backup(home)
        import_string("generations.tasks.dispatch")()
        sent = len(sandbox.journal())
        assert sent == in_flight
        restore(copy)
        queued = Generation.objects.filter(status=Status.QUEUED).count()
        assert queued >= in_flight // 2
        _engine_runs()
        assert len(sandbox.journal()) == sent, "sent before the fence was run"
        call_command("fence", stdout=(home / "fence.log").open("w"))
        fresh = ask(user, prompt="cat [fail]")
        _engine_runs()
        times = Counter(entry["external_task_id"] for entry in sandbox.journal())
    assert max(times.values()) == 1, "sent twice"
    assert times[str(fresh.pk)] == 1, "and work goes on"
    states = Counter(Generation.objects.values_list("status", flat=True))
    assert states[Status.UNKNOWN] == queued, states
    for invariant in (*OF_ACCOUNTS, *OF_GENERATIONS):
        assert invariant.breaches(ALL) == [], invariant.name
    return f"{in_flight} in flight, {queued} of them queued again by the backup: 0 POSTs before the fence, none twice"


def _engine_runs() -> None:
    """As the engine runs, with times that pass."""
    for _ in range(5):
        import_string("generations.tasks.sweep")()
        crashes.run_queued()
        import_string("generations.tasks.poll")(seconds=0.01)
        # The doubts hold their slots for half an hour.
        Generation.objects.filter(status=Status.UNKNOWN).update(submitted_at=Now() - timedelta(hours=1))
        crashes.move_times()


def run(number: int, seed: int) -> str:
    with tempfile.TemporaryDirectory() as home:
        return revive(in_flight=50, settings=of_django, home=Path(home))
