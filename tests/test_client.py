"""What each answer of upstream proves, spoken over real sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import threading
import time

import pytest
import trustme

from generations.omnimaas import client
from generations.omnimaas.errors import (
    AccountFault,
    Doubt,
    Missing,
    NotSent,
    Refused,
    Throttled,
    Unavailable,
)
from tests import scripted
from tests.crashes import start_task_process, wait_for
from tests.processes import wait_until
from tests.scripted import answer

ORDER = client.Order(
    external_id="11111111-2222-3333-4444-555555555555",
    model="kling-v2-6",
    prompt="一只可爱的小猫在草地上玩耍",
    seconds=5,
    size="9:16",
    mode="std",
    sound=False,
    names_mode=True,
    metadata={"negative_prompt": "blur"},
)


def gateway(url: str, **options) -> client.Gateway:
    return client.Gateway(base_url=url, key="sk-very-secret", **({"seconds": 5} | options))


def test_a_post_says_what_the_document_says():
    with scripted.serve(answer(200, {"id": "up-1"}, X_Oneapi_Request_Id="r1")) as upstream:
        sent = client.send(ORDER, gateway(upstream.url))
    assert (sent.upstream_id, sent.request_id) == ("up-1", "r1")
    head = upstream.requests[0].partition(b"\r\n\r\n")[0].decode().lower()
    assert head.startswith("post /v1/video/generations http/1.1")
    assert "authorization: bearer sk-very-secret" in head
    assert "content-type: application/json" in head
    body = upstream.bodies()[0]
    metadata = json.loads(body.pop("metadata"))
    assert body == {"model": "kling-v2-6", "prompt": ORDER.prompt, "duration": 5, "size": "9:16"}
    assert metadata == {
        "negative_prompt": "blur",
        "mode": "std",
        "aspect_ratio": "9:16",
        "external_task_id": ORDER.external_id,
    }


@pytest.mark.parametrize("seal", [True, False], ids=["over TLS", "plain"])
def test_an_answer_that_came_while_the_machine_stood_still_is_read(seal, tmp_path, monkeypatch):
    """Upstream has made it and said so: thrown away, it would be paid for and never seen."""
    asked, said = threading.Event(), threading.Event()

    def play(line: socket.socket) -> None:
        asked.set()
        said.wait(10)
        answer(200, {"id": "up-1"})(line)
        said.clear()

    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(tmp_path / "ca.pem"))
    with scripted.serve(play, seal=context if seal else None) as upstream:
        to = gateway(upstream.url, seconds=1)
        sender = start_task_process(lambda: (tmp_path / "id").write_text(client.send(ORDER, to).upstream_id))
        assert asked.wait(30)
        os.kill(sender, signal.SIGSTOP)
        said.set()
        wait_until(lambda: not said.is_set(), 10)
        time.sleep(1.2)  # longer than a POST may take
        os.kill(sender, signal.SIGCONT)
        assert wait_for(sender) == 0
    assert (tmp_path / "id").read_text() == "up-1"


def test_pictures_go_in_the_transport_of_the_settings():
    picture = client.Picture(data=b"jpeg", content_type="image/jpeg")
    order = client.Order(
        **{**ORDER.__dict__, "pictures": (picture, client.Picture(url="https://e.example/b.png"))}
    )
    body = client.build_body(order, gateway("http://x", metadata="object"))
    assert body["images"] == ["data:image/jpeg;base64,anBlZw==", "https://e.example/b.png"]
    assert body["image"] == body["images"][0]
    assert body["metadata"]["image_tail"] == "https://e.example/b.png"
    raw = client.build_body(order, gateway("http://x", image_transport="base64"))
    assert raw["images"][0] == "anBlZw=="


@pytest.mark.parametrize(
    ("play", "kind"),
    [
        (answer(429, {"error": {"message": "slow"}}), Throttled),
        (answer(400, {"code": 1303, "message": "parallel task over limit"}), Throttled),
        (answer(503, {"error": {"message": "no available channel for model"}}), Throttled),
        (answer(400, {"error": {"message": "bad size", "code": "invalid"}}), Refused),
        (answer(422, {"code": 1301, "message": "content policy"}), Refused),
        (answer(404, {"message": "no such model"}), Refused),
        (answer(401, {"error": {"message": "bad key"}}), AccountFault),
        (answer(402, b""), AccountFault),
        (answer(403, b"<html>"), AccountFault),
        (answer(429, {"code": 1102, "message": "balance"}), AccountFault),
        (answer(400, {"error": {"message": "x", "code": "insufficient_user_quota"}}), AccountFault),
        (answer(400, b"<html>proxy</html>"), Doubt),
        (answer(500, {"error": {"message": "oops"}}), Doubt),
        (answer(503, {"error": {"message": "maintenance"}}), Doubt),
        (answer(502, b"<html>Bad gateway</html>"), Doubt),
        (answer(200, {"status": "processing"}), Doubt),
        (answer(200, b"not json"), Doubt),
        (answer(200, {"id": "x" * 1_000_000}), Doubt),
        (answer(308, b"", Location="/elsewhere"), Doubt),
        (answer(302, b"", Location="/elsewhere"), Doubt),
        (scripted.reset, Doubt),
        (scripted.flood, Doubt),
    ],
)
def test_a_post_ends_in_the_kind_that_its_answer_proves(play, kind):
    with scripted.serve(play) as upstream, pytest.raises(kind) as error:
        client.send(ORDER, gateway(upstream.url))
    assert type(error.value) is kind
    assert len(upstream.requests) == 1, "a POST leaves once"
    assert "sk-very-secret" not in f"{error.value.message}{error.value.reply}"


def test_nobody_there_is_proof_that_nothing_was_sent():
    with scripted.serve(answer(200, {})) as gone:
        url = gone.url
    with pytest.raises(NotSent):
        client.send(ORDER, gateway(url))


def test_a_name_that_does_not_resolve_is_proof_too():
    with pytest.raises(NotSent):
        client.send(ORDER, gateway("http://no-such-host.invalid"))


def test_a_slow_drip_ends_at_the_deadline():
    begun = time.monotonic()
    with scripted.serve(scripted.drip) as upstream, pytest.raises(Doubt):
        client.send(ORDER, gateway(upstream.url, seconds=1))
    assert time.monotonic() - begun < 20


def test_an_upload_that_nobody_reads_ends_at_the_deadline():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        big = client.Picture(data=b"x" * 20_000_000, content_type="image/jpeg")
        order = client.Order(**{**ORDER.__dict__, "pictures": (big,)})
        begun = time.monotonic()
        with pytest.raises(Doubt):
            client.send(order, gateway(f"http://127.0.0.1:{deaf.getsockname()[1]}", seconds=1))
        assert time.monotonic() - begun < 20


def test_a_gzip_bomb_stops_at_the_cap():
    with scripted.serve(scripted.bomb) as upstream, pytest.raises(Unavailable):
        client.fetch("a", gateway(upstream.url))


def test_a_poll_reads_the_envelope():
    body = {"code": "success", "data": {"task_id": "a", "status": "IN_PROGRESS", "progress": "30%"}}
    with scripted.serve(answer(200, body)) as upstream:
        reading = client.fetch("a/../b?c", gateway(upstream.url))
    assert (reading.state, reading.progress) == ("running", 30)
    assert upstream.requests[0].startswith(b"GET /v1/video/generations/a%2F..%2Fb%3Fc HTTP")


@pytest.mark.parametrize(
    ("play", "kind"),
    [
        (answer(400, {"code": "task_not_exist", "message": "task_not_exist"}), Missing),
        (answer(404, b"<html>"), Missing),
        (answer(401, {}), AccountFault),
        (answer(403, {}), AccountFault),
        (answer(400, {"message": "strange"}), Unavailable),
        (answer(500, {}), Unavailable),
        (answer(200, b"<html>"), Unavailable),
        (answer(200, b"["), Unavailable),
        (answer(200, b"[" * 200_000), Unavailable),
        (scripted.reset, Unavailable),
        (scripted.flood, Unavailable),
    ],
)
def test_a_failing_poll_is_never_a_verdict(play, kind):
    with scripted.serve(play) as upstream, pytest.raises(kind) as error:
        client.fetch("a", gateway(upstream.url))
    assert type(error.value) is kind


@pytest.mark.parametrize(
    ("play", "alive"),
    [
        (answer(200, {"status": "processing"}), True),
        (answer(400, {"code": "task_not_exist"}), True),
        (answer(429, {}), True),
        (answer(401, {}), False),
        (answer(500, {"error": {"message": "x"}}), False),
        (scripted.reset, False),
    ],
)
def test_a_probe_asks_whether_somebody_is_there(play, alive):
    with scripted.serve(play) as upstream:
        assert client.alive(gateway(upstream.url), "a") is alive
