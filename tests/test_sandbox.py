"""The sandbox speaks the gateway's document to the letter, and remembers every POST."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from generations.omnimaas.sandbox import InUse, SandboxServer, table
from generations.omnimaas.sandbox.words import WORDS
from tests.drawing import drawn_once
from tests.sandboxes import HEADERS, KEY, QUICK, encoded, finished, get, made, picture, post

ROOT = Path(__file__).parent.parent
DOCUMENT = ["id", "object", "model", "created_at", "status", "progress"]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with drawn_once(), SandboxServer(tmp_path_factory.mktemp("sandbox"), **QUICK) as server:
        yield server


def message(response: requests.Response) -> str:
    error = response.json()["error"]
    assert sorted(error) == ["code", "message", "type"]
    return str(error["message"])


# The document


def test_a_submit_is_answered_as_the_document_says(sandbox: SandboxServer) -> None:
    response = post(sandbox, duration=5, size="16:9", model="kling-v2-6")
    body = response.json()
    assert response.status_code == 200
    assert list(body) == DOCUMENT
    assert body["object"] == "video"
    assert body["model"] == "kling-v2-6"
    assert body["status"] == "processing"
    assert body["progress"] == 0
    assert abs(body["created_at"] - time.time()) < 5
    assert len(response.headers["X-Oneapi-Request-Id"]) > 20


def test_a_finished_one_is_answered_as_the_document_says(sandbox: SandboxServer) -> None:
    submitted = post(sandbox).json()
    body = finished(sandbox, submitted["id"])
    assert list(body) == [*DOCUMENT, "url"]
    assert (body["status"], body["progress"]) == ("succeeded", 100)
    assert body["created_at"] == submitted["created_at"]
    assert body["url"] == f"{sandbox.url}/files/{body['id']}.mp4"


def test_the_link_leads_to_where_the_client_came_from(sandbox: SandboxServer) -> None:
    id = made(sandbox)["id"]
    address = sandbox.url.replace("127.0.0.1", "localhost")
    body = requests.get(f"{address}/v1/video/generations/{id}", headers=HEADERS, timeout=10).json()
    assert body["url"].startswith(address)
    forged = requests.get(
        f"{sandbox.url}/v1/video/generations/{id}", headers={**HEADERS, "Host": "a b"}, timeout=10
    )
    assert forged.json()["url"].startswith(sandbox.url)


def test_progress_moves_and_never_backwards(tmp_path: Path) -> None:
    with SandboxServer(tmp_path, speed=7, scale=0.125) as server:  # one second
        id, seen = post(server).json()["id"], []
        while (body := get(server, id).json())["status"] == "processing":
            assert list(body) == DOCUMENT
            seen.append(body["progress"])
            time.sleep(0.05)
    assert seen == sorted(seen)
    assert len(set(seen)) > 5
    assert seen[0] < 50
    assert seen[-1] <= 99


def test_an_unknown_id_is_a_400_as_the_family_has_it(sandbox: SandboxServer) -> None:
    response = get(sandbox, "task_nobody")
    assert response.status_code == 400
    assert response.json() == {"code": "task_not_exist", "message": "task_not_exist", "data": None}


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}])
def test_without_the_key_there_is_only_401(sandbox: SandboxServer, header: dict[str, str]) -> None:
    for method, path in (("POST", ""), ("GET", "/task_x")):
        url = f"{sandbox.url}/v1/video/generations{path}"
        response = requests.request(method, url, json={}, headers=header, timeout=10)
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "invalid_api_key"
        assert message(response)
    for path in ("/_journal", "/_polls", "/_faults"):
        assert requests.get(f"{sandbox.url}{path}", headers=header, timeout=10).status_code == 401


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"model": "kling-v9"}, "model"),
        ({"model": None}, "model"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "   "}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": "长" * 2501}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
        ({"duration": 7}, "duration"),
        ({"duration": "5"}, "duration"),
        ({"duration": 5.0}, "duration"),
        ({"duration": True}, "duration"),
        ({"size": "4:3"}, "size"),
        ({"size": 1}, "size"),
        ({"metadata": "{"}, "metadata"),
        ({"metadata": "[1]"}, "metadata"),
        ({"metadata": [1]}, "metadata"),
        ({"metadata": {"sound": "loud"}}, "sound"),
        ({"metadata": {"sound": "on"}}, "Sound"),
        ({"metadata": {"mode": "pro"}}, "mode"),
        ({"metadata": {"aspect_ratio": "4:3"}}, "aspect_ratio"),
        ({"metadata": '{"duration": 7}'}, "duration"),
        ({"metadata": {"negative_prompt": "x" * 2501}}, "negative_prompt"),
        ({"metadata": {"image_tail": "https://example.com/a.jpg"}}, "image_tail"),
        ({"images": "https://example.com/a.jpg"}, "images"),
        ({"images": ["ftp://example.com/a.jpg"]}, "images[0]"),
        ({"images": ["https://"]}, "images[0]"),
        ({"images": [3]}, "images[0]"),
        ({"images": ["bm90IGEgcGljdHVyZQ=="]}, "images[0]"),
        ({"images": [encoded(picture(size=(299, 400)))]}, "300 px"),
        ({"images": [encoded(picture(size=(800, 300)))]}, "ratio"),
        ({"images": [encoded(picture(kind="WEBP"))]}, "JPEG or PNG"),
        ({"images": [encoded(picture()[:-40])]}, "images[0]"),
        ({"images": [encoded(b"\0" * (10 * 1024 * 1024 + 1))]}, "10 MB"),
        ({"images": ["https://example.com/a.jpg"] * 3}, "one or two"),
        ({"images": ["https://example.com/a.jpg"] * 2}, "last frame"),
    ],
)
def test_what_the_document_does_not_allow_is_a_400(
    sandbox: SandboxServer, fields: dict[str, Any], says: str
) -> None:
    response = post(sandbox, **{"prompt": "ok", **fields})
    assert response.status_code == 400
    assert says in message(response)
    assert sandbox.journal()[-1]["outcome"] == "refused"
    assert sandbox.journal()[-1]["id"] is None


@pytest.mark.parametrize(
    "fields",
    [
        {"duration": 10, "size": "9:16"},
        {"metadata": '{"aspect_ratio": "9:16", "negative_prompt": "blur", "cfg_scale": 0.5}'},
        {"metadata": {"external_task_id": "mine", "watermark_info": {"enabled": False}}},
        {"metadata": ""},
        {"images": [encoded(picture())]},
        {"images": ["data:image/jpeg;base64," + encoded(picture(kind="JPEG"))]},
        {"image": encoded(picture())},
        {"images": [encoded(picture())], "image": encoded(picture())},
        {"model": "kling-v2-5-turbo-pro", "images": [encoded(picture()), encoded(picture("blue"))]},
        {"model": "kling-v2-6", "metadata": {"mode": "pro", "sound": "on"}},
        {
            "model": "kling-v2-6",
            "images": [encoded(picture())],
            "metadata": {"mode": "pro", "image_tail": encoded(picture("blue"))},
        },
    ],
)
def test_what_the_document_allows_is_made(sandbox: SandboxServer, fields: dict[str, Any]) -> None:
    assert made(sandbox, **fields)["status"] == "succeeded"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b"\xff", b'{"prompt": NaN}', b"[" * 400_000],
)
def test_what_is_no_json_object_is_a_400(sandbox: SandboxServer, body: bytes) -> None:
    headers = {**HEADERS, "Content-Type": "application/json"}
    response = requests.post(f"{sandbox.url}/v1/video/generations", data=body, headers=headers, timeout=10)
    assert response.status_code == 400
    assert "JSON" in message(response)


def test_another_content_type_is_a_400(sandbox: SandboxServer) -> None:
    response = requests.post(
        f"{sandbox.url}/v1/video/generations", data={"model": "kling-v2-6"}, headers=HEADERS, timeout=10
    )
    assert response.status_code == 400
    assert "Content-Type" in message(response)


def test_a_body_over_64_mb_is_a_413_before_it_is_read(sandbox: SandboxServer) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=10) as line:
        head = f"POST /v1/video/generations HTTP/1.1\r\nHost: x\r\nContent-Length: {64 * 1024**2 + 1}\r\n\r\n"
        line.sendall(head.encode() + b"{" * 100_000)
        assert line.recv(100).startswith(b"HTTP/1.1 413 ")
    assert sandbox.journal()[-1]["status"] == 413


def test_metadata_overrides_the_request_as_it_does_upstream(sandbox: SandboxServer) -> None:
    made(sandbox, duration=5, metadata={"duration": 10})
    assert sandbox.journal()[-1]["order"]["seconds"] == 10


def test_lines_are_kept_alive(sandbox: SandboxServer) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=10) as line:
        for _ in range(3):
            line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert line.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_unknown_addresses_are_404(sandbox: SandboxServer) -> None:
    for path in ("/v1/videos", "/files/../journal.jsonl", "/files/nobody.mp4", "/v1/video/generations/"):
        assert requests.get(f"{sandbox.url}{path}", headers=HEADERS, timeout=10).status_code == 404


def test_only_so_many_may_run(tmp_path: Path) -> None:
    with SandboxServer(tmp_path, max_running=3, scale=0.125) as server:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: post(server), range(8)))
        assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 5
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json()["error"]["code"] == 1303
        assert int(refused.headers["Retry-After"]) > 0


# The journal


def test_every_post_is_in_the_journal(sandbox: SandboxServer) -> None:
    before = len(sandbox.journal())
    body = post(sandbox, "日记", metadata={"external_task_id": "mine-1"}).json()
    post(sandbox, "", duration=5)
    requests.post(f"{sandbox.url}/v1/video/generations", json={}, timeout=10)
    first, second, third = sandbox.journal()[before:]
    assert (first["external_task_id"], first["prompt"]) == ("mine-1", "日记")
    assert (first["outcome"], first["status"], first["id"]) == ("created", 200, body["id"])
    assert (second["outcome"], second["status"], second["id"]) == ("refused", 400, None)
    assert (third["outcome"], third["status"], third["prompt"]) == ("refused", 401, None)
    over_http = requests.get(f"{sandbox.url}/_journal", headers=HEADERS, timeout=10).json()
    assert over_http == sandbox.journal()


def test_every_poll_is_remembered(sandbox: SandboxServer) -> None:
    earlier, before = len(sandbox.polls()), time.time()
    for id in ("task_1", "task_2", "task_1"):
        get(sandbox, id)
    over_http = requests.get(f"{sandbox.url}/_polls", headers=HEADERS, timeout=10).json()
    assert [line["id"] for line in over_http[earlier:]] == ["task_1", "task_2", "task_1"]
    times = [before, *(at for at, _id in sandbox.polls()[earlier:]), time.time()]
    assert times == sorted(times)


def test_a_restart_loses_nothing_and_finishes_what_was_begun(tmp_path: Path) -> None:
    server = SandboxServer(tmp_path, seconds=0.2, scale=0.125).start()
    port, done = server.port, made(server, "早")
    slow = post(server, "晚 [slow=0.4]", images=[encoded(picture())]).json()["id"]
    lines = server.journal()
    server.stop()
    assert server.journal() == lines
    (tmp_path / "films" / f"{slow}.mp4").unlink(missing_ok=True)
    with (tmp_path / "journal.jsonl").open("a") as journal:
        journal.write('{"outcome": "created", "id": "torn')  # as a crash leaves it
    with server:
        assert server.port == port
        assert get(server, done["id"]).json() == done
        assert finished(server, slow)["status"] == "succeeded"
        post(server, "next")
    assert [line["prompt"] for line in server.journal()] == ["早", "晚 [slow=0.4]", "next"]  # from the file


def test_two_sandboxes_do_not_share_a_folder(tmp_path: Path) -> None:
    with SandboxServer(tmp_path, **QUICK), pytest.raises(InUse):
        SandboxServer(tmp_path, **QUICK).start()
    with SandboxServer(tmp_path, **QUICK) as again:
        assert again.journal() == []


# The command


@pytest.fixture
def command(tmp_path: Path) -> Iterator[list[str]]:
    yield [sys.executable, str(ROOT / "manage.py"), "sandbox", "--dir", str(tmp_path)]


def started(command: list[str], *options: str) -> tuple[subprocess.Popen[str], str]:
    env = {**os.environ, "DEBUG": "1"}
    process = subprocess.Popen(
        [*command, "--port", "0", *options], stdout=subprocess.PIPE, text=True, env=env, cwd=ROOT
    )
    assert process.stdout is not None
    return process, process.stdout.readline().rsplit(" ", 1)[-1].strip()


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_told_to_end(command: list[str], name: signal.Signals) -> None:
    process, url = started(command, "--key", "other")
    try:
        assert requests.get(url, timeout=10).text == "The sandbox is open.\n"
        body = {"model": "kling-v2-6", "prompt": "x", "duration": 10}
        headers = {"Authorization": "Bearer other"}
        answer = requests.post(f"{url}/v1/video/generations", json=body, headers=headers, timeout=10)
        assert answer.status_code == 200
        process.send_signal(name)  # in the middle of making the film
        assert process.wait(timeout=3) == 0
    finally:
        process.kill()
        process.wait()


def test_kill_9_loses_nothing_that_was_answered(command: list[str], tmp_path: Path) -> None:
    process, url = started(command)
    try:
        body = {"model": "kling-v2-6", "prompt": "x"}
        id = requests.post(f"{url}/v1/video/generations", json=body, headers=HEADERS, timeout=10).json()["id"]
    finally:
        process.kill()
        process.wait()
    with SandboxServer(tmp_path, scale=0.125) as server:
        assert [line["id"] for line in server.journal()] == [id]
        assert get(server, id).json()["id"] == id


def test_the_help_names_every_word(command: list[str]) -> None:
    env = {**os.environ, "DEBUG": "1"}
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, env=env, timeout=60)
    assert table() in shown.stdout
    for word in WORDS:
        assert f"[{word}" in shown.stdout


def test_a_taken_port_is_one_clear_line(command: list[str], sandbox: SandboxServer) -> None:
    env = {**os.environ, "DEBUG": "1"}
    taken = [*command, "--port", str(sandbox.port)]
    shown = subprocess.run(taken, capture_output=True, text=True, env=env, timeout=60)
    assert shown.returncode == 1
    assert shown.stderr.count("\n") == 1
    assert "cannot start" in shown.stderr


def test_the_journal_is_json_lines_for_other_programs(sandbox: SandboxServer) -> None:
    post(sandbox)
    lines = (sandbox.directory / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == sandbox.journal()
