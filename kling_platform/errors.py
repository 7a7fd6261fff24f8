"""The one error that a person or a program outside may see. This module imports nothing of ours."""

from __future__ import annotations

from typing import ClassVar


class PlatformError(Exception):
    """A refusal with a stable code, an HTTP status, and a sentence that says what to do next.

    ``message`` may be a lazy translation; it is rendered where it is shown. ``param`` names the
    offending field of the request; ``retry_after`` is in seconds and becomes a header. ``link`` is the full
    address where it can be put right; it ends the sentence, and pages make a button of it.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400

    def __init__(
        self, message: object, *, param: str | None = None, retry_after: int | None = None, link: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.link = link

    def __str__(self) -> str:
        return f"{self.message} {self.link}" if self.link else str(self.message)


class InvalidValue(PlatformError):
    """A value that the request may not have (400); ``param`` names the field."""

    code = "invalid_value"


class NotFound(PlatformError):
    """Not there, or not yours: both look the same from outside (404)."""

    code = "not_found"
    status = 404


class Forbidden(PlatformError):
    """You are known, and this is not for you (403)."""

    code = "forbidden"
    status = 403


class Suspended(Forbidden):
    """The account is suspended (403)."""

    code = "suspended"


class WrongState(PlatformError):
    """The thing is not in a state that allows this (409)."""

    code = "wrong_state"
    status = 409


class InsufficientQuota(PlatformError):
    """A wallet cannot pay; the message names the quota, what is left and when it resets (402)."""

    code = "insufficient_quota"
    status = 402


class NoQuota(PlatformError):
    """Nobody has given this user a quota yet (402)."""

    code = "no_quota"
    status = 402
