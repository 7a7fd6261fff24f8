"""From which address the work at hand was asked for; nothing outside of a request.

A middleware notes it once, and the audit reads it once. Handing it through every verb instead would put a
value into some thirty signatures that none of them uses, and the first one to forget it would go unseen.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_text: ContextVar[str] = ContextVar("address", default="")


def address() -> str | None:
    """The address of whoever sent the request; None in a task or a command, or where the text is no address.

    Read only here: most requests are audited nowhere.
    """
    try:
        return str(ipaddress.ip_address(_text.get().strip().partition("%")[0]))
    except ValueError:
        return None


@contextmanager
def coming_from(text: str) -> Iterator[None]:
    """What happens in the block was asked for from there."""
    token = _text.set(text)
    try:
        yield
    finally:
        _text.reset(token)


def sender(remote: str, forwarded: str, proxies: int) -> str:
    """Who is behind ``proxies`` proxies of ours: each appends to X-Forwarded-For whom it heard from.

    Only so many from the right can be believed; whatever stands before them, anybody may have written.
    """
    heard = [*(part.strip() for part in forwarded.split(",") if part.strip()), remote]
    return heard[-(proxies + 1)] if len(heard) > proxies else remote


def network(address: str) -> str:
    """An IPv4 address itself; of IPv6 the /64, which one subscriber has all to himself."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)
