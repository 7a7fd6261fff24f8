"""``manage.py provision NAME``: make sure that a user with a quota is there; one line of JSON says what is new."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import IntegrityError

from accounts import services
from accounts.models import Quota, User
from kling_platform.errors import PlatformError


class Command(BaseCommand):
    help = (
        "Make a user, or change one that exists. Prints one JSON line: username, password (null for an "
        "existing user without --password), api_key (null without --api-key). Safe to repeat, but for the key."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", metavar="NAME")
        parser.add_argument("--email")
        parser.add_argument("--password", help="random for a new user")
        parser.add_argument("--role", choices=User.Role.values, help="member for a new user")
        parser.add_argument(
            "--credits", type=int, help="sets the quota, and lifts others; a new user's is the default one"
        )
        parser.add_argument("--period", choices=Quota.Period.values, help="month for a new user")
        parser.add_argument("--api-key", metavar="LABEL", help="make a new API key and print it this once")

    def handle(self, *args: Any, **options: Any) -> None:
        fields = ("email", "password", "role", "credits", "period", "api_key")
        try:
            done = services.provision(options["username"], **{name: options[name] for name in fields})
        except PlatformError as refusal:
            raise CommandError(str(refusal)) from refusal
        except IntegrityError as error:
            raise CommandError("Another process made this user at the same moment; run it again.") from error
        answer = {"username": done.user.username, "password": done.password, "api_key": done.api_key}
        self.stdout.write(json.dumps(answer))
