"""One's own video, polled: the question that programs ask all day, answered before Django's own way begins.

That way (a request, eight middlewares, signals, REST framework) takes twice as long as the answer itself. So
``QuickPolls`` stands before it and answers the plain case alone: a good key and a video that is there, asked for
without options. Whatever else comes goes on to the platform, which decides it and words it: nothing is decided
here that is not decided there, and a test lays both answers side by side, headers and all.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from accounts import rates
from generations import public
from generations.polled import key_and_row
from kling_platform.away import AWAY
from kling_platform.middleware import headers_of_all

Environ = dict[str, Any]
Start = Callable[..., Any]
Platform = Callable[[Environ, Start], Iterable[bytes]]

_HEX = "[0-9a-f]"
_PATH = re.compile(rf"/v1/video/generations/({_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}})")
# What would have another answer: words in a language, a wait, a form of one's own.
_OPTIONS = ("HTTP_ACCEPT_LANGUAGE", "HTTP_COOKIE", "HTTP_PREFER", "QUERY_STRING")


class QuickPolls:
    """A WSGI application before the platform's."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._headers = [
            ("Content-Type", "application/json"),
            ("Allow", "GET, HEAD, PATCH, DELETE"),
            ("Content-Language", settings.LANGUAGE_CODE),
            ("Cache-Control", "private, no-store"),
            ("Vary", "Accept-Language, Authorization"),
            *headers_of_all().items(),
        ]
        if settings.SECURE_HSTS_SECONDS:
            lasts = f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains; preload"
            self._headers.append(("Strict-Transport-Security", lasts))

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        asked = _PATH.fullmatch(environ["PATH_INFO"])
        if asked and environ["REQUEST_METHOD"] == "GET" and _is_plain(environ):
            try:
                answer = _answer(environ.get("HTTP_AUTHORIZATION", ""), uuid.UUID(asked[1]))
            except (rates.RateLimited, *AWAY):
                answer = None
            if answer:
                body, counted = answer
                length = ("Content-Length", str(len(body)))
                start("200 OK", [*self._headers, length, *counted.items()])
                return [body]
        return self.platform(environ, start)


def _is_plain(environ: Environ) -> bool:
    """No option is set, and there is nothing to redirect or to refuse: it came to a name of ours, over https where
    that is wanted."""
    host, _port = split_domain_port(environ.get("HTTP_HOST", "").lower())
    proxy, secure = settings.SECURE_PROXY_SSL_HEADER or ("", "")
    return (
        not any(environ.get(name) for name in _OPTIONS)
        and validate_host(host, settings.ALLOWED_HOSTS)
        and (environ.get(proxy) == secure or not settings.SECURE_SSL_REDIRECT)
    )


def _answer(authorization: str, generation_id: uuid.UUID) -> tuple[bytes, dict[str, str]] | None:
    """The body and the headers of what is counted; None where the platform has to say something else."""
    scheme, _space, text = authorization.partition(" ")
    asked = key_and_row(text, generation_id) if scheme == "Bearer" else None
    if asked is None:
        return None
    key, found = asked
    if (
        not key.may("read") or public.outward(found.status) == public.FAILED
    ):  # the words for it have a language
        return None
    allowance = rates.calls.take(key)
    body = json.dumps(public.as_video(found), ensure_ascii=False, separators=(",", ":")).encode()
    return body, allowance.headers() if allowance else {}
