"""What the gateway does with a request, without the network: submit, poll, and hand out films."""

from __future__ import annotations

import hmac
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from . import wire
from .answers import ORDERED, Reply, answer, failure, page, unauthorized
from .faults import Faults
from .files import Sending, Unsatisfiable, span
from .store import FAILS_AT, Made, Store
from .studio import Studio
from .wire import Refusal, Standing
from .words import WORDS, of_stage, words_in

Json = dict[str, Any]
SCALE = 0.75
MOST_POLLS = 100_000  # remembered, and in memory alone


@dataclass(frozen=True)
class Settings:
    """How this sandbox behaves.

    ``seconds`` is the time from submit to success at speed 1. ``scale`` shrinks the films' sides: 1 is the size of
    the real models (1280x720, 1920x1080); three quarters of it (960x540, 1440x810) cost a third less CPU, so that
    films of 5 s are ready in time on two busy cores.
    """

    key: str = "sandbox-key"
    speed: float = 1.0
    seconds: float = 7.0
    max_running: int | None = None
    scale: float = SCALE


class Gateway:
    """The behaviour behind the wire."""

    def __init__(self, store: Store, studio: Studio, settings: Settings) -> None:
        self.store, self.studio, self.settings = store, studio, settings
        self.faults = Faults()
        self.polls: deque[tuple[float, str]] = deque(maxlen=MOST_POLLS)  # Unix seconds, id
        self._lock = threading.Lock()

    def authorize(self, header: str) -> None:
        """Check ``Authorization``. Raises :class:`Refusal` (401)."""
        expected = f"Bearer {self.settings.key}".encode()
        if not hmac.compare_digest(header.strip().encode("utf-8", "replace"), expected):
            raise unauthorized()

    def submit(self, authorization: str, content_type: str, body: bytes, request_id: str) -> Reply:
        """Answer ``POST /v1/video/generations``; whatever happens is in the journal before it is answered."""
        entry = _entry(request_id)
        try:
            self.authorize(authorization)
            if content_type.partition(";")[0].strip().lower() != "application/json":
                wire.refuse("Content-Type must be application/json.")
            request = wire.parse(body)
            entry |= _noted(request)
            return self._create(entry, wire.checked(request))
        except Refusal as refusal:
            self.store.refuse(entry, "refused", refusal.status, refusal.message)
            return failure(refusal)

    def refuse(self, refusal: Refusal, request_id: str) -> Reply:
        """Answer a POST whose body was not even read."""
        self.store.refuse(_entry(request_id), "refused", refusal.status, refusal.message)
        return failure(refusal)

    def _create(self, entry: Json, order: wire.Order) -> Reply:
        words = words_in(order.prompt) | self.faults.take("submit") | self.faults.take("work")
        after = ""
        for name, value in of_stage(words, "submit").items():
            if WORDS[name].creates:
                after = name
            elif self.store.again(entry, name, value):
                reply = ORDERED[name]
                self.store.refuse(entry, "fault", reply.status or None, name)
                return reply
        ordered = ORDERED.get(after)
        takes = self.settings.seconds / self.settings.speed + float(words.get("slow", 0))
        made = self.store.create(
            entry,
            order,
            words,
            takes=takes,
            status=ordered.status or None if ordered else 200,
            most=self.settings.max_running,
        )
        self.studio.order(made)
        honest = answer(wire.document(Standing(made.id, order.model, int(made.created), "processing", 0)))
        if after == "late":
            return replace(honest, manner="late", seconds=float(words[after]))
        if after == "drip-reply":
            return replace(honest, manner="drip", seconds=float(words[after]))
        return ordered or honest

    def poll(self, id: str, base: str) -> Reply:
        """Answer ``GET /v1/video/generations/{id}``; links start with ``base``."""
        self.polls.append((time.time(), id))
        made = self.store.made.get(id)
        words = (of_stage(made.words, "poll") if made else {}) | self.faults.take("poll")
        for name, value in words.items():
            if name in ORDERED and self._acts(made, name, value):
                return ORDERED[name]
        if made is None:
            return answer(wire.unknown_task(), 400)
        standing = self._standing(made, base)
        if standing.url and "no-url" in words and self._acts(made, "no-url", words["no-url"]):
            standing = replace(standing, url="")
        if standing.url and "expired" in words:
            first = self._acts(made, "expired", "1")
            standing = replace(standing, url=f"{standing.url}?link={1 if first else 2}")
        return answer(_shaped(standing, words))

    def _acts(self, made: Made | None, name: str, value: str) -> bool:
        """Whether a word still acts on this generation: always, or the first ``value`` times."""
        if made is None or not value:
            return True
        with self._lock:
            made.times[name] += 1
            return made.times[name] <= float(value)

    def _standing(self, made: Made, base: str) -> Standing:
        share = max(0.0, time.time() - made.created) / made.takes
        now = Standing(made.id, made.order.model, int(made.created), "processing", min(99, int(share * 100)))
        if "fail" in made.words:
            if share >= FAILS_AT:
                return replace(now, status="failed", progress=int(FAILS_AT * 100), reason=made.words["fail"])
        elif self.studio.broken(made):
            return replace(now, status="failed", reason="The sandbox could not make the film.")
        elif share >= 1 and made.ends and self.studio.ready(made):
            return replace(now, status="succeeded", progress=100, url=f"{base}/files/{made.id}.mp4")
        return now

    def film(self, id: str, query: dict[str, list[str]], range_header: str) -> Reply | Sending:
        """Answer ``GET /files/{id}.mp4``, which needs no key, as a CDN's links do not."""
        made = self.store.made.get(id)
        if made is None or not self.studio.ready(made):
            return page(404, "404 Not Found")
        words = of_stage(made.words, "file") | self.faults.take("file")
        if "expired" in made.words and query.get("link") == ["1"]:
            return page(403, "403 Request has expired")
        for name in words:
            if name in ORDERED:
                return ORDERED[name]
        if "redirect" in words and "direct" not in query:
            return Reply(302, headers={"Location": f"/files/{id}.mp4?direct=1"})
        path = self.store.film(id)
        whole = path.stat().st_size
        size = whole // 2 if "half-file" in words else whole
        try:
            part = span(range_header, size)
        except Unsatisfiable:
            return Reply(416, headers={"Content-Range": f"bytes */{size}"})
        start, end = part or (0, size - 1)
        return Sending(
            path,
            start,
            end,
            size,
            partial=part is not None,
            seconds=float(words.get("drip", 0)),
            breaks_at=size // 2 if "truncated" in words else None,
        )


def _shaped(standing: Standing, words: dict[str, str]) -> Json:
    if "envelope" in words or "url-in-reason" in words:
        return wire.envelope(standing, url_in_reason="url-in-reason" in words)
    if "simple" in words:
        return wire.simple(standing)
    body = wire.document(standing)
    if "odd-status" in words and standing.status == "processing":
        body["status"] = "polishing_pixels"
    return body


def _entry(request_id: str) -> Json:
    """The beginning of a line of the journal; the rest is known once the body was read."""
    return {"at": datetime.now(UTC).isoformat(), "request_id": request_id} | _noted({})


def _noted(request: Json) -> Json:
    """What the journal notes of a request, whether it is accepted or not."""
    try:
        metadata = wire.metadata_of(request)
    except Refusal:
        metadata = {}
    external, prompt, model = metadata.get("external_task_id"), request.get("prompt"), request.get("model")
    return {
        "external_task_id": external[:191] if isinstance(external, str) else None,
        "model": model[:100] if isinstance(model, str) else None,
        "prompt": prompt[: wire.MOST_PROMPT] if isinstance(prompt, str) else None,
        "fields": sorted(str(name)[:40] for name in request)[:40],
    }
