"""Every word of the table does what the table says, and the journal knows what was really created."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
import requests

from generations.omnimaas.sandbox import SandboxServer
from generations.omnimaas.sandbox.words import WORDS, words_in
from tests.drawing import drawn_once
from tests.sandboxes import HEADERS, QUICK, Film, finished, get, made, post


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with drawn_once(), SandboxServer(tmp_path_factory.mktemp("sandbox"), **QUICK) as server:
        yield server


# Submitting


@pytest.mark.parametrize(
    ("word", "status", "code"),
    [
        ("refuse", 400, 1301),
        ("429", 429, 1303),
        ("503", 503, "no_available_channel"),
        ("401", 401, "invalid_api_key"),
        ("broke", 429, 1102),
        ("500-before", 500, "internal_error"),
        ("html-before", 502, None),
    ],
)
def test_some_words_refuse_and_create_nothing(
    sandbox: SandboxServer, word: str, status: int, code: object
) -> None:
    response = post(sandbox, f"小猫 [{word}]")
    assert response.status_code == status
    if code is None:
        assert response.text.startswith("<!DOCTYPE html>")
    else:
        assert response.json()["error"]["code"] == code
    line = sandbox.journal()[-1]
    assert (line["outcome"], line["status"], line["id"], line["detail"]) == ("fault", status, None, word)


def test_the_line_breaks_before_anything_was_created(sandbox: SandboxServer) -> None:
    with pytest.raises(requests.ConnectionError):
        post(sandbox, "[break-before]")
    line = sandbox.journal()[-1]
    assert (line["outcome"], line["status"], line["id"]) == ("fault", None, None)


@pytest.mark.parametrize(
    ("word", "status"), [("500", 500), ("html", 502), ("no-id", 200), ("garbage", 200), ("break", None)]
)
def test_some_words_create_and_do_not_say_so(sandbox: SandboxServer, word: str, status: int | None) -> None:
    if status is None:
        with pytest.raises(requests.ConnectionError):
            post(sandbox, f"[{word}]")
    else:
        response = post(sandbox, f"[{word}]")
        assert response.status_code == status
        assert "task_" not in response.text or word == "garbage"
    line = sandbox.journal()[-1]
    assert (line["outcome"], line["status"]) == ("created", status)
    assert finished(sandbox, line["id"])["status"] == "succeeded"


@pytest.mark.parametrize("word", ["late", "drip-reply"])
def test_an_answer_can_come_late_or_slowly(sandbox: SandboxServer, word: str) -> None:
    start = time.monotonic()
    assert post(sandbox, f"[{word}=0.5]").json()["id"]
    assert 0.45 < time.monotonic() - start < 3


def test_stopping_does_not_wait_for_late_answers(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = SandboxServer(tmp_path_factory.mktemp("late"), **QUICK).start()
    with pytest.raises(requests.Timeout):
        requests.post(
            f"{server.url}/v1/video/generations",
            json={"model": "kling-v2-6", "prompt": "[late]"},
            headers=HEADERS,
            timeout=0.3,
        )
    start = time.monotonic()
    server.stop()
    assert time.monotonic() - start < 2


def test_a_number_says_how_often_the_same_one_is_refused(sandbox: SandboxServer) -> None:
    mine = {"metadata": {"external_task_id": "twice"}}
    answers = [post(sandbox, "[429=2]", **mine).status_code for _ in range(4)]
    assert answers == [429, 429, 200, 200]
    assert post(sandbox, "[429=2]", metadata={"external_task_id": "other"}).status_code == 429


# The work


def test_it_can_fail_with_a_reason(sandbox: SandboxServer) -> None:
    assert made(sandbox, "[fail]")["error"]["message"] == WORDS["fail"].default
    body = made(sandbox, "[fail=太暗了]")
    assert (body["status"], body["progress"]) == ("failed", 60)
    assert body["error"] == {"message": "太暗了", "code": "task_failed"}
    assert "url" not in body


def test_slow_takes_so_many_seconds_more(sandbox: SandboxServer) -> None:
    start = time.monotonic()
    assert made(sandbox, "[slow=0.6]")["status"] == "succeeded"
    assert time.monotonic() - start >= 0.6


def test_stuck_never_finishes(sandbox: SandboxServer) -> None:
    id = post(sandbox, "[stuck]").json()["id"]
    time.sleep(0.2)
    body = get(sandbox, id).json()
    assert (body["status"], body["progress"]) == ("processing", 99)


@pytest.mark.parametrize("size", ["16:9", "9:16"])
def test_the_ratio_can_be_wrong(sandbox: SandboxServer, size: str) -> None:
    wide, tall = Film(made(sandbox, "[wrong-ratio]", size=size)["url"]).size
    assert (wide > tall) == (size == "9:16")


# Asking


@pytest.mark.parametrize(
    ("word", "status"),
    [("lost", 400), ("poll-429", 429), ("poll-500", 500), ("poll-401", 401), ("poll-html", 502)],
)
def test_asking_can_go_wrong_for_a_while(sandbox: SandboxServer, word: str, status: int) -> None:
    id = post(sandbox, f"[{word}=2]").json()["id"]
    assert [get(sandbox, id).status_code for _ in range(3)] == [status, status, 200]
    always = post(sandbox, f"[{word}]").json()["id"]
    assert {get(sandbox, always).status_code for _ in range(3)} == {status}


def test_the_line_can_break_on_asking(sandbox: SandboxServer) -> None:
    id = post(sandbox, "[poll-break=1]").json()["id"]
    with pytest.raises(requests.ConnectionError):
        get(sandbox, id)
    assert get(sandbox, id).status_code == 200


def settled(sandbox: SandboxServer, prompt: str) -> dict[str, Any]:
    """What asking says once it is over, whatever its shape."""
    id = post(sandbox, prompt).json()["id"]
    early = body = get(sandbox, id).json()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        ended = body != early or "FAILURE" in str(body)  # a failure may be there before the first look
        if ended and "IN_PROGRESS" not in str(body) and "processing" not in str(body):
            return body
        time.sleep(0.05)
        body = get(sandbox, id).json()
    raise AssertionError(body)


def test_the_envelope_is_the_familys(sandbox: SandboxServer) -> None:
    id = post(sandbox, "[envelope][stuck]").json()["id"]
    body = get(sandbox, id).json()
    assert (body["code"], body["data"]["status"], body["data"]["task_id"]) == ("success", "IN_PROGRESS", id)
    assert body["data"]["progress"].endswith("%")
    data = settled(sandbox, "[envelope]")["data"]
    assert (data["status"], data["progress"], data["fail_reason"]) == ("SUCCESS", "100%", "")
    assert Film(data["result_url"]).codec == "h264"
    failed = settled(sandbox, "[envelope][fail=why]")["data"]
    assert (failed["status"], failed["fail_reason"]) == ("FAILURE", "why")


def test_older_builds_put_the_link_into_the_reason(sandbox: SandboxServer) -> None:
    data = settled(sandbox, "[url-in-reason]")["data"]
    assert "result_url" not in data
    assert Film(data["fail_reason"]).codec == "h264"
    failed = settled(sandbox, "[url-in-reason][fail=why]")["data"]
    assert (failed["status"], failed["fail_reason"]) == ("FAILURE", "why")


def test_the_simple_envelope_has_the_link_in_data(sandbox: SandboxServer) -> None:
    data = settled(sandbox, "[simple]")["data"]
    assert (data["status"], data["error"]) == ("succeeded", None)
    assert Film(data["url"]).codec == "h264"


def test_a_status_that_nobody_knows_ends_well(sandbox: SandboxServer) -> None:
    id = post(sandbox, "[odd-status][slow=0.5]").json()["id"]
    deadline = time.monotonic() + 20
    seen = [get(sandbox, id).json()["status"]]
    while seen[-1] == "polishing_pixels" and time.monotonic() < deadline:
        time.sleep(0.05)
        seen.append(get(sandbox, id).json()["status"])
    assert len(seen) > 1
    assert seen[-1] == "succeeded"


def test_success_can_come_without_a_link(sandbox: SandboxServer) -> None:
    first = made(sandbox, "[no-url=1]")
    assert first["status"] == "succeeded"
    assert "url" not in first
    assert get(sandbox, first["id"]).json()["url"]


# The file


def test_an_expired_link_is_followed_by_a_fresh_one(sandbox: SandboxServer) -> None:
    first = made(sandbox, "[expired]")
    second = get(sandbox, first["id"]).json()
    assert first["url"] != second["url"]
    assert requests.get(first["url"], timeout=10).status_code == 403
    assert Film(second["url"]).codec == "h264"
    assert requests.get(first["url"], timeout=10).status_code == 403


def test_a_dead_link_stays_dead(sandbox: SandboxServer) -> None:
    body = made(sandbox, "[dead]")
    for _ in range(2):
        assert requests.get(get(sandbox, body["id"]).json()["url"], timeout=10).status_code == 404


def test_the_file_can_be_torn_off(sandbox: SandboxServer) -> None:
    url = made(sandbox, "[truncated]")["url"]
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        _ = requests.get(url, timeout=10).content


def test_half_a_file_looks_whole_and_is_not(sandbox: SandboxServer) -> None:
    data = requests.get(made(sandbox, "[half-file]")["url"], timeout=10).content
    assert data[4:8] == b"ftyp"
    with av.open(io.BytesIO(data)) as container:
        frames = 0
        with pytest.raises((av.error.InvalidDataError, StopIteration)):
            for _ in container.decode(video=0):
                frames += 1
            assert frames == 120
            raise AssertionError("it could be decoded to the end")


def test_a_page_can_stand_where_the_video_should(sandbox: SandboxServer) -> None:
    response = requests.get(made(sandbox, "[not-video]")["url"], timeout=10)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_the_file_can_drip(sandbox: SandboxServer) -> None:
    start = time.monotonic()
    assert Film(made(sandbox, "[drip=0.5]")["url"]).codec == "h264"
    assert time.monotonic() - start > 0.45


def test_the_file_can_be_elsewhere(sandbox: SandboxServer) -> None:
    url = made(sandbox, "[redirect]")["url"]
    assert requests.get(url, timeout=10, allow_redirects=False).status_code == 302
    assert Film(url).codec == "h264"


# Words and orders


def test_only_known_words_with_usable_values_count() -> None:
    assert words_in("[slow=3] [Slow=4] [nothing] [429] slow=5 [fail=a b]") == {
        "slow": "3",
        "429": "",
        "fail": "a b",
    }
    assert words_in("[slow=-1][late=soon]") == {"slow": "20", "late": "90"}


def test_the_next_requests_can_be_ordered_to_go_wrong(sandbox: SandboxServer) -> None:
    orders = [{"word": "500", "times": 2}, {"word": "fail", "value": "on order"}, {"word": "poll-500"}]
    address = f"{sandbox.url}/_faults"
    left = requests.post(address, json=orders, headers=HEADERS, timeout=10).json()
    assert [order["times"] for order in left] == [2, 1, 1]
    assert [post(sandbox, "plain").status_code for _ in range(3)] == [500, 500, 200]
    first, _, third = sandbox.journal()[-3:]
    assert get(sandbox, third["id"]).status_code == 500
    assert finished(sandbox, first["id"])["error"]["message"] == "on order"
    assert finished(sandbox, third["id"])["status"] == "succeeded"
    assert requests.get(address, headers=HEADERS, timeout=10).json() == []


def test_orders_can_be_taken_back(sandbox: SandboxServer) -> None:
    sandbox.misbehave("429", times=5)
    assert requests.delete(f"{sandbox.url}/_faults", headers=HEADERS, timeout=10).json() == []
    assert post(sandbox).status_code == 200


@pytest.mark.parametrize("order", [{"word": "nonsense"}, {}, "429", {"word": "429", "times": 0}, [[]]])
def test_a_wrong_order_is_refused(sandbox: SandboxServer, order: object) -> None:
    response = requests.post(f"{sandbox.url}/_faults", json=order, headers=HEADERS, timeout=10)
    assert response.status_code == 400
    assert response.json()["error"]["message"]


def test_every_word_of_the_table_is_tried_here() -> None:
    source = Path(__file__).read_text()
    for word in WORDS:
        assert f"[{word}" in source or f'"{word}"' in source, word
