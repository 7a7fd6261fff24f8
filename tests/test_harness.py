"""The tests stand on what they say they stand on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django_q.tasks import async_task

from accounts.models import User
from accounts.quotas import current_wallet
from tests.conftest import PASSWORD, Work
from tests.plugins.postgres import READ_ON_SQLITE


@pytest.mark.postgres
@pytest.mark.django_db
def test_the_database_is_a_real_postgresql() -> None:
    assert connection.vendor == "postgresql"
    assert connection.settings_dict["NAME"].startswith("test_")


@pytest.mark.sqlite
@pytest.mark.django_db
def test_the_migrations_ran_once_for_all() -> None:
    assert Path(os.environ["KLING_TEST_HOME"], "migrated").exists()


@pytest.mark.sqlite
@pytest.mark.django_db
def test_sqlite_is_a_file_that_another_process_could_open() -> None:
    if connection.vendor == "sqlite":
        assert "memory" not in str(connection.settings_dict["NAME"])
        with connection.cursor() as cursor:
            assert cursor.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_nothing_of_the_developers_own_platform_is_used() -> None:
    assert settings.TESTING
    assert not settings.OMNIMAAS_API_KEY
    assert os.environ["VAR_DIR"] == os.environ["KLING_TEST_HOME"]
    assert settings.BASE_DIR not in settings.MEDIA_ROOT.parents


def test_what_is_read_on_sqlite_has_something_to_run_there() -> None:
    here = Path(__file__).parent
    assert not [name for name in READ_ON_SQLITE if "mark.sqlite" not in (here / name).read_text()]


@pytest.mark.sqlite
def test_alice_has_a_quota_and_a_password(alice: User) -> None:
    assert current_wallet(alice.quotas.get()).available == 1_000
    assert alice.check_password(PASSWORD)


@pytest.mark.sqlite
def test_a_queued_task_is_run_by_work(work: Work) -> None:
    async_task("generations.tasks.beat")
    assert work() == 1
    assert work() == 0
