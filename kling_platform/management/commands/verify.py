"""``manage.py verify``: every invariant, a line each; exit status 1 on a breach. It looks and never repairs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection

from accounts.invariants import INVARIANTS as OF_ACCOUNTS
from generations.invariants import INVARIANTS as OF_GENERATIONS


class Command(BaseCommand):
    help = "Check every invariant of wallets, journal, generations and files. Exit status 1 on a breach."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        breached = 0
        self._without_time_limit()
        for invariant in (*OF_ACCOUNTS, *OF_GENERATIONS):
            breaches = invariant.breaches()
            breached += bool(breaches)
            for breach in breaches:
                self.stdout.write(f"BREACH {invariant.name}: {breach}")
            if not breaches:
                self.stdout.write(f"ok {invariant.name}")
        if breached:
            self.stderr.write(
                f"{breached} invariants are breached. Nothing was changed. "
                "Stop the worker, keep a copy of the database, then look into it."
            )
            raise SystemExit(1)

    @staticmethod
    def _without_time_limit() -> None:
        """A look at years of history may take longer than a request may."""
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET statement_timeout = 0")
