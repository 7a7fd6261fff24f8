"""Settings are read from the environment; a bad value is one clear line at start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GOOD = {"DEBUG": "0", "SECRET_KEY": "s" * 30 + "abcdefghij0123456789", "OMNIMAAS_API_KEY": "sk-none"}


def manage(var: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``manage.py`` with an environment of its own: nothing of the tests' is inherited."""
    plain = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, ROOT / "manage.py", *arguments],
        env={**plain, "VAR_DIR": str(var), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_defaults_start(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", **GOOD)
    assert done.returncode == 0, done.stderr


def test_production_settings_pass_the_deployment_checks(tmp_path: Path) -> None:
    done = manage(
        tmp_path,
        *("check", "--deploy", "--fail-level", "WARNING"),
        **GOOD,
        PUBLIC_URL="https://kling.example.com",
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("DEBUG", "maybe"),
        ("PUBLIC_URL", "kling.example.com"),
        ("DATABASE_URL", "mysql://root@localhost/kling"),
        ("DATABASE_URL", "postgresql://user@localhost:port/kling"),
        ("OMNIMAAS_BASE_URL", "ftp://gateway"),
        ("OMNIMAAS_TIMEOUT", "a minute"),
        ("OMNIMAAS_TIMEOUT", "0"),
        ("OMNIMAAS_MAX_IN_FLIGHT", "-1"),
        ("OMNIMAAS_METADATA", "xml"),
        ("OMNIMAAS_IMAGE_TRANSPORT", "pigeon"),
        ("POLL_BUDGET", "1.5"),
        ("EMAIL_URL", "mail.example.com"),
        ("LANGUAGE_CODE", "tlh"),
        ("TIME_ZONE", "Mars/Olympus"),
        ("STORAGE", "floppy"),
        ("EGRESS_ALLOW", "a b:80:80"),
    ],
)
def test_a_bad_value_is_one_line_that_names_it(tmp_path: Path, name: str, value: str) -> None:
    done = manage(tmp_path, "check", **{**GOOD, name: value})
    assert done.returncode != 0
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr[-2000:]
    assert name in lines[0]


def test_without_a_key_a_check_says_what_to_do(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", DEBUG="0")
    assert done.returncode != 0
    assert "kling.E001" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_test_switch_is_refused_outside_the_tests(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", **GOOD, CRASH_AT="after_post")
    assert done.returncode != 0
    assert "kling.E006" in done.stderr


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = manage(tmp_path / "file" / "var", "check", **GOOD)
    assert done.returncode != 0
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr[-2000:]
    assert "VAR_DIR" in done.stderr


def test_a_short_post_leaves_a_poll_loop_its_time(tmp_path: Path) -> None:
    """A task that is over its time is killed, its process with it, and nobody polls until the next minute."""
    left = "settings.Q_CLUSTER['timeout'] - tasks.POLL_LOOP_SECONDS - client.POLL_SECONDS"
    names = "django.conf import settings", "generations import tasks", "generations.omnimaas import client"
    code = "; ".join([*(f"from {name}" for name in names), f"print({left})"])
    done = manage(tmp_path, "shell", "-v0", "-c", code, **GOOD, OMNIMAAS_TIMEOUT="1")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 15


def test_a_worker_refuses_a_database_without_its_tables(tmp_path: Path) -> None:
    done = manage(tmp_path, "worker", **GOOD)
    assert done.returncode != 0
    assert "run manage.py migrate first" in done.stderr
    assert "Traceback" not in done.stderr
