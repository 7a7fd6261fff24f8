"""One part of a figure, in a process and on a database of its own; prints what was got as JSON."""

from __future__ import annotations

import importlib
import json
import os
import sys

import django


def main(figure: str, number: str, seed: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kling_platform.settings")
    django.setup()
    from django.db import connection
    from django.test.utils import setup_test_environment

    setup_test_environment()
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    got = importlib.import_module(f"tests.prove.{figure.lower()}").run(int(number), int(seed))
    print(json.dumps(got))


if __name__ == "__main__":
    main(*sys.argv[1:])
