"""A task that takes its time, for a worker in a process of its own."""

from __future__ import annotations

import time
from pathlib import Path


def write_later(path: str, seconds: float) -> None:
    """Leave one file at the beginning and one at the end."""
    Path(path + ".began").touch()
    time.sleep(seconds)
    Path(path).touch()
