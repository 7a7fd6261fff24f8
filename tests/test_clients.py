"""The clients of four languages, run as real programs against the real platform: all send the same."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.core.signals import request_started

from accounts.models import User
from accounts.quotas import current_wallet
from generations.models import Generation, Status
from tests.conftest import Work

CLIENTS = Path(__file__).parent.parent / "clients"
SECONDS = 60.0
LANGUAGES = [
    pytest.param("curl", marks=pytest.mark.client("curl")),
    "python",
    pytest.param("node", marks=pytest.mark.client("node")),
    pytest.param("go", marks=pytest.mark.client("go")),
]
# What the gateway's own samples say in the headers of their requests; the rest is the library's talk.
SAID = ("HTTP_AUTHORIZATION", "CONTENT_TYPE")


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], list[str]]:
    """Compiles when it is first needed, once."""
    program = tmp_path_factory.mktemp("go") / "video"

    def compiled() -> list[str]:
        if not program.exists():
            source = CLIENTS / "go" / "video.go"
            environment = {**os.environ, "GO111MODULE": "off", "GOFLAGS": ""}
            subprocess.run(["go", "build", "-o", program, source], check=True, timeout=300, env=environment)
        return [str(program)]

    return compiled


@pytest.fixture
def command(go_program: Callable[[], list[str]]) -> Callable[[str], list[str]]:
    """How the client of a language is started."""

    def start(language: str) -> list[str]:
        return {
            "curl": lambda: ["sh", str(CLIENTS / "curl" / "video.sh")],
            "python": lambda: [sys.executable, str(CLIENTS / "python" / "video.py")],
            "node": lambda: ["node", str(CLIENTS / "node" / "video.mjs")],
            "go": go_program,
        }[language]()

    return start


@dataclass
class Heard:
    """A request as it arrived."""

    method: str
    path: str
    said: dict[str, str]
    body: Any = None


@dataclass
class Ear:
    requests: list[Heard] = field(default_factory=list)

    def listen(self, environ: dict[str, Any], **_: Any) -> None:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        said = {name: environ[name] for name in SAID if environ.get(name)}
        heard = Heard(
            environ["REQUEST_METHOD"], environ["PATH_INFO"], said, json.loads(body) if body else None
        )
        self.requests.append(heard)


@pytest.fixture
def ear() -> Iterator[Ear]:
    """Hears every request before the platform does."""
    ear = Ear()
    request_started.connect(ear.listen)
    yield ear
    request_started.disconnect(ear.listen)


@dataclass
class Run:
    code: int
    out: str
    err: str


@pytest.fixture
def run(
    live_server: Any, settings: Any, command: Callable[[str], list[str]], tmp_path: Path, work: Work
) -> Any:
    """Start a client, and be its worker until it ends."""
    settings.PUBLIC_URL = live_server.url

    def start(language: str, key: str, **environment: str) -> Run:
        client = subprocess.Popen(
            [*command(language), "film.mp4"],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "BASE_URL": live_server.url + "/",
                "API_KEY": key,
                "POLL_SECONDS": "0.2",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            deadline = time.monotonic() + SECONDS
            while client.poll() is None:
                assert time.monotonic() < deadline, f"{language} did not end"
                work()
                time.sleep(0.05)
            out, err = client.communicate(timeout=10)
            return Run(client.returncode, out, err)
        finally:
            client.kill()

    return start


def test_there_is_a_client_for_each_language_and_a_tool_for_each_here() -> None:
    assert sorted(path.name for path in CLIENTS.iterdir()) == ["curl", "go", "node", "python"]
    assert shutil.which("sh")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_client_makes_a_video_and_saves_it(
    language: str, alice: User, alice_key: str, sandbox: Any, run: Any, ear: Ear, tmp_path: Path
) -> None:
    done = run(language, alice_key)
    assert done.code == 0, done.err
    generation = Generation.objects.get()
    assert done.out.split() == ["taken:", str(generation.pk), "saved:", "film.mp4"]
    assert (tmp_path / "film.mp4").read_bytes() == generation.video.file.read()
    assert current_wallet(alice.quotas.get()).spent == generation.price == 15

    create, *reads, fetch = ear.requests
    key = f"Bearer {alice_key}"
    assert (create.method, create.path) == ("POST", "/v1/video/generations")
    assert create.said == {"HTTP_AUTHORIZATION": key, "CONTENT_TYPE": "application/json"}
    assert create.body == {
        "model": "kling-v2-6",
        "prompt": "一只小狐狸在雪地里追逐落叶",
        "duration": 5,
        "size": "16:9",
    }
    for read in reads:
        assert (read.method, read.path) == ("GET", f"/v1/video/generations/{generation.pk}")
        assert read.said.get("HTTP_AUTHORIZATION") == key
        assert read.body is None
    assert (fetch.method, fetch.path) == ("GET", f"/v1/video/generations/{generation.pk}/content")
    assert "HTTP_AUTHORIZATION" not in fetch.said


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_client_sets_a_picture_in_motion(
    language: str, alice_key: str, sandbox: Any, run: Any, ear: Ear, tmp_path: Path, picture: Any
) -> None:
    image = base64.b64decode(picture(640, 360))
    (tmp_path / "first.jpg").write_bytes(image)
    done = run(language, alice_key, IMAGE="first.jpg")
    assert done.code == 0, done.err
    assert ear.requests[0].body["images"] == [base64.b64encode(image).decode()]
    assert Generation.objects.get().images.get().width == 640


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_client_shows_a_refusal_in_our_words(language: str, db: None, run: Any, tmp_path: Path) -> None:
    done = run(language, "nonsense")
    assert done.code == 1
    assert "invalid_api_key" in done.err
    assert not (tmp_path / "film.mp4").exists()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_client_shows_why_a_video_failed(
    language: str, alice_key: str, sandbox: Any, run: Any, ear: Ear, tmp_path: Path
) -> None:
    sandbox.misbehave("fail", "The fox ran away")
    done = run(language, alice_key)
    assert done.code == 1
    assert "The fox ran away" in done.err
    assert Generation.objects.get().status == Status.FAILED
    assert not (tmp_path / "film.mp4").exists()
