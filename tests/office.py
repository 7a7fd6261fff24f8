"""How tests read the pages of the admin."""

from __future__ import annotations

import re
from html import unescape
from typing import Any


def text(response: Any) -> str:
    """What a person reads of a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


def messages(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]
