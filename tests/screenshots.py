"""``make screenshots``: pages at three widths, in both themes and languages, into screenshots/; ``ONLY`` chooses."""

from __future__ import annotations

import sys

import pytest


def main() -> int:
    """The pictures are taken by a test, so that they show the real platform with the real sandbox."""
    chosen = ["tests/browser/screenshots.py", "-o", "python_files=screenshots.py"]
    return pytest.main([*chosen, "--browser=require", "-q", "-p", "no:cacheprovider"])


if __name__ == "__main__":
    sys.exit(main())
