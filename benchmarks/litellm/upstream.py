"""An upstream for LiteLLM that costs next to nothing: every request is answered at once with the same video.

python benchmarks/litellm/upstream.py PORT
"""

from __future__ import annotations

import asyncio
import sys

BODY = (
    b'{"id":"video_123","object":"video","model":"sora-2","status":"in_progress","progress":10,'
    b'"created_at":1795543396,"seconds":"4","size":"720x1280"}'
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
) + BODY


class Line(asyncio.Protocol):
    """One kept line; a request may have a body with a length."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.heard = transport, b""

    def data_received(self, data: bytes) -> None:
        self.heard += data
        while b"\r\n\r\n" in self.heard:
            head, _, rest = self.heard.partition(b"\r\n\r\n")
            lines = (line.partition(b":") for line in head.lower().split(b"\r\n"))
            length = next((int(value) for name, _, value in lines if name == b"content-length"), 0)
            if len(rest) < length:
                return
            self.heard = rest[length:]
            self.transport.write(ANSWER)


async def main(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Line, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
