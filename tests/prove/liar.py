"""An upstream that answers byte for byte what it was told to, by the prompt of a POST or the id of a GET."""

from __future__ import annotations

import contextlib
import json
import re
import socketserver
import threading
from collections.abc import Iterator

STATUS_LINES = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    302: "Found",
    400: "Bad Request",
    404: "Not Found",
}


class Liar:
    """``posts`` holds whole replies by prompt, ``gets`` by upstream's id; ``posted`` every prompt that came."""

    def __init__(self) -> None:
        self.posts: dict[str, bytes] = {}
        self.gets: dict[str, bytes] = {}
        self.posted: list[str] = []
        self.url = ""

    def answer(self, head: bytes, body: bytes) -> bytes:
        method, path, _rest = head.split(b" ", 2)
        if method == b"POST":
            prompt = json.loads(body)["prompt"]
            self.posted.append(prompt)
            return self.posts[prompt]
        return self.gets.get(path.rpartition(b"/")[2].decode(), whole(404, b"{}"))


def whole(status: int, body: bytes, **headers: str) -> bytes:
    """A reply with a right length, unless ``headers`` say otherwise; one of "" is left out."""
    fields = {"content_length": str(len(body)), "connection": "close", **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items() if value]
    return "\r\n".join([f"HTTP/1.1 {status} {STATUS_LINES.get(status, 'X')}", *lines, "", ""]).encode() + body


@contextlib.contextmanager
def serve() -> Iterator[Liar]:
    """On a free port for the length of the block."""
    liar = Liar()

    class Handler(socketserver.StreamRequestHandler):
        timeout = 20

        def handle(self) -> None:
            with contextlib.suppress(OSError):
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    line = self.rfile.readline(65536)
                    if not line:
                        return
                    head += line
                length = re.search(rb"(?im)^content-length: *(\d+)", head)
                body = self.rfile.read(int(length[1])) if length else b""
                self.wfile.write(liar.answer(head, body))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 256

    with Server(("127.0.0.1", 0), Handler) as server:
        liar.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield liar
        server.shutdown()
