"""R7: whoever names the address, and wherever it goes, no connection is tried to where we may not go."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings as of_django
from django.core.files.storage import FileSystemStorage

from accounts import services as people
from accounts.models import User
from generations import archive, chats, images, services, webhooks
from kling_platform.errors import PlatformError
from tests.hostile import WITNESS, Inside, hostile
from tests.wire import reply, say, vouched

SECRET = "whsec_" + "A" * 32
FLIP = "https://flip.example/v.mp4"
Sink = Callable[[str], object]


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Every name leads inside, and every connection is seen."""
    real, socket.getaddrinfo = socket.getaddrinfo, Inside()  # type: ignore[assignment]
    WITNESS.active, WITNESS.open_ports, WITNESS.seen = True, set(), []
    try:
        yield
    finally:
        WITNESS.active, socket.getaddrinfo = False, real


def sinks(settings: Any, folder: str) -> Iterator[tuple[str, Sink]]:
    """Every place of the platform that takes an address from outside, by name."""
    storage = FileSystemStorage(location=folder)
    user = people.provision(f"owner-{User.objects.count()}", credits=10).user
    endpoint = services.register_webhook(user, url="https://example.com/hook")

    def store(url: str) -> None:
        with contextlib.suppress(archive.ArchiveError):
            archive.copy(uuid.uuid4(), url, storage, deadline_seconds=5)
            raise AssertionError(f"{url} was stored")

    def call(url: str) -> None:
        answer = webhooks.send(webhooks.Call("msg_1", url, (SECRET,), b"{}"))
        assert answer.outcome != webhooks.Outcome.DELIVERED, url

    def save(url: str) -> None:
        with contextlib.suppress(PlatformError):
            services.change_webhook(endpoint, url=url)

    admin = people.provision(f"admin-{user.pk}", role="admin").user
    room = services.add_alarm_target(
        actor=admin, name="room", service="dingtalk", url="https://example.com/hook"
    )

    def tell(url: str) -> None:
        letter = chats.Letter(id="alarm_1", title="Alarm", lines=(), end="", data={})
        answer = chats.send(chats.Call(room.service, url, "SECx", letter))
        assert answer.outcome != webhooks.Outcome.DELIVERED, url

    def save_room(url: str) -> None:
        with contextlib.suppress(PlatformError):
            services.change_alarm_target(room, actor=admin, name="room", kinds=["disk"], url=url)

    def attach(url: str) -> None:
        with contextlib.suppress(PlatformError):
            images.check_image_url(url)

    yield "a result", store
    yield "a webhook that is called", call
    yield "a webhook that is saved", save
    yield "a chat that is called", tell
    yield "a chat that is saved", save_room
    yield "a picture", attach
    with vouched(settings) as start:
        server = start({})
        WITNESS.open_ports.add(server.port)

        def redirects(sink: Sink) -> Sink:
            def redirected(url: str) -> None:
                location = "".join(char for char in url if char not in "\r\n\0")
                found = reply(b"", "302 Found").replace(
                    b"\r\n\r\n", b"\r\nLocation: " + location.encode() + b"\r\n\r\n"
                )
                server.answers["/"] = say(found)
                sink(server.url())

            return redirected

        yield "a result that redirects", redirects(store)
        yield "a webhook that redirects", redirects(call)


def show(*, urls: int, flips: int, seed: int, settings: Any) -> str:
    """So many hostile addresses into every sink, and a name that changes its answer so many times."""
    settings.EGRESS_ALLOW = frozenset()
    tried, found = hostile(urls, seed), 0
    assert len(set(tried)) == urls
    with watched(), tempfile.TemporaryDirectory() as folder:
        for name, sink in sinks(settings, folder):
            for url in tried:
                sink(url)
                _no_other_connects(f"{name}: {url!a}")
                found += 1
            if name in ("a result", "a webhook that is called"):
                for _ in range(flips // 2):
                    sink(FLIP)
        outside = [place for place in WITNESS.seen if place[1] not in WITNESS.open_ports]
        assert set(outside) <= {("8.8.8.8", 443)}, outside
        assert len(outside) == flips // 2, "every other answer was a public one"
    return f"{urls} addresses × {found // urls} sinks and {flips} flips, 0 forbidden connects"


def _no_other_connects(what: str) -> None:
    wrong = [place for place in WITNESS.seen if place[1] not in WITNESS.open_ports and place[0] != "8.8.8.8"]
    assert not wrong, f"{what} reached for {wrong}"


def run(number: int, seed: int) -> str:
    return show(urls=400, flips=1_000, seed=seed, settings=of_django)
