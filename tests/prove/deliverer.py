"""``python -m tests.prove.deliverer``: the deliver task and nothing else, until somebody kills the process."""

from __future__ import annotations

import os
import time

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kling_platform.settings")
    django.setup()
    from generations.deliveries import deliver

    while True:
        deliver()
        time.sleep(0.05)


if __name__ == "__main__":
    main()
