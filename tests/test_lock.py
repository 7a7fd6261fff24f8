"""Every lock file must install anywhere: it names the public index and its file host, nothing else."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parent.parent
# The platform's, and those of what it is measured beside.
LOCKS = [ROOT / "uv.lock", *sorted(ROOT.glob("benchmarks/*/uv.lock"))]
PUBLIC = {"pypi.org", "files.pythonhosted.org"}


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def strangers(text: str) -> set[str]:
    """Hosts beside the public ones, and places on somebody's disk."""
    found = {value for value in strings(tomllib.loads(text)) if "://" in value}
    return {value for value in found if urlsplit(value).hostname not in PUBLIC}


each_lock = pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.parent.name)


@each_lock
def test_every_package_comes_from_the_public_index(lock: Path) -> None:
    assert strangers(lock.read_text()) == set()
    sources = [set(package["source"]) for package in tomllib.loads(lock.read_text())["package"]]
    assert {"registry"} in sources
    assert all(source <= {"registry", "virtual"} for source in sources), "a path or a repository is a source"


def test_a_mirror_in_the_lock_would_be_seen() -> None:
    text = (ROOT / "uv.lock").read_text()
    assert strangers(text.replace("https://pypi.org/simple", "https://mirror.example/simple", 1))
    assert strangers(text.replace("https://files.pythonhosted.org/", "file:///srv/wheels/", 1))


@each_lock
def test_no_other_index_is_set_for_the_project(lock: Path) -> None:
    uv = tomllib.loads(lock.with_name("pyproject.toml").read_text())["tool"]["uv"]
    assert not {"index", "index-url", "extra-index-url", "find-links", "sources"} & set(uv)
    assert uv["python-downloads"] == "never"


@each_lock
def test_every_file_of_the_lock_has_a_checksum(lock: Path) -> None:
    for package in tomllib.loads(lock.read_text())["package"]:
        for file in [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]:
            assert file["hash"].startswith("sha256:"), (package["name"], file["url"])
