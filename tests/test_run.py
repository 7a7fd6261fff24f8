"""``make run`` as a new user meets it: from the first start to Ctrl-C, again, and after the worst end."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from accounts.models import User
from accounts.quotas import balances
from kling_platform.local import State
from kling_platform.management.commands import demo
from tests.plugins.postgres import FOREIGN, OURS
from tests.processes import living, parent, wait_until

ROOT = Path(__file__).parent.parent
READY = "Ctrl-C ends everything"
# Under the load of the other tests; by itself it takes about five.
STARTS_WITHIN, ENDS_WITHIN = 120.0, 25.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Platform:
    """``make run`` in a terminal of its own, on a folder and a port of its own."""

    def __init__(self, var: Path, *, port: int | None = None, **environment: str) -> None:
        self.var, self.port = var, port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = ""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in (*FOREIGN, OURS, "KLING_TESTING", "SECRET_KEY")
        }
        environment = {**inherited, "VAR_DIR": str(var), "PORT": str(self.port), **environment}
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            os.execvpe("make", ["make", "--no-print-directory", "run"], environment)
        self.status: int | None = None

    def wait(self, text: str = "", seconds: float = STARTS_WITHIN) -> None:
        """Read the terminal until ``text`` shows up, or to the end when there is none."""
        deadline = time.monotonic() + seconds
        while not (text and text in self.output):
            left = deadline - time.monotonic()
            assert left > 0, f"not within {seconds} s:\n{self.output}"
            if select.select([self._terminal], [], [], min(left, 0.2))[0]:
                try:
                    self.output += os.read(self._terminal, 65536).decode(errors="replace").replace("\r", "")
                except OSError:  # the other end was closed: everybody has ended
                    assert not text, f"it ended before {text!r}:\n{self.output}"
                    break
        if not text:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def press_ctrl_c(self) -> None:
        os.write(self._terminal, b"\x03")

    @property
    def supervisor(self) -> int:
        (pid,) = [pid for pid, command in self.processes().items() if "manage.py demo" in command]
        return pid

    def processes(self) -> dict[int, str]:
        """Everything that was started from here, however far it has gone."""
        return living(mark=f"VAR_DIR={self.var}\0")

    def state(self) -> dict[str, str]:
        return json.loads((self.var / "demo.json").read_text())

    def close_the_terminal(self) -> None:
        os.close(self._terminal)
        self._terminal = -1

    def close(self) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        if self._terminal >= 0:
            os.close(self._terminal)
        if self.status is None:
            os.waitpid(self.pid, 0)


@pytest.fixture
def var(tmp_path: Path) -> Path:
    return tmp_path / "var"


@pytest.fixture
def platforms() -> Iterator[list[Platform]]:
    started: list[Platform] = []
    yield started
    for platform in started:
        platform.close()


@pytest.mark.long
def test_from_the_first_start_through_a_dead_cluster_to_the_last_end(
    var: Path, platforms: list[Platform]
) -> None:
    first = Platform(var)
    platforms.append(first)
    first.wait(READY)
    state = first.state()

    for secret in ("admin_password", "demo_password", "api_key"):
        assert state[secret] in first.output, f"{secret} is not shown"
    for name in ("demo.json", "secret_key"):
        assert stat.S_IMODE((var / name).stat().st_mode) == 0o600, name
    answer = requests.get(f"{first.url}/readyz", timeout=10)
    assert answer.status_code == 200
    assert answer.json()["worker_age_seconds"] is not None
    pasted = re.search(r"^  (curl .*?\n.*?)$", first.output, re.MULTILINE)
    assert pasted, "there is no line to paste"
    made = subprocess.run(["sh", "-c", pasted[1] + " -sS"], capture_output=True, text=True, timeout=30)
    assert made.returncode == 0, made.stderr
    generation = json.loads(made.stdout)["id"]

    first.press_ctrl_c()
    began = time.monotonic()
    first.wait(seconds=ENDS_WITHIN)
    assert first.status == 0, first.output
    assert time.monotonic() - began < ENDS_WITHIN
    wait_until(lambda: not first.processes(), 2)

    nowhere = f"http://127.0.0.1:{free_port()}"
    second = Platform(var, port=first.port, OMNIMAAS_API_KEY="sk-real", OMNIMAAS_BASE_URL=nowhere)
    platforms.append(second)
    second.wait(READY)
    assert "Installing" not in second.output
    assert second.state() == {**state, "paid": True}, "the second start made something up anew"
    key = {"Authorization": f"Bearer {state['api_key']}"}
    answer = requests.get(f"{second.url}/v1/video/generations/{generation}", headers=key, timeout=10)
    assert answer.status_code == 200, answer.text

    # With a real key there is no sandbox, and its play money is gone.
    assert nowhere in second.output
    assert not [line for line in second.processes().values() if "manage.py sandbox" in line]
    assert "sk-real" not in (var / "demo.json").read_text() + second.output
    body = {"model": "kling-v2-6", "prompt": "A red kite", "duration": 5}
    answer = requests.post(f"{second.url}/v1/video/generations", json=body, headers=key, timeout=10)
    assert answer.status_code == 402, answer.text

    kill_the_cluster(second)
    second.close_the_terminal()
    wait_until(lambda: not second.processes(), ENDS_WITHIN)


def kill_the_cluster(platform: Platform) -> None:
    """Another takes its place, and its orphans are gone."""

    def cluster() -> dict[int, str]:
        return {
            pid: line
            for pid, line in platform.processes().items()
            if line.endswith("manage.py qcluster ") and "lifeline" not in line
        }

    before = cluster()
    (main,) = [pid for pid in before if parent(pid) not in before]
    os.kill(main, signal.SIGKILL)
    wait_until(lambda: len(cluster().keys() - before.keys()) >= len(before), 30)
    assert not cluster().keys() & before.keys(), "orphans of the dead cluster still work"


@pytest.mark.django_db
def test_with_a_real_key_nobody_has_credits_at_the_first_start(var: Path) -> None:
    var.mkdir()
    demo.Command()._people(State(var / "demo.json"), paid=True)
    assert [balance.wallet.available for user in User.objects.all() for balance in balances(user)] == [0, 0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_asks_for_the_end(number: int) -> None:
    """Of a platform, its parts and its tasks; what follows is shown above."""
    asked = "import os, sys; from kling_platform.supervisor import StopSignal; "
    asked += (
        "stop = StopSignal(); os.kill(os.getpid(), int(sys.argv[1])); print(stop.wait(20), stop.received)"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked, str(int(number))], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.split() == ["True", str(int(number))], done.stderr


def start_demo(var: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, ROOT / "manage.py", "demo"],
        env={**inherited, "VAR_DIR": str(var), **environment},
        capture_output=True,
        text=True,
        timeout=180,
    )


def test_a_taken_port_is_one_line_with_the_way_out(var: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = start_demo(var, PORT=str(port))
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [done.stderr.strip()]
    assert f"Port {port} cannot be used (Address already in use)" in done.stderr
    assert f"make run PORT={port + 1}" in done.stderr
    assert not (var / "db.sqlite3").exists(), "it began although it could not end well"


def test_the_sandboxs_port_is_kept_and_asked_for(var: Path) -> None:
    var.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (var / "demo.json").write_text(json.dumps({"sandbox_port": port}))
        done = start_demo(var, PORT=str(free_port()))
    assert done.returncode == 1
    assert f"Port {port}, kept for the sandbox, cannot be used" in done.stderr


def test_two_cannot_run_on_one_folder(var: Path) -> None:
    var.mkdir()
    with (var / "demo.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = start_demo(var, PORT=str(free_port()))
    assert done.returncode == 1
    assert "already runs" in done.stderr


def test_a_broken_file_of_secrets_is_named(var: Path) -> None:
    var.mkdir()
    (var / "demo.json").write_text("{")
    done = start_demo(var, PORT=str(free_port()))
    assert done.returncode == 1
    assert "demo.json cannot be read" in done.stderr
