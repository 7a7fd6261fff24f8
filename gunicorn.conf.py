"""How gunicorn serves the platform: read by itself from here, by ``make run`` and in production alike.

Threads, because a download or an upload on a slow line must not hold up a whole process; not ASGI,
which buffers a whole video in memory for each download. WEB_CONCURRENCY changes the number of processes.
"""

import gc
import os
import socket
from typing import Any

bind = f"{os.environ.get('BIND', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
reuse_port = True  # each process listens for itself: of one ear, the quickest takes most of the kept lines
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
preload_app = True  # one import for all processes; a new version needs a restart anyway
worker_class = "kling_platform.serving.Worker"  # gthread, with lines that stay with their thread
threads = 16  # each may be held by a slow line, and keeps a connection to the database
timeout = 90  # seconds without a sign of life from a process; a slow request alone is no reason
graceful_timeout = 10  # seconds that running requests get at the end
keepalive = 5  # seconds
control_socket_disable = True  # it would lie in the home folder, one for every gunicorn of this user


def on_starting(server: Any) -> None:
    """Who listens with others of its kind would not notice that the port is somebody else's already."""
    for address in server.address:
        if isinstance(address, tuple):  # a port; the others are files and sockets that were handed over
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            socket.create_server(address, family=family).close()


def when_ready(server: Any) -> None:
    """What was imported stays: nobody need look through it for garbage, which stops a process for a while."""
    gc.collect()
    gc.freeze()


def pre_fork(server: Any, worker: Any) -> None:
    """Choose a processor for a new process, where there are as many of them as processes.

    Where there are more, nobody waits for one; and another service may have the first ones to itself.
    """
    every = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    taken = {other.processor for other in server.WORKERS.values()}
    free = [one for one in every if one not in taken]
    worker.processor = free[0] if free and len(every) == server.cfg.workers else None


def post_fork(server: Any, worker: Any) -> None:
    """Stay on it: one thread of an interpreter runs at a time, and on two processors the others wake up only to
    wait for it."""
    if worker.processor is not None:
        os.sched_setaffinity(0, {worker.processor})
