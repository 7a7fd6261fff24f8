"""The web process: gunicorn's threads, of which each stays with a kept line for a moment."""

from __future__ import annotations

import select

from gunicorn.workers.gthread import TConn, ThreadWorker

STAY_MS = 10


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
