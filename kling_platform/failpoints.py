"""Places at which a test may end this process, as hard as a power cut: ``CRASH_AT=send.answered``.

Outside the tests the setting is refused (``kling.E006``), and every place costs one comparison.
"""

from __future__ import annotations

import os
import signal

from django.conf import settings


def reach(label: str) -> None:
    """Say that this place is reached; the process is gone where it is the one of CRASH_AT."""
    if label == settings.CRASH_AT:
        os.kill(os.getpid(), signal.SIGKILL)
