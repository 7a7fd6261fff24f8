"""The load of ``benchmarks.api``: kept connections that ask the same again and again, one answer at a time.

    python -m benchmarks.load < plan.json

The plan and what is printed are JSON: see ``Plan`` and ``Report``. It is a process of its own, so that its
share of the processor is the same beside every server (about 60 µs a request), and it reads no more of an
answer than its status and where it ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice


@dataclass(frozen=True)
class Plan:
    """``requests`` are sent as they stand; every connection begins elsewhere in them and goes round.

    What is answered in the first ``warm_up`` seconds is not counted, unless it is an error.
    """

    port: int
    requests: list[str]
    connections: int = 16
    warm_up: float = 1.0
    seconds: float = 4.0


@dataclass
class Report:
    """Answers with status 200 per second, milliseconds of theirs, and whatever else came."""

    rate: float
    p50: float
    p99: float
    answers: int
    errors: dict[str, int] = field(default_factory=dict)


class Connection(asyncio.Protocol):
    """One client: it sends, waits for the whole answer, and sends the next one."""

    def __init__(self, load: Load, first: int) -> None:
        requests = load.requests
        self.load, self.heard = load, b""
        self.asking = islice(cycle(requests), first % len(requests), None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self.heard = self.heard + data if self.heard else data
        head, found, rest = self.heard.partition(b"\r\n\r\n")
        if not found:
            return
        length = _length(head)
        if length is None:
            self._count(b"no Content-Length")
            self.transport.abort()
        elif len(rest) >= length:
            self.heard = b""
            self._count(head.split(b" ", 2)[1])
            self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.load.over:
            self._count(b"connection lost")

    def _ask(self) -> None:
        if self.load.over:
            self.transport.close()
        else:
            self.asked_at = time.perf_counter()
            self.transport.write(next(self.asking))

    def _count(self, status: bytes) -> None:
        now = time.perf_counter()
        if status != b"200":  # whenever it comes
            name = status.decode("latin-1")
            self.load.errors[name] = self.load.errors.get(name, 0) + 1
        elif self.load.begins <= now < self.load.ends:
            self.load.took.append(now - self.asked_at)


def _length(head: bytes) -> int | None:
    """The announced length of the body."""
    lines = (line.partition(b":") for line in head.split(b"\r\n"))
    return next((int(value) for name, _, value in lines if name.lower() == b"content-length"), None)


class Load:
    """All connections together."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.requests = plan, [text.encode() for text in plan.requests]
        self.begins = time.perf_counter() + plan.warm_up
        self.ends = self.begins + plan.seconds
        self.took: list[float] = []
        self.errors: dict[str, int] = {}

    @property
    def over(self) -> bool:
        return time.perf_counter() >= self.ends

    async def run(self) -> Report:
        loop = asyncio.get_running_loop()
        for number in range(self.plan.connections):
            first = number * len(self.requests) // self.plan.connections
            await loop.create_connection(
                lambda first=first: Connection(self, first), "127.0.0.1", self.plan.port
            )
        await asyncio.sleep(self.ends - time.perf_counter())
        took = sorted(self.took)
        p50, p99 = (
            took[int(share * (len(took) - 1))] * 1000 if took else float("inf") for share in (0.5, 0.99)
        )
        return Report(len(took) / self.plan.seconds, p50, p99, len(took), self.errors)


def main() -> None:
    """Read the plan, load the server, print what came of it."""
    report = asyncio.run(Load(Plan(**json.load(sys.stdin))).run())
    json.dump(asdict(report), sys.stdout)


if __name__ == "__main__":
    main()
