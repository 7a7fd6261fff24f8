"""``manage.py probe_upstream``: find out what the gateway really does, for one paid call at most, on request."""

from __future__ import annotations

import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from generations import archive, images, services
from generations.omnimaas import client, reader, transport
from kling_platform import egress

ASKED_EVERY = 5.0
SIZE = "9:16"  # not what a gateway takes when it does not understand
PATIENCE = 900.0


class Command(BaseCommand):
    help = (
        "Asks the gateway of the settings what it honours and prints the settings that follow. Free as it "
        "stands: one question for an id that does not exist. With --pay it makes one video of the cheapest "
        "model, 5 seconds, 9:16, and looks at every answer on the way."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--pay", action="store_true", help="make one video, which the account pays for")
        parser.add_argument(
            "--picture", type=Path, help="with --pay: start from this picture, base64 is tried"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.OMNIMAAS_API_KEY:
            raise CommandError("Set OMNIMAAS_API_KEY first.")
        self.stdout.write(f"The gateway is {settings.OMNIMAAS_BASE_URL}.")
        self._ask("an id that does not exist", uuid.uuid4().hex)
        if not options["pay"]:
            self.stdout.write("Nothing was paid for. --pay makes one video and tells the rest.")
            return
        self._pay(options["picture"])

    def _exchange(self, method: str, path: str, body: bytes | None = None) -> transport.Reply:
        headers = {"Authorization": f"Bearer {settings.OMNIMAAS_API_KEY}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            return transport.exchange(
                method,
                settings.OMNIMAAS_BASE_URL + client.PATH + path,
                headers=headers,
                body=body,
                seconds=settings.OMNIMAAS_TIMEOUT,
            )
        except (transport.NeverSent, transport.Broken, transport.TooLong) as error:
            raise CommandError(f"No answer: {type(error).__name__} {error}") from error

    def _ask(self, what: str, upstream_id: str) -> transport.Reply:
        reply = self._exchange("GET", f"/{upstream_id}")
        self._show(what, reply)
        if reply.status in (401, 403):
            raise CommandError("The key is not accepted: check OMNIMAAS_API_KEY.")
        return reply

    def _show(self, what: str, reply: transport.Reply) -> None:
        self.stdout.write(f"\n{what}: HTTP {reply.status}, {shape(reply.body)}")
        for name in ("X-Oneapi-Request-Id", "Retry-After", "Content-Type"):
            if name in reply.headers:
                self.stdout.write(f"  {name}: {reply.headers[name]}")
        self.stdout.write("  " + reader.evidence(reply.body, settings.OMNIMAAS_API_KEY)[:600])

    def _pay(self, picture: Path | None) -> None:
        order = self._order(picture)
        gateway = client.Gateway(
            base_url=settings.OMNIMAAS_BASE_URL,
            key=settings.OMNIMAAS_API_KEY,
            image_transport=settings.OMNIMAAS_IMAGE_TRANSPORT,
            metadata=settings.OMNIMAAS_METADATA,
            send_aspect_ratio=settings.OMNIMAAS_SEND_ASPECT_RATIO,
            send_external_id=settings.OMNIMAAS_SEND_EXTERNAL_ID,
        )
        reply = self._exchange("POST", "", client.encode(order, gateway))
        self._show("the paid POST", reply)
        upstream_id = reader.read_id(client.parse(reply.body))
        if not upstream_id:
            raise CommandError("No id came back. Look into the gateway's console before you try again.")
        url, seconds = self._follow(upstream_id)
        self.stdout.write(f"\nMade in {seconds:.0f} s. The link's host is {urlsplit(url).hostname}.")
        self._advise(order, honoured=self._measure(url, order))

    def _measure(self, url: str, order: client.Order) -> bool | None:
        """Whether the film has the ratio that was asked for; None where it could not be fetched or measured."""
        with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
            try:
                fetched = egress.fetch(
                    url,
                    sink=cast(BinaryIO, file),
                    max_bytes=archive.MAX_BYTES,
                    deadline_seconds=settings.OMNIMAAS_TIMEOUT,
                )
                file.flush()
                film = archive.probe(Path(file.name))
            except (egress.EgressError, archive.ArchiveError) as error:
                self.stdout.write(f"It could not be measured: {error}. Open the link and look at its ratio.")
                return None
        self.stdout.write(
            f"The film: {film.width} x {film.height}, {film.seconds:.2f} s, {film.fps:g} fps, "
            f"{'with' if film.has_audio else 'without'} sound, {fetched.bytes} bytes."
        )
        if order.pictures:
            self.stdout.write("With a picture, the picture decides the ratio.")
            return None
        across, down = map(int, SIZE.split(":"))
        return film.width * down == film.height * across

    def _order(self, picture: Path | None) -> client.Order:
        model = services.current_rules().offered[0]
        pictures: tuple[client.Picture, ...] = ()
        if picture is not None:
            ready = images.prepare(picture.read_bytes())
            pictures = (client.Picture(data=ready.data, content_type=ready.content_type),)
        return client.Order(
            external_id=str(uuid.uuid4()),
            model=model.name,
            prompt="A red kite over the sea",
            seconds=model.seconds[0],
            size=SIZE,
            mode=model.modes[0].name,
            sound=False,
            names_mode=False,
            metadata={},
            pictures=pictures,
        )

    def _follow(self, upstream_id: str) -> tuple[str, float]:
        """Ask until it is over; every new status word is shown with its shape."""
        begun, words = time.monotonic(), set()
        while time.monotonic() - begun < PATIENCE:
            time.sleep(ASKED_EVERY)
            reply = self._exchange("GET", f"/{upstream_id}")
            body = client.parse(reply.body)
            word = str(reader.unwrap(body).get("status"))
            if word not in words:
                words.add(word)
                self._show(f"status {word}", reply)
            reading = reader.read(body)
            if reading.state == "failed":
                raise CommandError(f"It failed: {reading.error_message or reading.error_code}")
            if reading.url:
                if reading.cost is not None:
                    self.stdout.write(f"It cost {reading.cost} units of the gateway's quota.")
                return reading.url, time.monotonic() - begun
        raise CommandError(f"Still not over after {PATIENCE:.0f} s; its id is {upstream_id}.")

    def _advise(self, order: client.Order, *, honoured: bool | None) -> None:
        """The settings that follow; ``honoured`` is whether the ratio of the order was."""
        if honoured is not None:
            self.stdout.write(
                f"{SIZE} was asked for and {'honoured: keep these settings' if honoured else 'NOT honoured'}."
            )
        if honoured is False:
            other = "object" if settings.OMNIMAAS_METADATA == "string" else "string"
            self.stdout.write(
                f"Try OMNIMAAS_METADATA={other} OMNIMAAS_SEND_ASPECT_RATIO=1, then probe again."
            )
        self.stdout.write("\nThe settings that were used, and when to change them:")
        for name, advice in (
            ("OMNIMAAS_METADATA", "object, if metadata was refused or the video's ratio is wrong"),
            ("OMNIMAAS_SEND_ASPECT_RATIO", "0, if the ratio is right without it"),
            ("OMNIMAAS_SEND_EXTERNAL_ID", "0, if the gateway refused external_task_id"),
            ("OMNIMAAS_IMAGE_TRANSPORT", "base64 or url, if a picture was refused or ignored"),
        ):
            if name != "OMNIMAAS_IMAGE_TRANSPORT" or order.pictures:
                self.stdout.write(f"  {name}={getattr(settings, name)}    ({advice})")


def shape(body: bytes) -> str:
    """Which of the known shapes a reply has, in a few words."""
    parsed = client.parse(body)
    if not isinstance(parsed, dict):
        return "not a JSON object"
    if "code" in parsed and isinstance(parsed.get("data"), dict):
        return "an envelope (code, data)"
    if "error" in parsed:
        return "an error object"
    if "code" in parsed and "message" in parsed:
        return "a flat error (code, message)"
    return "the document's flat shape" if "status" in parsed or "id" in parsed else "another object"
