"""What has been shown: parts on the way to a figure, and the figures themselves in docs/proofs.md."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "docs" / "proofs.md"
NOTES = ROOT / ".venv" / "prove"  # on the way: nothing to keep, nothing to commit
CODE = ("accounts", "generations", "kling_platform", "uv.lock")

HEAD = """# What was shown, and when

`make prove` shows the promised figures at full size and appends a line for each. `make test` shows a small
version of all of them every time. A `+` after the commit: with changes that were not committed.

| date | commit | figure | seed | wanted | got |
|---|---|---|---|---|---|
"""


def code() -> str:
    """A digest of everything that the figures are about: what was got on other code does not count."""
    digest = hashlib.sha256()
    for place in CODE:
        path = ROOT / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


@dataclass
class Progress:
    """The parts of one figure that came out right on this code, by name."""

    name: str
    seed: int
    code: str
    got: dict[str, str] = field(default_factory=dict)

    @classmethod
    def begin(cls, name: str, seed: int) -> Progress:
        """Where it was left, with the seed it had; from the beginning when the code has changed since."""
        try:
            found = cls(**json.loads((NOTES / f"{name}.json").read_text()))
        except (OSError, ValueError, TypeError):
            return cls(name, seed, code())
        return found if found.code == code() else cls(name, seed, code())

    def remember(self, part: str, got: str) -> None:
        self.got[part] = got
        NOTES.mkdir(parents=True, exist_ok=True)
        note = NOTES / f"{self.name}.new"
        note.write_text(json.dumps(asdict(self)))
        note.replace(NOTES / f"{self.name}.json")

    def forget(self) -> None:
        (NOTES / f"{self.name}.json").unlink(missing_ok=True)


def enter(name: str, wanted: str, progress: Progress) -> None:
    """Append the line of a figure that is shown, and forget its parts."""
    counted = Counter(progress.got.values())
    got = ", ".join(f"{times} × {what}" if times > 1 else what for what, times in counted.items())
    today = datetime.now(UTC).date().isoformat()
    line = f"| {today} | {commit()} | {name} | {progress.seed} | {wanted} | {got} |\n"
    BOOK.parent.mkdir(exist_ok=True)
    if not BOOK.exists():
        BOOK.write_text(HEAD)
    with BOOK.open("a") as book:
        book.write(line)
    progress.forget()
    print(f"{name}: shown. {got}", flush=True)


def commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=30)
        return done.stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--", *CODE) else "")
