"""What the tests of the portal share: a member's client, a picture, a composer that is sent."""

from __future__ import annotations

import io
from typing import Any

from django.test import Client
from PIL import Image

from accounts.models import User
from generations.models import Generation

CHEAP = {"model": "kling-v2-5-turbo-std", "prompt": "一只可爱的小猫", "seconds": "5", "size": "16:9"}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def picture(width: int = 640, height: int = 360, kind: str = "JPEG") -> io.BytesIO:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(out, kind)
    out.seek(0)
    out.name = f"frame.{kind.lower()}"
    return out


def compose(client: Client, **fields: Any) -> Any:
    """Send the composer as its script does."""
    return client.post("/new", {**CHEAP, **fields}, headers={"accept": "application/json"})


def with_picture(user: User) -> Generation:
    """A queued image-to-video of a user."""
    client = signed_in(user)
    answer = compose(client, first_file=picture())
    assert answer.status_code == 201, answer.content
    return Generation.objects.get(pk=answer.json()["to"].removeprefix("/g/"))
