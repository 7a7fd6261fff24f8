"""Every shape in which the gateway or its family may answer is understood, and nothing else is a verdict."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.omnimaas import reader

URL = "https://cdn.example.com/v.mp4?sign=abc"


@pytest.mark.parametrize(
    "body",
    [
        {
            "id": "a",
            "object": "video",
            "model": "kling-v2-6",
            "status": "succeeded",
            "progress": 100,
            "url": URL,
        },
        {"id": "a", "status": "completed", "metadata": {"url": URL}},
        {"id": "a", "status": " Completed ", "video_url": URL},
        {"task_id": "a", "status": "SUCCESS", "video": {"url": URL}},
        {"code": "success", "message": "", "data": {"task_id": "a", "status": "SUCCESS", "result_url": URL}},
        {
            "code": "success",
            "data": {"task_id": "a", "status": "SUCCESS", "progress": "100%", "fail_reason": URL},
        },
        {
            "code": "success",
            "data": {
                "status": "SUCCESS",
                "data": {"data": {"task_result": {"videos": [{"url": URL}]}}},
            },
        },
        {"code": 0, "data": {"status": "succeed", "task_result": {"videos": [{"url": URL}]}}},
        {"code": "success", "data": {"task_id": "a", "status": "succeeded", "url": URL, "format": "mp4"}},
        {"status": "done", "data": [{"url": URL}]},
    ],
)
def test_success_is_read_with_its_url(body):
    reading = reader.read(body)
    assert (reading.state, reading.url) == ("succeeded", URL)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("NOT_START", "queued"),
        ("submitted", "queued"),
        ("Preparing", "queued"),
        ("IN_PROGRESS", "running"),
        ("processing", "running"),
        ("FAILURE", "failed"),
        ("cancelled", "failed"),
    ],
)
def test_status_words_of_all_families(word, state):
    reading = reader.read({"status": word})
    assert (reading.state, reading.word) == (state, "")


@pytest.mark.parametrize("word", ["UNKNOWN", "", None, 7, "paused", {"a": 1}, "succeeded!"])
def test_an_unknown_word_means_still_running(word):
    reading = reader.read({"status": word, "url": URL})
    assert reading.state == "running"
    assert reading.url == ""
    assert reading.word


def test_a_link_in_fail_reason_is_no_result_of_a_failure():
    reading = reader.read({"code": "success", "data": {"status": "FAILURE", "fail_reason": URL}})
    assert (reading.state, reading.url, reading.error_message) == ("failed", "", URL)


@pytest.mark.parametrize(
    ("value", "percent"),
    [
        (30, 30),
        ("30%", 30),
        ("7", 7),
        (99.9, 99),
        (140, 100),
        (-3, 0),
        ("x", None),
        (None, None),
        (True, None),
        (float("nan"), None),
        ("9" * 400, None),
    ],
)
def test_progress_is_clamped_or_absent(value, percent):
    assert reader.read({"status": "running", "progress": value}).progress == percent


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"message": "no", "type": "t", "code": "1301"}}, ("1301", "no")),
        ({"code": "invalid", "message": "bad size", "data": None}, ("invalid", "bad size")),
        ({"error": "plain"}, ("", "plain")),
        ({"code": 1303, "message": "busy"}, ("1303", "busy")),
        ([], ("", "")),
        (None, ("", "")),
    ],
)
def test_errors_of_every_shape(body, expected):
    assert reader.read_error(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"id": ""},
        {"id": None},
        {"id": "x" * 192},
        {"id": "a\nb"},
        {"id": {"a": 1}},
        [],
        "id",
        {"id": True},
    ],
)
def test_an_answer_without_a_usable_id_has_none(body):
    assert reader.read_id(body) == ""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"id": "a", "task_id": "b"}, "a"),
        ({"task_id": "b"}, "b"),
        ({"code": "success", "data": {"task_id": "c"}}, "c"),
        ({"id": 12345}, "12345"),
    ],
)
def test_the_id_is_found(body, expected):
    assert reader.read_id(body) == expected


def test_evidence_hides_our_key_and_signed_links():
    shown = reader.evidence(
        '{"k":"sk-secret","u":"https://a.example/b.mp4?sign=1"} Bearer abc.def', "sk-secret"
    )
    assert "sk-secret" not in shown
    assert "sign=1" not in shown
    assert "abc.def" not in shown
    assert "https://a.example/b.mp4?…" in shown


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["status", "data", "url", "code", "error", "progress", "id", "fail_reason", "quota", "x"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_body_is_too_strange_and_none_makes_a_verdict_of_its_own(body):
    reading = reader.read(body)
    assert reading.state in {"queued", "running", "succeeded", "failed"}
    assert reading.progress is None or 0 <= reading.progress <= 100
    if reading.state in {"succeeded", "failed"}:
        word = reader.unwrap(body)["status"].strip().casefold()
        assert word in reader.SUCCEEDED | reader.FAILED
    reader.read_id(body)
    reader.read_error(body)
    reader.evidence(json.dumps(body, default=str), "k")
