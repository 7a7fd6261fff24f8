"""A program that listens to webhooks: a real server on loopback, and the judge of every call that it gets."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.db.models.functions import Now
from standardwebhooks import Webhook, WebhookVerificationError

from accounts.models import User
from generations import services
from generations.models import Generation, WebhookDelivery
from tests.conftest import run_queued
from tests.makers import ask


@dataclass
class Heard:
    """One call as it came in. ``nth`` counts the calls with this webhook-id."""

    path: str
    headers: dict[str, str]
    body: bytes
    nth: int
    signed_by: list[str]
    answered: int | None = None

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)


# What to answer: a status, or a status with a body; None hangs up without a word.
Behave = Callable[[Heard], "int | tuple[int, bytes] | None"]


@dataclass
class Receiver:
    """Judges by ``secrets``: each call has to be signed by every one of them that is named here."""

    behave: Behave = lambda heard: 204
    secrets: list[str] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    broken_off: int = 0
    most_at_once: int = 0
    _at_once: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._nth: Counter[str] = Counter()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._hear(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.authority = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.authority}/hook"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def taken(self) -> Counter[str]:
        """How often each webhook-id was answered with success."""
        return Counter(one.id for one in self.heard if one.answered and 200 <= one.answered < 300)

    def _hear(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length", 1))
        body = handler.rfile.read(length)
        if len(body) < length:  # its sender was killed in the middle of it
            self.broken_off += 1
            handler.close_connection = True
            return
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            ident = headers.get("webhook-id", "")
            self._nth[ident] += 1
            nth = self._nth[ident]
        signed = [secret for secret in self.secrets if is_signed(body, headers, secret)]
        heard = Heard(handler.path, headers, body, nth, signed)
        try:
            answer = self.behave(heard)
            if answer is not None:
                status, text = answer if isinstance(answer, tuple) else (answer, b"")
                heard.answered = status
        finally:
            with self._lock:  # before the answer, because the next call may come as soon as it is out
                self._at_once -= 1
                self.heard.append(heard)
        if answer is not None:
            with contextlib.suppress(OSError):
                handler.send_response(status)
                handler.send_header("Content-Length", str(len(text)))
                if 300 <= status < 400:
                    handler.send_header("Location", f"http://{self.authority}/elsewhere")
                handler.end_headers()
                handler.wfile.write(text)
        handler.close_connection = True


def is_signed(body: bytes, headers: dict[str, str], secret: str) -> bool:
    """What the standard's own library says."""
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


def slowly(seconds: float, status: int = 204) -> Behave:
    """Answer after a while."""

    def behave(heard: Heard) -> int:
        time.sleep(seconds)
        return status

    return behave


# --- what tests do with them ------------------------------------------------------

Listen = Callable[..., Receiver]


@contextlib.contextmanager
def listening(settings: Any) -> Iterator[Listen]:
    """``listen(user, behave)`` starts a receiver that the operator vouches for, and registers it."""
    started = []

    def listen(user: User, behave: Behave | None = None, **options: Any) -> Receiver:
        server = Receiver(behave) if behave else Receiver()
        started.append(server)
        settings.EGRESS_ALLOW = frozenset({*settings.EGRESS_ALLOW, server.authority})
        server.secrets = [services.register_webhook(user, url=server.url, **options).secret]
        return server

    try:
        yield listen
    finally:
        for server in started:
            server.close()


def work_off() -> None:
    """Run what is queued, as a task process does."""
    run_queued(time.monotonic() + 30)


def canceled(user: User) -> Generation:
    """A generation that has ended, without anybody else's help."""
    return services.cancel(ask(user), actor=user)


def move_on() -> None:
    """What waits is due now: the rows' times are moved, never the clock."""
    WebhookDelivery.objects.filter(next_try_at__isnull=False).update(next_try_at=Now())
    services.wake_deliver()


def only_delivery() -> WebhookDelivery:
    return WebhookDelivery.objects.get()
