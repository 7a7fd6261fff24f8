"""What is served as it lies: vendored files are the named ones, and no page asks for what is not there."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from accounts import ledger
from accounts.models import Transfer
from accounts.templatetags.credits import change

ROOT = Path(__file__).parent.parent
VENDOR = ROOT / "static/vendor"
README = (VENDOR / "README.md").read_text()
TEMPLATES = {path: path.read_text() for path in (ROOT / "templates").rglob("*.html")}
SPRITE = (VENDOR / "bootstrap-icons/icons.svg").read_text()


@pytest.mark.parametrize(
    ("name", "digest"), re.findall(r"^\| `([^`]+)` .* `([0-9a-f]{64})` \|$", README, re.M)
)
def test_a_vendored_file_is_the_named_one(name: str, digest: str) -> None:
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest


def test_every_vendored_file_is_named_and_has_its_licence() -> None:
    for path in VENDOR.rglob("*"):
        if path.is_file() and path.name != "README.md" and "LICENSE" not in path.name:
            assert f"`{path.relative_to(VENDOR)}`" in README
            assert list(path.parent.glob("LICENSE*"))
            assert b"sourceMappingURL" not in path.read_bytes()


def test_the_sprite_has_the_drawings_that_are_used() -> None:
    used = {name for text in TEMPLATES.values() for name in re.findall(r'{% icon "([^"]+)" %}', text)}
    assert used == set(re.findall(r'<symbol id="([^"]+)"', SPRITE))


def test_the_words_of_a_transfer_agree_with_the_ledger() -> None:
    for kind, effect in ledger.EFFECTS.items():
        assert change(Transfer(kind=kind, amount=7)) == 7 * effect.available
