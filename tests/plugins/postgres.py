"""Gives the tests a real PostgreSQL before Django reads its settings, and a clean environment.

``--pg=require`` fails without one, ``auto`` falls back to SQLite and says loudly what did not run,
``--db=sqlite`` runs tests marked ``sqlite`` on a file database: those that may come out differently there, all of
them in ``make prove R=sqlite``, and whatever is named on the command line.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.plugins import tables
from tests.plugins.needs import OFF, REQUIRE, Need, fail_if_skipped
from tests.plugins.server import QUICK, Postgres, find_binaries, remove_leftovers, temporary
from tests.sizes import FULL

OURS = tables.HOME
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

# Why something may come out differently on SQLite, and in which files: what `make test` reads there.
DIFFERENT = {
    "SQL by hand, and guards of the database": "ledger_rules triggers quotas quota_edits key_limits verify",
    "a question that is put by hand on PostgreSQL, and here by its twin": "keys quick",
    "one of many at once": "rates once news outcomes dispatch polls batches restored",
    "sums, searches and order": "usage quotes shelves history api_lists",
    "the tables, and a journey by API and by the pages": "harness provision health api_generations",
}
READ_ON_SQLITE = {f"test_{name}.py" for names in DIFFERENT.values() for name in names.split()}

need = Need(
    "pg",
    "postgres",
    what="a PostgreSQL server",
    remedy="Install Debian's postgresql package, or the test group of uv.lock (its wheel brings one).",
)
server: Postgres | None = None
home = ""
tables_of_all: subprocess.Popen[bytes] | None = None


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
    if getattr(options, "numprocesses", None):
        global tables_of_all
        tables_of_all = tables.begin()


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


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file of which nothing is to run on SQLite is not even read there."""
    if config.getoption("db") != "sqlite" or not collection_path.match("test_*.py"):
        return None
    read = "mark.sqlite" in collection_path.read_text() if FULL else collection_path.name in READ_ON_SQLITE
    return not read or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("db") == "sqlite":
        others = [item for item in items if not item.get_closest_marker("sqlite")]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item.get_closest_marker("sqlite")]
    else:
        need.leave_out(config, items)
    _begin_with_the_long_ones(items)


def pytest_collection() -> None:
    """What is imported and collected stays: nobody need look through it for garbage, now or while the tests run."""
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


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
    if tables_of_all is not None:
        tables_of_all.kill()
        tables_of_all.wait()
    if server is not None:
        server.remove()
    if home:
        shutil.rmtree(home, ignore_errors=True)
