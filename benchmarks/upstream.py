"""An upstream for measuring: answers every poll after 50–200 ms, and notes when each came.

    python -m benchmarks.upstream LOG [SLOWEST_MS]

Prints its port. LOG gets a line ``monotonic-seconds id`` for each poll; the clock is the whole machine's.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path
from typing import TextIO

FASTEST, SLOWEST = 0.05, 0.2


class Line(asyncio.Protocol):
    """One kept line of a client. Every answer tells another progress: the most that there is to write down."""

    def __init__(self, log: TextIO, slowest: float) -> None:
        self.log, self.slowest, self.heard = log, slowest, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data
        while b"\r\n\r\n" in self.heard:
            head, _, self.heard = self.heard.partition(b"\r\n\r\n")
            id = head.split(b" ", 2)[1].rpartition(b"/")[2].decode()
            now = time.monotonic()
            self.log.write(f"{now:.4f} {id}\n")
            body = f'{{"id":"{id}","status":"processing","progress":{int(now) % 90 + 1}}}'
            answer = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            takes = random.uniform(min(FASTEST, self.slowest), self.slowest)
            asyncio.get_running_loop().call_later(takes, self._say, answer.encode())

    def _say(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)


async def main(log: str, slowest: float) -> None:
    """Serve until killed."""
    with Path(log).open("w", buffering=1 << 16) as file:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Line(file, slowest), "127.0.0.1", 0, backlog=1024)
        print(server.sockets[0].getsockname()[1], flush=True)
        while True:
            await asyncio.sleep(0.5)
            file.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]) / 1000 if len(sys.argv) > 2 else SLOWEST))
