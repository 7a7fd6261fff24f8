"""What a test may need from the machine: found, required, or loudly missing; never silently skipped.

Each plugin makes one ``Need``. ``auto`` leaves out what cannot run and says so at the top and at the
end; ``require`` refuses to start without it, and then a single skipped test fails the run.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

AUTO, REQUIRE, OFF = "auto", "require", "off"


class Need:
    """One thing from outside, its option on the command line, and the marker of the tests that need it."""

    def __init__(self, option: str, marker: str, *, what: str, remedy: str) -> None:
        self.option, self.marker, self.what, self.remedy = option, marker, what, remedy
        self.found = ""  # where or which; shown in the header
        self.off = False
        self.left_out = 0  # tests

    def add_option(self, parser: pytest.Parser) -> None:
        parser.addoption(
            f"--{self.option}",
            choices=(AUTO, REQUIRE, OFF),
            default=AUTO,
            help=f"{self.what}: {AUTO} (default)",
        )

    def resolve(self, mode: str, found: str) -> None:
        """Take note of what was found; raises UsageError when it is required and missing."""
        self.found = "" if mode == OFF else found
        self.off = mode == OFF
        if mode == REQUIRE and not found:
            raise pytest.UsageError(f"--{self.option}=require, but {self.what} is missing. {self.remedy}")

    def leave_out(
        self,
        config: pytest.Config,
        items: list[pytest.Item],
        needy: Callable[[pytest.Item], object] | None = None,
    ) -> None:
        """Deselect the tests that cannot run here: those with the marker, or those that ``needy`` points out."""
        if self.found:
            return
        needy = needy or (lambda item: item.get_closest_marker(self.marker))
        gone = [item for item in items if needy(item)]
        self.left_out = len(gone)
        if gone:
            config.hook.pytest_deselected(items=gone)
            items[:] = [item for item in items if item not in set(gone)]

    def header(self) -> str:
        return f"{self.marker}: {self.found or ('off' if self.off else f'NOT HERE. {self.remedy}')}"

    def summary(self, reporter: pytest.TerminalReporter) -> None:
        if self.found or (self.off and not self.left_out):
            return
        many = f"{self.left_out} tests" if self.left_out else "tests marked so"
        why = f"--{self.option}=off" if self.off else f"{self.what} is missing. {self.remedy}"
        reporter.write_line(f"NOT RUN: {many} ({self.marker}): {why}", red=True)


def fail_if_skipped(session: pytest.Session) -> None:
    """Where everything is required, a skipped test is a failed run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and (skipped := reporter.stats.get("skipped")) and session.exitstatus == pytest.ExitCode.OK:
        reporter.ensure_newline()
        reporter.write_line(f"{len(skipped)} skipped, although nothing may be: the run fails.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
