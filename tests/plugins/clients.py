"""The programs behind the clients in other languages: ``--clients=auto|require|off``.

``@pytest.mark.client("go")`` on a test says which program it starts.
"""

from __future__ import annotations

import shutil

import pytest

from tests.plugins.needs import OFF, Need

PROGRAMS = {"curl": "curl", "node": "nodejs", "go": "golang-go"}  # and Debian's packages

needs = {
    program: Need(
        "clients", f"client({program})", what=program, remedy=f"Install Debian's {package} package."
    )
    for program, package in PROGRAMS.items()
}


def pytest_addoption(parser: pytest.Parser) -> None:
    Need("clients", "client", what=", ".join(PROGRAMS), remedy="").add_option(parser)


def pytest_configure(config: pytest.Config) -> None:
    mode = config.getoption("clients")
    for program, need in needs.items():
        need.resolve(mode, shutil.which(program) or "" if mode != OFF else "")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for program, need in needs.items():
        need.leave_out(config, items, lambda item, program=program: program in _programs(item))


def _programs(item: pytest.Item) -> set[str]:
    return {program for marker in item.iter_markers("client") for program in marker.args}


def pytest_report_header() -> list[str]:
    return [need.header() for need in needs.values()]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for need in needs.values():
        need.summary(terminalreporter)
