"""R15: whatever becomes of a download on its way, what is stored is whole and plays, and nothing else is left."""

from __future__ import annotations

import hashlib
import random
import socket
import tempfile
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from django.conf import settings as of_django
from django.core.files.storage import FileSystemStorage

from generations import archive
from tests.films import film
from tests.wire import reply, vouched

PAGES = (
    *(
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        reply(b"<html>" * 99, content_type="text/html"),
        reply(b"", "403 Forbidden"),
    ),
    *(reply(b"", "503 Busy"), reply(b"#EXTM3U\nfile:///etc/passwd\n", content_type="video/x"), reply(b"")),
    *(reply(b"", "302 Found", location="http://127.0.0.1:9/"), reply(b"x", content_length="9" * 30)),
)


class Damaging:
    """Answers with a film that suffered on the way, or with no film at all; ``sent`` is the last body."""

    def __init__(self, seed: int) -> None:
        self.dice, self.whole, self.sent = random.Random(seed), film(320, 320, seconds=1), b""

    def __call__(self, conn: socket.socket, request: bytes) -> None:
        if self.dice.random() < 0.1:
            self.sent = b""
            conn.sendall(self.dice.choice(PAGES))
            return
        data = bytearray(self.whole)
        kind = self.dice.randrange(5)
        if kind == 0:
            del data[self.dice.randrange(len(data)) :]
        elif kind == 1:
            place = self.dice.randrange(len(data))
            del data[place : place + self.dice.randint(1, 2_000)]
        elif kind == 2:
            data += self.dice.randbytes(self.dice.randint(1, 2_000))
        else:
            for _ in range(self.dice.randint(1, 20)):
                data[self.dice.randrange(200 if kind == 3 else len(data))] = self.dice.randrange(256)
        self.sent = bytes(data)
        length = self.dice.choice([len(data), len(self.whole), ""])
        conn.sendall(reply(self.sent, content_length=str(length)))


def downloads(count: int, seed: int, settings: Any) -> str:
    """So many faulty downloads; each is refused, or is stored byte for byte as it came and plays."""
    states: Counter[str] = Counter()
    with vouched(settings) as start, tempfile.TemporaryDirectory() as folder:
        storage, server = FileSystemStorage(location=folder), Damaging(seed)
        address, expected = start({"/film.mp4": server}).url("/film.mp4"), set()
        for _ in range(count):
            try:
                stored = archive.copy(uuid.uuid4(), address, storage, deadline_seconds=10)
            except archive.ArchiveError as error:
                states[type(error).__name__] += 1
            else:
                states["stored"] += 1
                expected |= {stored.file_name, stored.poster_name}
                path = Path(storage.path(stored.file_name))
                assert stored.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
                assert server.sent.startswith(path.read_bytes()), "what was announced, as it came"
                assert archive.probe(path).seconds > 0
            left = {str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()}
            assert left == expected, "something was left behind"
    assert states["stored"] < count / 2, states
    assert len(states) > 1, states
    return f"{count} faulty downloads, {states['stored']} harmless ones kept, 0 bad files, 0 leftovers"


def run(number: int, seed: int) -> str:
    return downloads(500, seed, of_django)
