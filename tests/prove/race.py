"""Many at once: threads with a database connection each, let go at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

T = TypeVar("T")


def race(jobs: Sequence[Callable[[], T]], *, threads: int) -> list[T]:
    """Results of all jobs, each thread doing its share one after the other; a job's exception is raised here."""
    start = threading.Barrier(threads, timeout=300)
    door = threading.Semaphore(
        8
    )  # PostgreSQL makes a process for each: all at once take longer than a connect may

    def work(share: Sequence[Callable[[], T]]) -> list[T]:
        try:
            with door:
                connection.ensure_connection()
            start.wait()
            return [job() for job in share]
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        shares = pool.map(work, [jobs[number::threads] for number in range(threads)])
        return [result for share in shares for result in share]
