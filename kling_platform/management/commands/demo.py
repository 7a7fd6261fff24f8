"""``manage.py demo``, behind ``make run``: the whole platform on this machine, from one command.

Web, worker and sandbox run as children and write their logs into ``VAR_DIR/log``. What the first start
makes up (passwords, keys, the sandbox's port) stays in ``VAR_DIR``, so that later starts lose nothing.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from accounts import keys, services
from accounts.models import User
from generations.services import current_rules
from kling_platform.health import is_migrated
from kling_platform.local import State, alone, foreground, free_port, port_trouble, secret_key
from kling_platform.supervisor import Child, StopSignal, stop

READY_WITHIN = 90.0  # seconds from starting the children to the first OK
RESTARTS = 3  # of one child within a minute; one that ends faster than that will not come up
# Ctrl-C ends all within 25 seconds: those who talk to the sandbox first, then the sandbox.
DRAIN, LAST = 18, 4
DEMO_CREDITS = 1_000
LOG_BYTES = 10_000_000

REFUSED_FOLDER = "{path} cannot be written to: name another folder in VAR_DIR, or change its owner."
REFUSED_PORT = (
    "Port {port} cannot be used ({trouble}): end the program that holds it, or choose another: "
    "make run PORT={other}"
)
REFUSED_KEPT_PORT = (
    "Port {port}, kept for the sandbox, cannot be used ({trouble}): end the program that holds it, or delete "
    '"sandbox_port" from {path} (generations that the sandbox still works on would be lost).'
)


class Command(BaseCommand):
    help = "Runs the whole platform on this machine: web, worker and, without OMNIMAAS_API_KEY, the sandbox."
    requires_system_checks: list[str] = []  # SECRET_KEY is only made here; the children check everything

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until Ctrl-C, SIGTERM or SIGHUP; raises CommandError with the remedy when it cannot."""
        var, port = Path(settings.VAR_DIR), settings.PORT
        self.environment: dict[str, str] = {}  # what the children hear of the sandbox
        if not os.access(var, os.W_OK):
            raise CommandError(REFUSED_FOLDER.format(path=var))
        with alone(var / "demo.lock"):
            if trouble := port_trouble(port):
                other = port + 1 if 1024 <= port < 65535 else 8000
                raise CommandError(REFUSED_PORT.format(port=port, trouble=trouble, other=other))
            state = State(var / "demo.json")
            settings.SECRET_KEY = secret_key(var)  # this process read its settings before there was one
            sandbox = self._sandbox(state)
            if not is_migrated():
                self.stdout.write("==> Preparing the database")
                call_command("migrate", interactive=False, verbosity=0)
            api_key = self._people(state, paid=sandbox is None)
            with foreground() as terminal:
                self._run(self._children(sandbox), StopSignal(terminal), state, api_key)

    def _sandbox(self, state: State) -> Child | None:
        """The sandbox on its kept port, or None when a real key says that the real gateway is wanted."""
        if settings.OMNIMAAS_API_KEY:
            return None
        port = state.keep("sandbox_port", free_port)
        if trouble := port_trouble(port):
            raise CommandError(REFUSED_KEPT_PORT.format(port=port, trouble=trouble, path=state.path))
        key = state.keep("sandbox_key", lambda: "sk-sandbox-" + secrets.token_urlsafe(24))
        self.environment = {
            "OMNIMAAS_BASE_URL": f"http://127.0.0.1:{port}",
            "OMNIMAAS_API_KEY": key,
            "EGRESS_ALLOW": ",".join([*sorted(settings.EGRESS_ALLOW), f"127.0.0.1:{port}"]),
        }
        return self._child("sandbox", "sandbox", "--port", str(port), "--key", key)

    def _children(self, sandbox: Child | None) -> list[Child]:
        web = Child(
            "web",
            [sys.executable, "-m", "gunicorn", "--chdir", settings.BASE_DIR, "kling_platform.wsgi"],
            env=self._env(),
            log=self._log("web"),
        )
        worker = self._child("worker", "worker", "--drain", str(DRAIN - 2))
        return [web, worker, *([sandbox] if sandbox else [])]

    def _child(self, name: str, *arguments: str) -> Child:
        manage = str(Path(settings.BASE_DIR, "manage.py"))
        return Child(
            name, [sys.executable, manage, *arguments], env=self._env(), log=self._log(name), grace=DRAIN
        )

    def _env(self) -> dict[str, str]:
        return {
            **os.environ,
            **self.environment,
            "SECRET_KEY": settings.SECRET_KEY,
            "VAR_DIR": str(settings.VAR_DIR),
            "PORT": str(settings.PORT),
            "PYTHONUNBUFFERED": "1",
        }

    def _log(self, name: str) -> Path:
        folder = Path(settings.VAR_DIR, "log")
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    def _people(self, state: State, *, paid: bool) -> str:
        """Make sure of ``admin`` and ``demo``, and return a key of demo's that works.

        Against the real gateway nobody gets credits before an admin has decided so; turning from the
        sandbox to the real one takes the play money back, once.
        """
        credits = 0 if paid else DEMO_CREDITS
        for name, role in (("admin", User.Role.ADMIN), ("demo", User.Role.MEMBER)):
            password = state.keep(f"{name}_password", lambda: secrets.token_urlsafe(12))
            if not User.objects.filter(username=name).exists():
                services.provision(name, password=password, role=role, credits=credits)
            elif paid and not state.values.get("paid"):
                services.provision(name, credits=0, period="month")
        if paid:
            state.set("paid", True)
        if keys.find(state.values.get("api_key", "")) is None:
            made = services.provision("demo", api_key="made by the first start")
            state.set("api_key", made.api_key)
        return str(state.values["api_key"])

    def _run(self, children: list[Child], signals: StopSignal, state: State, api_key: str) -> None:
        self.started = time.monotonic()
        talkers, upstream = children[:2], children[2:]
        try:
            for child in reversed(children):
                self.stdout.write(f"==> Starting the {child.name}")
                child.start()
            if self._wait_until_ready(children, signals):
                self._welcome(state, api_key, sandbox=bool(upstream))
                self._watch(children, signals)
        finally:
            with suppress(OSError):  # the terminal may be gone
                self.stdout.write("\n==> Ending; running tasks get a moment")
            stop(talkers, DRAIN)
            stop(upstream, LAST)

    def _wait_until_ready(self, children: list[Child], signals: StopSignal) -> bool:
        """False when somebody asked for the end meanwhile."""
        deadline = time.monotonic() + READY_WITHIN
        while not signals.wait(0.2):
            for child in children:
                if (status := child.poll()) is not None:
                    raise CommandError(
                        f"The {child.name} ended with status {status}:\n{self._last_lines(child)}"
                    )
            if self._is_ready():
                return True
            if time.monotonic() > deadline:
                told = "".join(f"\n{child.name}:\n{self._last_lines(child)}" for child in children)
                raise CommandError(f"Not ready after {READY_WITHIN:.0f} s.{told}")
        return False

    def _is_ready(self) -> bool:
        """The web answers, and a worker has beaten since this start."""
        try:
            with requests.Session() as session:
                session.trust_env = False  # no proxy between us and ourselves
                answer = session.get(
                    f"http://127.0.0.1:{settings.PORT}/readyz",
                    headers={"Host": urlsplit(settings.PUBLIC_URL).netloc},
                    timeout=5,
                )
            age = answer.json()["worker_age_seconds"] if answer.ok else None
        except (OSError, ValueError, KeyError):
            return False
        return age is not None and age < time.monotonic() - self.started

    def _watch(self, children: list[Child], signals: StopSignal) -> None:
        """Start anew what ends by itself, a few times."""
        ends: dict[str, list[float]] = {child.name: [] for child in children}
        while not signals.wait(0.5):
            for child in children:
                if (status := child.poll()) is None:
                    continue
                now = time.monotonic()
                ends[child.name] = [moment for moment in ends[child.name] if now - moment < 60] + [now]
                if len(ends[child.name]) > RESTARTS:
                    raise CommandError(f"The {child.name} keeps ending:\n{self._last_lines(child)}")
                self.stderr.write(f"The {child.name} ended with status {status}; it is started anew.")
                child.kill()
                child.start()

    def _last_lines(self, child: Child, count: int = 15) -> str:
        try:
            lines = child.log.read_text(errors="replace").splitlines() if child.log else []
        except OSError:
            lines = []
        return "\n".join(lines[-count:]) or "(it wrote nothing)"

    def _welcome(self, state: State, api_key: str, *, sandbox: bool) -> None:
        body = json.dumps(
            {"model": current_rules().offered[0].name, "prompt": "A red kite over the sea", "duration": 5}
        )
        url = settings.PUBLIC_URL
        gateway = (
            "the sandbox on this machine: nothing costs money" if sandbox else settings.OMNIMAAS_BASE_URL
        )
        self.stdout.write(
            f"""
The platform runs. Videos come from {gateway}.

  Portal     {url}/
  Admin      {url}/admin/
  API        {url}/v1        documents: {url}/api/docs

  Sign in    admin   {self._password(state, "admin")}
             demo    {self._password(state, "demo")}
  API key    {api_key}

  curl {url}/v1/video/generations -H "Authorization: Bearer {api_key}" \\
    -H "Content-Type: application/json" -d '{body}'
"""
        )
        if not sandbox:
            self.stdout.write("  Nobody has credits yet: sign in as admin and set quotas first.\n")
        self.stdout.write(f"Logs: {settings.VAR_DIR}/log. Ctrl-C ends everything; what was made stays.")

    def _password(self, state: State, name: str) -> str:
        user = User.objects.filter(username=name).first()
        password = str(state.values[f"{name}_password"])
        return password if user and user.check_password(password) else "(the password was changed)"
