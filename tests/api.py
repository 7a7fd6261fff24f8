"""Speaks ``/v1`` in tests: a key, JSON in, JSON out; and a video to fetch, without a worker."""

from __future__ import annotations

import json
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client

from accounts.models import Transfer, User, Wallet
from generations import services
from generations.models import Generation, InputImage, Video
from tests.makers import storing

GENERATIONS = "/v1/video/generations"
TEXT = {"model": "kling-v2-5-turbo-std", "prompt": "一只小狐狸在雪地里"}
FILM = bytes(range(256)) * 40


class Api:
    """A program with a key. A bug in the platform is a 500 here, as it is outside."""

    def __init__(self, key: str = "") -> None:
        self.client = Client(raise_request_exception=False)
        self.headers = {"authorization": f"Bearer {key}"} if key else {}

    def send(self, method: str, path: str, **options: Any) -> Any:
        headers = self.headers | options.pop("headers", {})
        return self.client.generic(method, path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> Any:
        return self.send("GET", path, **options)

    def post(
        self, path: str, body: Any = None, *, content_type: str = "application/json", **options: Any
    ) -> Any:
        """``body`` is bytes as they are, or whatever JSON can say."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.send("POST", path, data=data, content_type=content_type, **options)

    def create(self, **fields: Any) -> Any:
        return self.post(GENERATIONS, TEXT | fields)


def error(answer: Any) -> dict[str, Any]:
    """The one shape of a refusal, checked."""
    body = answer.json()
    assert set(body) == {"error"}, body
    assert set(body["error"]) == {"message", "type", "code", "param"}, body
    assert body["error"]["message"] and body["error"]["type"] and body["error"]["code"]
    return body["error"]


def finished(user: User, film: bytes = FILM, **fields: Any) -> Generation:
    """A generation whose video is in storage."""
    generation = storing(user, **fields)
    name = default_storage.save(f"videos/{generation.pk}.mp4", ContentFile(film))
    video = Video(
        file=name,
        poster=name,
        width=1280,
        height=720,
        seconds=5.0,
        fps=24,
        has_audio=False,
        bytes=len(film),
        sha256="a" * 64,
    )
    assert services.record_stored(generation.pk, video)
    generation.refresh_from_db()
    return generation


def everything() -> dict[str, Any]:
    """What a refused request must leave as it was: rows, journal, credits."""
    return {
        "generations": Generation.objects.count(),
        "images": InputImage.objects.count(),
        "transfers": Transfer.objects.count(),
        "wallets": list(Wallet.objects.order_by("pk").values()),
    }
