"""What no log hears: the secrets that stand in addresses, of letters and of links."""

from __future__ import annotations

import logging
import re

# A part of a path that is long enough to be one; our ids are as long, and harmless.
_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_SECRET = re.compile(rf"(?<=/)(?!{_ID}(?![^/\s?]))[^/\s?]{{24,}}")


class NoSecrets(logging.Filter):
    """Takes them out of what a record is about to say."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(hidden(word) if isinstance(word, str) else word for word in record.args)
        return True


def hidden(text: str) -> str:
    """The text with ``…`` for what may be a secret in a path."""
    return _SECRET.sub("…", text)
