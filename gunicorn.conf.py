"""How gunicorn serves the platform: read by itself from here, by ``make run`` and in production alike.

Threads, because a download or an upload on a slow line must not hold up a whole process; not ASGI,
which buffers a whole video in memory for each download. WEB_CONCURRENCY changes the number of processes.
"""

import os

bind = f"{os.environ.get('BIND', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
preload_app = True  # one import for all processes; a new version needs a restart anyway
worker_class = "gthread"
threads = 8
timeout = 90  # seconds without a sign of life from a process; a slow request alone is no reason
graceful_timeout = 10  # seconds that running requests get at the end
keepalive = 5  # seconds
control_socket_disable = True  # it would lie in the home folder, one for every gunicorn of this user
