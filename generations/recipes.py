"""The request behind a generation as text that runs elsewhere: JSON, curl, Python. No secret is in it.

The key comes from the environment (``KLING_API_KEY``), an uploaded picture from a file beside the program.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.urls import reverse

from generations import services
from generations.models import Generation

FILES = ("first-frame", "last-frame")


@dataclass(frozen=True)
class Code:
    """One way to say it; ``name`` is what it is written in."""

    key: str
    name: str
    text: str


def codes(generation: Generation) -> list[Code]:
    """All ways, curl first."""
    return [
        Code("curl", "curl", as_curl(generation)),
        Code("python", "Python", as_python(generation)),
        Code("json", "JSON", as_json(generation)),
    ]


def as_json(generation: Generation) -> str:
    """The body of the request, for people to read; a file's name stands where its base64 goes."""
    request = _request(generation)
    if pictures := _pictures(generation):
        request["images"] = [text if is_url else f"<base64 of {text}>" for is_url, text in pictures]
    return json.dumps(request, ensure_ascii=False, indent=2)


def as_curl(generation: Generation) -> str:
    """A line for a POSIX shell. The body goes in by a pipe: an argument has no room for a picture."""
    call = (
        f"curl -X POST {shlex.quote(_address())} \\\n"
        '  -H "Authorization: Bearer $KLING_API_KEY" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        "  --data-binary @-"
    )
    request = json.dumps(_request(generation), ensure_ascii=False, indent=2)
    pictures = _pictures(generation)
    if not pictures:
        return f"{_print(request)} |\n{call}"
    steps = [_print(request.removesuffix("\n}") + ',\n  "images": [')]
    for number, (is_url, text) in enumerate(pictures):
        before = ", " if number else ""
        if is_url:
            steps.append(_print(before + json.dumps(text, ensure_ascii=False)))
        else:
            steps += [_print(before + '"'), f"base64 < {shlex.quote(text)} | tr -d '\\n'", _print('"')]
    steps.append(_print("]}"))
    return "{ " + ";\n  ".join(steps) + "; } |\n" + call


def _print(text: str) -> str:
    return f"printf '%s' {shlex.quote(text)}"


def as_python(generation: Generation) -> str:
    """A small program that needs `requests` alone."""
    lines = ["import os", "", "import requests", ""]
    pictures = _pictures(generation)
    if any(not is_url for is_url, _text in pictures):
        lines[0] = "import base64\nimport os"
        lines += ["", "def picture(name):"]
        lines += [
            '    with open(name, "rb") as file:',
            "        return base64.b64encode(file.read()).decode()",
        ]
        lines += ["", ""]
    body = [f'        "{key}": {value!r},' for key, value in _request(generation).items()]
    if pictures:
        listed = ", ".join(repr(text) if is_url else f"picture({text!r})" for is_url, text in pictures)
        body.append(f'        "images": [{listed}],')
    lines += [
        "answer = requests.post(",
        f"    {_address()!r},",
        '    headers={"Authorization": f"Bearer {os.environ[\'KLING_API_KEY\']}"},',
        "    json={",
        *body,
        "    },",
        "    timeout=60,",
        ")",
        "answer.raise_for_status()",
        'print(answer.json()["id"])',
    ]
    return "\n".join(lines)


def _address() -> str:
    return settings.PUBLIC_URL + reverse("api-generations")


def _request(generation: Generation) -> dict[str, Any]:
    """The fields of the wire but the pictures; what the model's name says already is left out."""
    metadata = dict(generation.metadata)
    if services.names_mode(generation):
        metadata["mode"] = generation.mode
    if generation.sound:
        metadata["sound"] = "on"
    request: dict[str, Any] = {
        "model": generation.model,
        "prompt": generation.prompt,
        "duration": generation.seconds,
        "size": generation.size,
    }
    return request | ({"metadata": metadata} if metadata else {})


def _pictures(generation: Generation) -> list[tuple[bool, str]]:
    """For each picture: whether it is an address, and the address or the name of a file."""
    found = []
    for image in generation.images.all():
        ending = "png" if image.content_type == "image/png" else "jpg"
        found.append((bool(image.url), image.url or f"{FILES[image.position]}.{ending}"))
    return found
