"""R12: whatever dies on the way, every event arrives, and every call that a receiver gets is signed."""

from __future__ import annotations

import random
import sys
import tempfile
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

from django.conf import settings as of_django
from django.db.models.functions import Now

from accounts import services as people
from accounts.invariants import ALL
from accounts.models import User
from generations import services
from generations.invariants import INVARIANTS
from generations.models import Lane, WebhookDelivery, WebhookEndpoint
from kling_platform.supervisor import Child
from tests.makers import ask, claim_one
from tests.receivers import Behave, Heard, Receiver
from tests.surroundings import environment_of_this_test

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = [sys.executable, ROOT / "manage.py", "qcluster"]
# The task alone, again and again: starts faster.
TASK_ALONE = [sys.executable, "-m", "tests.prove.deliverer"]
STEP = 0.05


def failing(answer: int | None, seconds: float = 0.0) -> Behave:
    """Fail the first one to three tries of each event in this way, and take it afterwards."""

    def behave(heard: Heard) -> int | None:
        if heard.nth <= 1 + zlib.crc32(heard.id.encode()) % 3:
            time.sleep(seconds)
            return answer
        return 204

    return behave


FAILURES = (failing(500), failing(None), failing(302), failing(429, 0.1), failing(404))


class Scene:
    """Users with two endpoints each, one that takes everything and one that fails at first; and what they heard."""

    def __init__(self, users: int, settings: Any) -> None:
        self.users: list[User] = []
        self.receivers: dict[str, Receiver] = {}  # by the endpoint's id
        for number in range(users):
            user = people.provision(f"listener-{User.objects.count()}", credits=1_000_000).user
            self.users.append(user)
            for receiver in (Receiver(), Receiver(FAILURES[number % len(FAILURES)])):
                settings.EGRESS_ALLOW = frozenset({*settings.EGRESS_ALLOW, receiver.authority})
                endpoint = services.register_webhook(user, url=receiver.url)
                receiver.secrets = [endpoint.secret]
                self.receivers[str(endpoint.pk)] = receiver

    def end_one(self, number: int) -> None:
        """Let a generation end: canceled by its owner, or refused by upstream."""
        generation = ask(self.users[number % len(self.users)])
        if number % 3:
            services.cancel(generation, actor=generation.user)
        else:
            services.record_refused(claim_one(), code="content_policy", message="No.")

    def rotate(self) -> None:
        """New secrets for all; the old ones sign on, and go on being asked for."""
        for endpoint in WebhookEndpoint.objects.all():
            services.rotate_webhook(endpoint)

    @property
    def heard(self) -> int:
        return sum(len(receiver.heard) for receiver in self.receivers.values())

    def close(self) -> None:
        for receiver in self.receivers.values():
            receiver.close()


def move_on() -> None:
    """Time passes for the rows: what waits for its next try is due, and what a dead worker held is free."""
    WebhookDelivery.objects.filter(tries__gt=0, next_try_at__isnull=False).update(next_try_at=Now())


def bury() -> None:
    """The leases of the killed are over."""
    WebhookEndpoint.objects.filter(claimed_until__isnull=False).update(claimed_until=Now())
    Lane.objects.filter(name="deliver", until__isnull=False).update(until=Now())


def deliver_through_kills(
    *, events: int, users: int, kills: int, seed: int, command: list[Any], seconds: float, settings: Any
) -> str:
    """Let ``events`` generations end while the worker is killed ``kills`` times; what the receivers say of it."""
    dice, scene = random.Random(seed), Scene(users, settings)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "worker.log")
        worker = Child("worker", command, env=environment_of_this_test(settings), log=log)
        try:
            done = _run(scene, worker, dice, events=events, kills=kills, seconds=seconds)
            assert done == kills, f"{done} of {kills} kills: {log.read_text()[-3000:]}"
            return _judge(scene, events=events, kills=kills)
        finally:
            worker.kill()
            scene.close()


def _run(scene: Scene, worker: Child, dice: random.Random, *, events: int, kills: int, seconds: float) -> int:
    """Events, kills and time, mingled; returns how many kills there were. Each comes while calls are being made."""
    after = sorted(dice.sample(range(1, 2 * events), kills))
    deadline, ended, done = time.monotonic() + seconds, 0, 0
    while True:
        if not worker.alive:
            bury()
            worker.start()
        for _ in range(min(5, events - ended)):
            scene.end_one(ended)
            ended += 1
            if ended == events // 2:
                scene.rotate()
        move_on()
        services.wake_deliver()
        if done < kills and scene.heard >= after[done]:
            time.sleep(dice.uniform(0, 0.1))
            worker.kill()
            done += 1
        waiting = WebhookDelivery.objects.exclude(status="delivered").exists()
        if ended == events and not waiting:
            return done
        assert time.monotonic() < deadline, f"not over: {ended} ended, {scene.heard} calls, {done} kills"
        time.sleep(STEP)


def _judge(scene: Scene, *, events: int, kills: int) -> str:
    """What the receivers heard, held against what should have been said."""
    rows = list(WebhookDelivery.objects.select_related("generation"))
    assert len(rows) == 2 * events
    calls = [heard for receiver in scene.receivers.values() for heard in receiver.heard]
    forged = [
        heard
        for receiver in scene.receivers.values()
        for heard in receiver.heard
        if heard.signed_by != receiver.secrets
    ]
    assert not forged, f"{len(forged)} of {len(calls)} calls are not signed: {forged[0]}"
    doubled = 0
    for ident, receiver in scene.receivers.items():
        wanted = {str(row.pk): row for row in rows if str(row.endpoint_id) == ident}
        assert set(receiver.taken) == set(wanted), "lost, or somebody else's"
        for heard in receiver.heard:
            row = wanted[heard.id]
            assert heard.event["type"] == row.event
            assert heard.event["data"]["id"] == str(row.generation_id)
            assert heard.event["data"]["state"] == row.generation.status  # type: ignore[union-attr]
        doubled += sum(receiver.taken.values()) - len(wanted)
        assert receiver.most_at_once <= 2, "two calls at once: one of them may be a dead worker's, no more"
    broken_off = sum(receiver.broken_off for receiver in scene.receivers.values())
    assert broken_off <= kills * len(scene.receivers)
    assert doubled <= kills * len(scene.receivers), f"{doubled} came twice"
    states = Counter(row.status for row in rows)
    assert states == {"delivered": 2 * events}, states
    for invariant in INVARIANTS:
        assert invariant.breaches(ALL) == [], invariant.name
    return (
        f"{2 * events} deliveries of {events} events in {len(calls)} calls, all signed; "
        f"{kills} kills, {doubled} came twice, {broken_off} broke off"
    )


def run(number: int, seed: int) -> str:
    return deliver_through_kills(
        events=1_000, users=10, kills=20, seed=seed, command=CLUSTER, seconds=3_000, settings=of_django
    )
