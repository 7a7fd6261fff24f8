"""How often a key may call: so many calls a minute, which come back evenly (GCRA).

One moment is kept for each key and kind of call: when its allowance will be whole again. A call moves it on
by the time that one call takes to come back; a moment further ahead than the whole allowance refuses it.
For creating calls the moment stands in the key's row and is moved by one guarded UPDATE, so the bound is
exact however many processes and threads ask. For all others it stands in the process's own memory: with N
web processes up to N times as many calls come through, and none of them costs a query.
"""

from __future__ import annotations

import math
import threading
import time
from typing import NamedTuple

from django.conf import settings
from django.utils.translation import gettext as _

from accounts.models import ApiKey
from kling_platform import prepared
from kling_platform.errors import PlatformError

CREATES, CALLS, MISSES = "creates", "calls", "misses"
# Links that do not work, tried from one network: nobody mistypes as often, and who guesses never gets anywhere.
MISSES_PER_MINUTE = 30
MINUTE = 60_000_000  # in microseconds, like every time here
MOST_REMEMBERED = 10_000  # keys, in the memory of one process

# Works on PostgreSQL and SQLite alike; a loser waits for the row and then sees the winner's moment.
_MOVE_ON = """
UPDATE accounts_apikey
   SET creates_whole_at = CASE WHEN creates_whole_at > %s THEN creates_whole_at ELSE %s END + %s
 WHERE id = %s AND creates_whole_at <= %s
RETURNING creates_whole_at
"""


class Allowance(NamedTuple):
    """So many calls of one kind a minute. ``ahead``: how long until all of them are there again."""

    policy: str
    limit: int
    ahead: int = 0

    @property
    def each(self) -> int:
        """How long one call takes to come back."""
        return MINUTE // self.limit

    @property
    def most_ahead(self) -> int:
        """How far the moment may lie ahead before a call, so that the call still fits in."""
        return self.each * (self.limit - 1)

    @property
    def remaining(self) -> int:
        return max(0, (self.each * self.limit - self.ahead) // self.each)

    def headers(self) -> dict[str, str]:
        """The IETF's draft (httpapi-ratelimit-headers-10), and what clients of OpenAI read."""
        seconds = math.ceil(self.ahead / 1_000_000)
        return {
            "RateLimit-Policy": f'"{self.policy}";q={self.limit};w=60',
            "RateLimit": f'"{self.policy}";r={self.remaining};t={seconds}',
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(self.remaining),
            "x-ratelimit-reset-requests": f"{seconds}s",
        }


class RateLimited(PlatformError):
    """More calls than the key's allowance (429); ``retry_after`` says when the next one comes through."""

    code = "rate_limit_exceeded"
    status = 429

    def __init__(self, allowance: Allowance) -> None:
        seconds = max(1, math.ceil((allowance.ahead - allowance.most_ahead) / 1_000_000))
        sentence = (
            _("Too many links that do not work were tried from here. Go on in %(seconds)d s.")
            if allowance.policy == MISSES
            else _(
                "This key may create %(limit)d times a minute and has done so. Nothing was made, nothing was "
                "charged; go on in %(seconds)d s."
            )
            if allowance.policy == CREATES
            else _(
                "This key may call %(limit)d times a minute and has done so. Nothing was done; go on in %(seconds)d s."
            )
        )
        super().__init__(sentence % {"limit": allowance.limit, "seconds": seconds}, retry_after=seconds)
        self.allowance = allowance


def take_create(key: ApiKey) -> Allowance | None:
    """Count one creating call, exactly; ``RateLimited`` where it is one too many. None: nothing is limited.

    ``key`` comes from ``keys.find``, with the database's clock.
    """
    if not settings.API_CREATES_PER_MINUTE:
        return None
    allowance = Allowance(CREATES, settings.API_CREATES_PER_MINUTE)
    now = int(key.now.timestamp() * 1_000_000)  # type: ignore[attr-defined]
    moved = prepared.every(_MOVE_ON, [now, now, allowance.each, key.pk, now + allowance.most_ahead])
    if moved:
        return allowance._replace(ahead=moved[0][0] - now)
    whole_at = ApiKey.objects.values_list("creates_whole_at", flat=True).get(pk=key.pk)
    raise RateLimited(allowance._replace(ahead=whole_at - now))


class Memory:
    """The allowances of one kind of call, in this process alone."""

    def __init__(self) -> None:
        self._whole_at: dict[str, int] = {}
        self._lock = threading.Lock()

    def take(self, key: ApiKey) -> Allowance | None:
        """Count one call; ``RateLimited`` where it is one too many. None: nothing is limited."""
        if not settings.API_CALLS_PER_MINUTE:
            return None
        return self.count(key.lookup, Allowance(CALLS, settings.API_CALLS_PER_MINUTE))

    def check(self, who: str, allowance: Allowance) -> None:
        """``RateLimited`` where ``count`` would refuse now; counts nothing."""
        ahead = self._whole_at.get(who, 0) - time.monotonic_ns() // 1_000
        if ahead > allowance.most_ahead:
            raise RateLimited(allowance._replace(ahead=ahead))

    def count(self, who: str, allowance: Allowance) -> Allowance:
        """Count one of ``who``'s; ``RateLimited`` where it is one too many."""
        now = time.monotonic_ns() // 1_000
        with self._lock:
            ahead = max(0, self._whole_at.get(who, 0) - now)
            if ahead > allowance.most_ahead:
                raise RateLimited(allowance._replace(ahead=ahead))
            ahead += allowance.each
            self._whole_at[who] = now + ahead
            if len(self._whole_at) > MOST_REMEMBERED:
                self._whole_at = {lookup: at for lookup, at in self._whole_at.items() if at > now}
        return allowance._replace(ahead=ahead)

    def forget(self) -> None:
        """Everybody starts afresh."""
        with self._lock:
            self._whole_at.clear()


calls = Memory()
_misses = Memory()
_EACH_MISS = Allowance(MISSES, MISSES_PER_MINUTE)


def check_misses(network: str) -> None:
    """``RateLimited`` for a network that has tried too many links that do not work."""
    _misses.check(network, _EACH_MISS)


def count_miss(network: str) -> None:
    """One more link that does not work was tried from there; ``RateLimited`` where it is one too many."""
    _misses.count(network, _EACH_MISS)


def forget_misses() -> None:
    """As a process that has just begun."""
    _misses.forget()
