"""``manage.py fence``: go on safely with a database that was restored or copied, or with a new key."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from generations import services
from generations.models import Status


class Command(BaseCommand):
    help = (
        "After a restore or a copy of the database: generations that wait or were being sent become unknown, "
        "because they may have been sent since; their credits stay held until an operator or time decides. "
        "With --rotate-key: the same account has a new key, and nothing is parked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rotate-key", action="store_true", help="only the key changed, not the account")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.OMNIMAAS_API_KEY:
            raise CommandError("Set OMNIMAAS_API_KEY first: the fence is drawn for that key.")
        parked = services.fence(same_account=options["rotate_key"])
        for status, count in parked.items():
            self.stdout.write(f"{count} {Status(status).value} → unknown")
        self.stdout.write(f"The open generations are now those of {settings.OMNIMAAS_BASE_URL}.")
