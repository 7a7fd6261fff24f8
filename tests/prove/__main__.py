"""``python -m tests.prove [R2 …]``: show the figures at full size; see the package's docstring.

Exit status 1 when a part came out wrong: it is run again, with the same seed, the next time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.plugins.postgres import FOREIGN
from tests.plugins.server import QUICK, Postgres, find_binaries
from tests.prove.book import Progress, enter
from tests.prove.figures import FIGURES, Part

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 3600  # for one part


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="R", help=f"of {', '.join(FIGURES)}; all without any")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**8))
    options = parser.parse_args()
    wanted = options.figures or list(FIGURES)
    if unknown := set(wanted) - set(FIGURES):
        parser.error(f"there is no {', '.join(sorted(unknown))} here, only {', '.join(FIGURES)}")
    failed = [name for name in wanted if not prove(name, options.seed)]
    return int(bool(failed))


def prove(name: str, seed: int) -> bool:
    """Run what is still to be shown of one figure; True when all of it is."""
    figure, progress = FIGURES[name], Progress.begin(name, seed)
    print(f"{name}: {figure.wanted}\n{name}: seed {progress.seed}", flush=True)
    for part in figure.parts:
        if str(part) in progress.got:
            print(f"{name} {part}: {progress.got[str(part)]} (remembered)", flush=True)
            continue
        got = run(name, part, progress.seed)
        if got is None:
            print(f"{name} {part}: FAILED with seed {progress.seed}", flush=True)
            return False
        print(f"{name} {part}: {got}", flush=True)
        progress.remember(str(part), got)
    enter(name, figure.wanted, progress)
    return True


def run(name: str, part: Part, seed: int) -> str | None:
    """One part in a process of its own. Its last line is what was got; None when it failed."""
    with tempfile.TemporaryDirectory(prefix="kling-prove-") as home:
        environment = {key: value for key, value in os.environ.items() if key not in FOREIGN}
        environment |= {"KLING_TESTING": "1", "VAR_DIR": home, "SECRET_KEY": "only-for-tests-" * 4}
        command = [sys.executable, "-m", "tests.prove.part", name, str(part.number), str(seed)]
        if part.on == "pytest":
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *part.nodes]
            return _last_line(command, environment | {"KLING_PROVE": "1"})
        if part.on == "sqlite":
            return _last_line(command, environment | {"DATABASE_URL": f"sqlite:///{home}/db.sqlite3"})
        binaries = find_binaries()
        if binaries is None:
            raise SystemExit("This needs a PostgreSQL server. Install Debian's postgresql package.")
        postgres = Postgres(binaries, **{**QUICK, "max_connections": "500"})
        try:
            postgres.start()
            return _last_line(command, environment | {"DATABASE_URL": postgres.url})
        finally:
            postgres.remove()


def _last_line(command: list[str], environment: dict[str, str]) -> str | None:
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        print(f"not over after {SECONDS} seconds", flush=True)
        return None
    if done.returncode:
        print(done.stdout[-6000:], done.stderr[-6000:], flush=True)
        return None
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if command[2] != "pytest" else lines[-1]


if __name__ == "__main__":
    sys.exit(main())
