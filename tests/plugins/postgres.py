"""Gives the tests a real PostgreSQL before Django reads its settings, and a clean environment.

``--pg=require`` fails without one, ``auto`` falls back to SQLite and says loudly what did not run,
``--db=sqlite`` runs the tests marked ``sqlite`` on a file database.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import pytest_django

from tests.plugins.needs import OFF, REQUIRE, Need, fail_if_skipped
from tests.plugins.server import QUICK, Postgres, find_binaries, remove_leftovers, temporary

OURS = "KLING_TEST_HOME"  # set by the first process; the workers of xdist inherit it with the rest
# What somebody may have set for their own platform, and what no test shall depend on.
FOREIGN = [
    "ALLOWED_HOSTS",
    "API_CALLS_PER_MINUTE",
    "API_CREATES_PER_MINUTE",
    "CRASH_AT",
    "DATABASE_URL",
    "DEBUG",
    "EGRESS_ALLOW",
    "EMAIL_URL",
    "LANGUAGE_CODE",
    "METRICS_TOKEN",
    "PORT",
    "PUBLIC_URL",
    "POLL_BUDGET",
    "POLL_MAX_SECONDS",
    "POLL_MIN_SECONDS",
    "STORAGE",
    "TIME_ZONE",
    "OMNIMAAS_API_KEY",
    "OMNIMAAS_BASE_URL",
    "OMNIMAAS_IMAGE_TRANSPORT",
    "OMNIMAAS_MAX_IN_FLIGHT",
    "OMNIMAAS_METADATA",
    "OMNIMAAS_SEND_ASPECT_RATIO",
    "OMNIMAAS_SEND_EXTERNAL_ID",
    "OMNIMAAS_TIMEOUT",
]

need = Need(
    "pg",
    "postgres",
    what="a PostgreSQL server",
    remedy="Install Debian's postgresql package, or the test group of uv.lock (its wheel brings one).",
)
server: Postgres | None = None
home = ""


def pytest_addoption(parser: pytest.Parser) -> None:
    need.add_option(parser)
    parser.addoption(
        "--db", choices=("postgres", "sqlite"), default="postgres", help="which database to test on"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before pytest-django, which reads the settings this early too."""
    if OURS in os.environ:
        if os.environ["DATABASE_URL"].startswith("postgresql"):
            need.found = "of the first process"
        return
    options = early_config.known_args_namespace
    _clean_environment()
    if getattr(options, "help", False) or options.version:
        return
    if options.db == "sqlite":
        need.found = "not asked for: --db=sqlite"
    else:
        binaries = find_binaries() if options.pg != OFF else None
        need.resolve(options.pg, str(binaries or ""))
        if binaries:
            _start(Postgres(binaries, **QUICK))


def _clean_environment() -> None:
    global home
    remove_leftovers()
    home = tempfile.mkdtemp(prefix=temporary("test"))
    for name in FOREIGN:
        os.environ.pop(name, None)
    os.environ.update(
        {
            OURS: home,
            "KLING_TESTING": "1",
            "VAR_DIR": home,
            "SECRET_KEY": "only-for-tests-" * 4,  # shared with every process that a test starts
            "DATABASE_URL": f"sqlite:///{home}/db.sqlite3",
        }
    )


def _start(postgres: Postgres) -> None:
    global server
    server = postgres
    try:
        postgres.start()
    except RuntimeError as error:
        postgres.remove()
        raise pytest.UsageError(f"PostgreSQL was found in {postgres.binaries}, but: {error}") from None
    need.found = f"PostgreSQL {postgres.version} from {postgres.binaries}"
    os.environ["DATABASE_URL"] = postgres.url


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Django finds the database of each process made already, and the folder of all ends with the run."""
    return True


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, django_db_blocker: pytest_django.DjangoDbBlocker
) -> None:
    """The migrations run once, in the database of DATABASE_URL; every process gets a copy of that one."""
    from django.core.management import call_command
    from django.db import connection

    made = Path(os.environ[OURS], "migrated")
    with django_db_blocker.unblock(), made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            call_command("migrate", verbosity=0)
            made.touch()
        connection.close()
        original = connection.settings_dict["NAME"]
        copy = connection.creation._get_test_db_name()
        if connection.vendor == "sqlite":
            shutil.copy(original, copy)
        else:
            with connection._nodb_cursor() as cursor:
                cursor.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{original}"')


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("db") == "sqlite":
        others = [item for item in items if not item.get_closest_marker("sqlite")]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item.get_closest_marker("sqlite")]
    else:
        need.leave_out(config, items)
    _begin_with_the_long_ones(items)


def _begin_with_the_long_ones(items: list[pytest.Item]) -> None:
    """Some at the head of each worker's share, for xdist cuts the list into even parts.

    At the end all would wait for them.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.get_closest_marker("long")]
    others = [item for item in items if not item.get_closest_marker("long")]
    share = -(-len(others) // workers)
    items[:] = [
        item
        for worker in range(workers)
        for item in (*long[worker::workers], *others[worker * share : (worker + 1) * share])
    ]


def pytest_report_header() -> str:
    return need.header()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    need.summary(terminalreporter)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("pg") == REQUIRE:
        fail_if_skipped(session)


def pytest_unconfigure() -> None:
    if server is not None:
        server.remove()
    if home:
        shutil.rmtree(home, ignore_errors=True)
