"""The few kinds of answer that a caller acts on. The kind says what may be done next; the text is evidence.

Kinds of a POST follow what the answer *proves* (was something created that will be billed?).
"""

from __future__ import annotations


class UpstreamError(Exception):
    """Something other than the answer that was hoped for.

    ``reply`` is redacted and capped evidence; ``status`` is HTTP's, 0 for none; ``retry_after`` is in seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        reply: str = "",
        status: int = 0,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reply = reply
        self.status = status
        self.retry_after = retry_after


class NotSent(UpstreamError):
    """DNS, connect or TLS failed: not a byte of the request left. Safe to send again."""


class Throttled(UpstreamError):
    """429 and its kin: nothing was created, there are too many in flight. Safe to send again, later."""


class AccountFault(UpstreamError):
    """Our key or our account is the trouble, never the user. Nothing was created; operators must act."""


class Refused(UpstreamError):
    """A readable no: nothing was created, and asking again would be answered alike."""


class Doubt(UpstreamError):
    """It may exist and be billed. Never send it again by itself."""


class Missing(UpstreamError):
    """A poll found no such id. It can come just after a good submit, so once proves nothing."""


class Unavailable(UpstreamError):
    """A poll failed in passing: ask again later."""


class Late(Unavailable):
    """A poll that was not made at all, because its time had gone by."""
