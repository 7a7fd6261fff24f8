"""What every test may ask for: people with quotas, a queue that is worked off, an upstream that is real."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from django.db import connection
from django.db.models.functions import Now
from django.utils import translation
from django.utils.module_loading import import_string
from django_q.models import OrmQ
from django_q.signing import SignedPackage
from PIL import Image
from whitenoise.base import WhiteNoise

from accounts import rates, triggers
from accounts import services as accounts
from accounts.models import User
from generations.models import Generation, Status
from generations.services import forecasts, forget_rules
from generations.services.operations import forget_pause
from generations.services.retention import forget_retention
from tests.makers import make_user
from tests.plugins import tables

if TYPE_CHECKING:
    from pytest_django import DjangoDbBlocker

    from generations.omnimaas.sandbox import SandboxServer
    from tests.receivers import Listen

PASSWORD = "correct horse battery staple"
SANDBOX_KEY = "sk-sandbox-of-the-tests"
QUICK = 200.0  # how many times faster than normal the sandbox works in tests

Work = Callable[..., int]


# The same examples on every run and on every machine; the long proofs draw their own.
hypothesis.settings.register_profile(
    "suite", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Django finds the database of each process made already, and the folder of all ends with the run."""
    return True


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, django_db_blocker: DjangoDbBlocker
) -> None:
    """Here and not in a plugin, where pytest-django's own fixture of this name would win."""
    with django_db_blocker.unblock():
        tables.copy()


@pytest.fixture(autouse=True, scope="session")
def _static_files_are_looked_at_once() -> Iterator[None]:
    """Every test client makes the middlewares anew, and theirs looks at each file: a third of a test's time."""
    look, seen = WhiteNoise.update_files_dictionary, {}

    def once(self: WhiteNoise, root: str, prefix: str) -> None:
        if (root, prefix) not in seen:
            before = set(self.files)
            look(self, root, prefix)
            seen[root, prefix] = {url: file for url, file in self.files.items() if url not in before}
        self.files.update(seen[root, prefix])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoise, "update_files_dictionary", once)
        yield


@pytest.fixture(autouse=True, scope="session")
def _a_flush_takes_what_is_there() -> Iterator[None]:
    """And leaves on PostgreSQL what the migrations made, so that nothing has to be made again after it."""
    if connection.vendor != "postgresql":
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.db.backends.postgresql.operations.DatabaseOperations.sql_flush", tables.emptied)
        patch.setattr(
            "django.core.management.commands.flush.emit_post_migrate_signal", lambda *_a, **_k: None
        )
        yield


@pytest.fixture(autouse=True)
def _media(settings: Any, tmp_path: Path) -> None:
    """Each test's files lie in a folder of its own."""
    settings.VAR_DIR = tmp_path
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture(autouse=True)
def _rules_are_read_anew() -> None:
    """What a process remembers of the catalogue, of a pause, of retention and of misses is of the test before; and
    so is the language of the last request."""
    translation.deactivate()
    forget_rules()
    forget_pause()
    forecasts.forget()
    forget_retention()
    rates.forget_misses()


@pytest.fixture(autouse=True)
def _journal_lets_go(request: pytest.FixtureRequest) -> Iterator[None]:
    """SQLite flushes with DELETE, which the journal's triggers refuse: they step aside for it.

    The flush's post_migrate puts them back. PostgreSQL truncates, which they let happen.
    """
    marker = request.node.get_closest_marker("django_db")
    asked = {"transactional_db", "live_server"} & set(request.fixturenames)
    if not asked and not (marker and marker.kwargs.get("transaction")):
        yield
        return
    request.getfixturevalue("transactional_db")  # before this fixture, so that it ends after it
    yield
    if connection.vendor == "sqlite":
        triggers.remove()


def person(name: str, role: str = User.Role.MEMBER, credits: int = 1_000) -> User:
    """A user with a quota; everybody's password is PASSWORD."""
    return make_user(name, password=PASSWORD, role=role, credits=credits)


@pytest.fixture
def alone(transactional_db: None) -> None:
    """No other session in this database (PostgreSQL): a server's threads may keep theirs for a while."""
    if connection.vendor != "postgresql":
        return
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}")


@pytest.fixture
def alice(db: None) -> User:
    return person("alice")


@pytest.fixture
def bob(db: None) -> User:
    return person("bob")


@pytest.fixture
def boss(db: None) -> User:
    """An admin."""
    return person("boss", role=User.Role.ADMIN)


@pytest.fixture
def alice_key(alice: User) -> str:
    """The text of a key of alice's that may read and create."""
    return accounts.make_key(alice, label="tests")[1]


@pytest.fixture
def bob_key(bob: User) -> str:
    return accounts.make_key(bob, label="tests")[1]


@pytest.fixture
def sandbox(settings: Any, tmp_path: Path) -> Iterator[SandboxServer]:
    """The real sandbox on a free port, fast, and the platform pointed at it."""
    from generations.omnimaas.sandbox import SandboxServer
    from tests.drawing import drawn_once

    with (
        drawn_once(),
        SandboxServer(tmp_path / "sandbox", key=SANDBOX_KEY, speed=QUICK, scale=0.125) as server,
    ):
        settings.OMNIMAAS_BASE_URL = server.url
        settings.OMNIMAAS_API_KEY = SANDBOX_KEY
        settings.EGRESS_ALLOW = frozenset({server.url.removeprefix("http://")})
        yield server


@pytest.fixture
def work(db: None) -> Work:
    """``work()`` does what a worker would, here and now, until nothing is left to do.

    It runs the queued tasks themselves, brings forward what is to be polled later (the rows' times are
    moved, never the clock), and returns how many tasks ran. Fails when it is not quiet after ``seconds``.
    """

    def until_quiet(seconds: float = 30.0) -> int:
        ran, deadline = 0, time.monotonic() + seconds
        while True:
            ran += run_queued(deadline)
            running = Generation.objects.filter(status=Status.RUNNING)
            if not running.update(next_check_at=Now()):
                return ran
            assert time.monotonic() < deadline, f"still running: {list(running.values())}"
            import_string("generations.tasks.poll")(seconds=0.01)

    return until_quiet


def run_queued(deadline: float) -> int:
    """Take one task after the other out of the queue and call it, as a task process does."""
    ran = 0
    while (row := OrmQ.objects.order_by("pk").first()) is not None:
        assert time.monotonic() < deadline, "the queue does not get empty"
        row.delete()
        task = SignedPackage.loads(row.payload)
        keywords = {"seconds": 0.01} if task["func"] == "generations.tasks.poll" else task["kwargs"]
        import_string(task["func"])(*task["args"], **keywords)
        ran += 1
    return ran


@pytest.fixture
def listen(settings: Any, db: None) -> Iterator[Listen]:
    """``listen(user, behave)`` starts a receiver of webhooks on loopback and registers it for the user."""
    from tests.receivers import listening

    with listening(settings) as listen:
        yield listen


@pytest.fixture
def picture() -> Callable[[int, int], str]:
    """``picture(width, height)`` is a real JPEG in base64."""

    def make(width: int, height: int) -> str:
        out = io.BytesIO()
        Image.linear_gradient("L").resize((width, height)).convert("RGB").save(out, "JPEG")
        return base64.b64encode(out.getvalue()).decode()

    return make
