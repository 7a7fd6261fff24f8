"""How much of a proof a test shows: a part of it in ``make test``, all of it in ``make prove``."""

from __future__ import annotations

import os

FULL = "KLING_PROVE" in os.environ
