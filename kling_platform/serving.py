"""The web process: gunicorn's threads, of which each stays with a kept line for a moment."""

from __future__ import annotations

import select
from typing import Any

from gunicorn.http import wsgi
from gunicorn.workers.gthread import TConn, ThreadWorker

STAY_MS = 10


class Response(wsgi.Response):
    """Sends the head of an answer and the first piece of its body together: in two packets they wake the client
    twice, and each sending gives the interpreter away."""

    sock: Any

    def write(self, arg: bytes) -> None:
        line, pieces = self.sock, _Pieces()
        if not self.headers_sent:
            self.sock = pieces
        try:
            super().write(arg)
        finally:
            self.sock = line
            if pieces:
                line.sendall(b"".join(pieces))


class _Pieces(list[bytes]):
    """Stands in for a line, and keeps what is sent."""

    sendall = list.append


wsgi.Response = Response  # gunicorn has no setting for it


class Worker(ThreadWorker):
    """A program that polls asks again at once, and is answered by the thread that is there.

    gunicorn hands a line back to its loop after each answer, and the loop hands it out again: two changes of
    threads for each call, and each of them waits for the interpreter. Here a line goes back when nothing has
    come for ``STAY_MS``, and at once when somebody else waits for a thread.
    """

    def handle(self, conn: TConn) -> object:
        """True: the line is kept. What else ``ThreadWorker`` answers means that it is over, or is not there yet."""
        again = super().handle(conn)
        while again is True and self._stays(conn):
            again = super().handle(conn)
        return again

    def _stays(self, conn: TConn) -> bool:
        if not self.alive or self.tpool._work_queue.qsize() or conn.parser.unreader.buf.getvalue():
            return False
        ear = select.poll()
        ear.register(conn.sock, select.POLLIN)
        return bool(ear.poll(STAY_MS))
