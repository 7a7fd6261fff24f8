"""R10: PostgreSQL goes away again and again under load, and nobody meets more than a pause.

What may be left in doubt, and why; the reasons are told beside the number. Either the commit of a claim was not
answered (*lease_over*): nobody knows that he may send, so nothing is sent, and upstream has no orphan. Or a POST was
not answered within ``OMNIMAAS_TIMEOUT`` (*line*): sandbox or machine stood still, for the database is not asked in
between, and upstream may have an orphan. An answer that came waits for the database, and is never lost to it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings as of_django
from django.db import DatabaseError, connection, connections
from django.test import Client
from django.utils.module_loading import import_string

from accounts import services as people
from accounts.models import User
from generations.models import TERMINAL, Generation, Status, Upstream
from generations.omnimaas.sandbox import SandboxServer
from kling_platform.supervisor import Child
from tests import crashes
from tests.plugins.server import QUICK, ROLE, Postgres, find_binaries
from tests.processes import wait_until
from tests.prove.web import gunicorn
from tests.surroundings import database_url, environment_of_this_test

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-r10"
GENERATIONS = "/v1/video/generations"
# What a commit that was answered must outlive is an end of all its processes, not of the machine.
DURABLE = {**QUICK, "synchronous_commit": "on"}
PROMPTS = [*["cat [fail]"] * 8, "cat", "cat [slow=1] [fail]", "cat [poll-500=1] [fail]"]
PATIENCE = 60.0  # seconds that a client tries again


class Answer(NamedTuple):
    """What somebody was told; ``status`` 0: the line broke."""

    status: int
    headers: Any
    body: bytes


class Heard:
    """What all clients were told, by what they asked for; and whatever should not have been said."""

    def __init__(self) -> None:
        self.times: Counter[int] = Counter()
        self.wrong: list[str] = []

    def note(self, path: str, answer: Answer) -> Answer:
        self.times[answer.status] += 1
        if answer.status != 200 and not _asks_to_wait(path, answer):
            self.wrong.append(f"{answer.status} on {path}: {dict(answer.headers)} {answer.body[:300]!r}")
        return answer


def _asks_to_wait(path: str, answer: Answer) -> bool:
    """A 503 that says so and when to come back, in the words of its door."""
    if answer.status != 503 or not str(answer.headers.get("Retry-After", "")).isdigit():
        return False
    if not path.startswith("/v1/"):
        return b"<html" in answer.body and b"Nothing is lost" in answer.body
    return bool(json.loads(answer.body)["error"]["code"] == "unavailable")


@contextmanager
def database() -> Iterator[Postgres]:
    """A server of our own that may be ended, with a copy of this process' database, and in its place."""
    binaries = find_binaries()
    assert binaries and connection.vendor == "postgresql"
    server, settings = Postgres(binaries, **DURABLE), connection.settings_dict
    before = dict(settings)
    try:
        server.start()
        copy = subprocess.run([server.binaries / "pg_dump", database_url()], check=True, capture_output=True)
        connections.close_all()
        settings |= {"NAME": "postgres", "USER": ROLE, "HOST": str(server.home), "PORT": ""}
        command = [server.binaries / "psql", "-qX", "-v", "ON_ERROR_STOP=1", database_url()]
        subprocess.run(command, input=copy.stdout, check=True, stdout=subprocess.DEVNULL)
        yield server
    finally:
        connections.close_all()
        settings |= before
        server.remove()


class Crowd:
    """Clients of one person: some make, each under an Idempotency-Key until it is heard, the others look."""

    def __init__(self, url: str, settings: Any) -> None:
        made = people.provision(f"crowd-{User.objects.count()}", credits=10_000_000, api_key="crowd")
        visitor = Client()
        visitor.force_login(made.user)
        self.cookie = f"{settings.SESSION_COOKIE_NAME}={visitor.cookies[settings.SESSION_COOKIE_NAME].value}"
        self.url, self.key, self.heard = url, str(made.api_key), Heard()
        self.acknowledged: dict[str, str] = {}  # by Idempotency-Key
        self.over = threading.Event()
        self._direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @contextmanager
    def at_work(self, makers: int, lookers: int, seed: int) -> Iterator[None]:
        """So many of each, for the length of the block and until each is answered."""
        roles: list[Callable[[random.Random], None]] = [*[self.make] * makers, *[self.look] * lookers]
        with ThreadPoolExecutor(len(roles)) as pool:
            working = [pool.submit(role, random.Random(f"{seed} {n}")) for n, role in enumerate(roles)]
            try:
                yield
            finally:
                self.over.set()
        for one in working:
            one.result()

    def hears(self, status: int, *, times: int) -> None:
        """Wait until this was answered so often from now on."""
        enough = self.heard.times[status] + times
        wait_until(lambda: self.heard.times[status] >= enough, PATIENCE)

    def make(self, dice: random.Random) -> None:
        while not self.over.is_set():
            key, ends = uuid.uuid4().hex, time.monotonic() + PATIENCE
            body = {"model": "kling-v2-5-turbo-std", "prompt": f"{dice.choice(PROMPTS)} {key}"}
            while (answer := self.call(GENERATIONS, body, key)).status != 200:
                assert time.monotonic() < ends, f"no answer within {PATIENCE} s: {answer}"
                time.sleep(0.1)
            self.acknowledged[key] = json.loads(answer.body)["id"]
            time.sleep(dice.uniform(0, 0.3))

    def look(self, dice: random.Random) -> None:
        while not self.over.is_set():
            known = list(self.acknowledged.values())
            one = f"{GENERATIONS}/{dice.choice(known)}" if known else GENERATIONS
            self.call(dice.choice([one, GENERATIONS, "/v1/quota", "/v1/models", "/", "/new"]))
            time.sleep(dice.uniform(0, 0.1))

    def call(self, path: str, body: dict[str, Any] | None = None, key: str = "") -> Answer:
        request = urllib.request.Request(self.url + path, data=json.dumps(body).encode() if body else None)
        if path.startswith("/v1/"):
            request.add_header("Authorization", f"Bearer {self.key}")
            request.add_header("Content-Type", "application/json")
        else:
            request.add_header("Cookie", self.cookie)
        if key:
            request.add_header("Idempotency-Key", key)
        try:
            with self._direct.open(request, timeout=60) as reply:
                answer = Answer(reply.status, reply.headers, reply.read())
        except urllib.error.HTTPError as refusal:
            answer = Answer(refusal.code, refusal.headers, refusal.read())
        except OSError as error:
            answer = Answer(0, {}, repr(error).encode())
        return self.heard.note(path, answer)


Work = Callable[[Any, Path], AbstractContextManager[Callable[[], bool]]]


@contextmanager
def cluster(settings: Any, home: Path) -> Iterator[Callable[[], bool]]:
    """The worker as in production; yields whether it lives."""
    limits = {"POLL_MIN_SECONDS": "1", "POLL_BUDGET": "100", "OMNIMAAS_MAX_IN_FLIGHT": "100"}
    environment = environment_of_this_test(settings, OMNIMAAS_TIMEOUT="5", **limits)
    command = [sys.executable, ROOT / "manage.py", "worker"]
    worker = Child("worker", command, env=environment, log=home / "worker.log")
    worker.start()
    try:
        wait_until(Upstream.objects.filter(last_beat_at__isnull=False).exists, 60)
        yield lambda: worker.poll() is None
    finally:
        worker.kill()


@contextmanager
def tasks_alone(settings: Any, home: Path) -> Iterator[Callable[[], bool]]:
    """The tasks, one after the other in one process that goes on whatever happens: starts faster."""
    pid = crashes.start_task_process(_work_on)
    try:
        yield lambda: os.waitpid(pid, os.WNOHANG) == (0, 0)
    finally:
        crashes.kill(pid)
        crashes.wait_for(pid)


def _work_on() -> None:
    while True:
        try:
            import_string("generations.tasks.sweep")()
            crashes.run_queued()
            import_string("generations.tasks.poll")(seconds=0.01)
        except DatabaseError:
            connection.close()
        time.sleep(0.05)


def survive(
    *, restarts: int, makers: int, lookers: int, pause: float, seed: int, work: Work, settings: Any
) -> str:
    """So many restarts, each after up to ``pause`` seconds of work and up to as many of absence.

    Then the crowd goes home, and the worker finishes alone.
    """
    dice = random.Random(seed)
    settings.POLL_MIN_SECONDS, settings.OMNIMAAS_MAX_IN_FLIGHT = 1, 100
    settings.OMNIMAAS_TIMEOUT, settings.SUBMIT_LEASE = 2, 5
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings.VAR_DIR, settings.MEDIA_ROOT = home, home / "media"
        sandbox = stack.enter_context(SandboxServer(home / "sandbox", key=KEY, speed=20, scale=0.125))
        settings.OMNIMAAS_BASE_URL, settings.OMNIMAAS_API_KEY = sandbox.url, KEY
        settings.EGRESS_ALLOW = frozenset({sandbox.url.removeprefix("http://")})
        server = stack.enter_context(database())
        crowd = Crowd(stack.enter_context(gunicorn()), settings)
        lives = stack.enter_context(work(settings, home))
        with crowd.at_work(makers, lookers, seed):
            for _ in range(restarts):
                crowd.hears(200, times=20)
                time.sleep(dice.uniform(0, pause))
                server.stop(signal.SIGQUIT)  # as after a loss of power: nobody is asked
                connections.close_all()  # ours is gone too
                crowd.hears(503, times=1)
                time.sleep(dice.uniform(0, pause))
                server.start()
        took = _until_quiet(lives)
        found = crashes.judge(sandbox.journal())
        _judge(crowd)
    told = crowd.heard.times
    return (
        f"{restarts} restarts, {told[200]} answers and {told[503]} times 503, nothing else; {found}; "
        f"quiet {took:.0f} s after the last"
    )


def _until_quiet(lives: Callable[[], bool], seconds: float = 420) -> float:
    """How long it took until everything was over or in doubt, without anybody's help.

    A store whose claim was not answered is tried again when its five minutes are over, and the next minute's sweep is.
    """
    begun = time.monotonic()
    waiting = Generation.objects.exclude(status__in=[*TERMINAL, Status.UNKNOWN])
    while waiting.exists():
        assert lives(), "whoever works was ended by the restarts"
        left = Counter(waiting.values_list("status", flat=True))
        assert time.monotonic() - begun < seconds, f"not over after {seconds} s: {left}"
        time.sleep(0.2)
    return time.monotonic() - begun


def _judge(crowd: Crowd) -> None:
    heard = crowd.heard
    assert not heard.wrong, f"{len(heard.wrong)} of {heard.times}: {heard.wrong[:3]}"
    there = {str(pk) for pk in Generation.objects.values_list("pk", flat=True)}
    assert len(crowd.acknowledged) > 0
    assert set(crowd.acknowledged.values()) == there, "lost, or made twice for one key"
    assert len(set(crowd.acknowledged.values())) == len(crowd.acknowledged)


def run(number: int, seed: int) -> str:
    return survive(restarts=10, makers=6, lookers=6, pause=3, seed=seed, work=cluster, settings=of_django)
