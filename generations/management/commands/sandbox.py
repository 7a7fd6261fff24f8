"""``manage.py sandbox``: the gateway's stand-in, on a port of its own."""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from generations.omnimaas.sandbox import SCALE, InUse, SandboxServer, table

_ABOUT = (
    "Serve a stand-in for the OmniMaaS gateway that renders real videos; nothing is paid, no model is asked."
)


class Command(BaseCommand):
    """Runs until SIGTERM or SIGINT, then ends with status 0 at once."""

    help = _ABOUT
    requires_system_checks: list[str] = []  # it needs no database and no other part of the platform

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        epilog = f"Words in the prompt:\n{table()}"
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        return super().create_parser(prog_name, subcommand, epilog=epilog, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, required=True, help="port to listen on; 0 takes a free one")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
        parser.add_argument("--key", default="sandbox-key", help="the API key that it accepts (sandbox-key)")
        parser.add_argument("--dir", type=Path, help="folder for journal and films (VAR_DIR/sandbox)")
        parser.add_argument(
            "--speed", type=_positive, default=1.0, help="2 is twice as fast (1: about 7 seconds)"
        )
        parser.add_argument(
            "--scale",
            type=_positive,
            default=SCALE,
            help=f"of the videos' sides; 1 is 720p and 1080p ({SCALE})",
        )
        parser.add_argument("--max-running", type=int, help="answer 429, code 1303, over so many (no limit)")

    def handle(self, *args: Any, **options: Any) -> None:
        ended = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: ended.set())
        sandbox = SandboxServer(
            options["dir"] or Path(settings.VAR_DIR) / "sandbox",
            options["key"],
            options["speed"],
            options["port"],
            host=options["host"],
            scale=options["scale"],
            max_running=options["max_running"],
        )
        try:
            sandbox.start()
        except (InUse, OSError) as problem:
            raise CommandError(f"The sandbox cannot start: {problem}") from problem
        self.stdout.write(f"The sandbox listens at {sandbox.url}")
        self.stdout.flush()
        ended.wait()
        sandbox.stop()


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < 10_000:
        raise argparse.ArgumentTypeError("must be a number over 0")
    return number
