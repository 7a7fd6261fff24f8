"""The wire: what a program sends, and every word that it gets back."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import ApiKey, User
from accounts.quotas import current_wallet
from accounts.services import make_key, set_quota
from generations import services
from generations.models import Generation, InputImage, Status
from tests.api import GENERATIONS, TEXT, Api, error, finished
from tests.conftest import Work
from tests.makers import ask, claim_one, submitted

pytestmark = pytest.mark.django_db

CREATED = ["id", "task_id", "object", "model", "created_at", "status", "progress", "state"]


# --- create -------------------------------------------------------------------


@pytest.mark.sqlite
def test_a_create_is_answered_in_the_gateways_words(alice: User, alice_key: str) -> None:
    answer = Api(alice_key).create()
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    body = answer.json()
    assert list(body) == CREATED
    assert body["id"] == body["task_id"] == str(uuid.UUID(body["id"]))
    assert body | {"id": "", "task_id": "", "created_at": 0} == {
        "id": "",
        "task_id": "",
        "object": "video",
        "model": "kling-v2-5-turbo-std",
        "created_at": 0,
        "status": "processing",
        "progress": 0,
        "state": "queued",
    }
    assert type(body["created_at"]) is int
    assert abs(body["created_at"] - time.time()) < 60


@pytest.mark.sqlite
def test_a_create_holds_the_price_and_remembers_its_key(alice: User, alice_key: str) -> None:
    generation = Generation.objects.get(pk=Api(alice_key).create().json()["id"])
    assert (generation.user, generation.api_key) == (alice, ApiKey.objects.get())
    wallet = current_wallet(alice.quotas.get())
    assert (wallet.available, wallet.reserved) == (985, 15)


@pytest.mark.parametrize(
    "fields",
    [
        {"duration": 10},
        {"duration": "10"},
        {"size": "9:16"},
        {"size": "1280x720"},
        {"metadata": '{"negative_prompt": "blur"}'},
        {"metadata": {"negative_prompt": "blur"}},
        {"metadata": ""},
        {"images": []},
        {"images": ["https://example.com/a.jpg"]},
        {"images": ["http://example.com/a.jpg"]},
        {"image": "https://example.com/a.jpg"},
        {"duration": None, "size": None, "images": None, "metadata": None},
        {"prompt": "x" * 2500},
        {"prompt": "🦊" * 2500},
        {"model": "kling-v2-6", "metadata": {"sound": "on"}},
        {"model": "kling-v2-6", "images": ["https://example.com/a.jpg", "https://example.com/b.jpg"]},
        {
            "model": "kling-v2-6",
            "images": ["https://example.com/a.jpg"],
            "metadata": {"image_tail": "https://x.com/b"},
        },
    ],
)
def test_everything_that_the_contract_allows_is_taken(alice_key: str, fields: dict[str, Any]) -> None:
    answer = Api(alice_key).create(**fields)
    assert answer.status_code == 200, answer.content


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"]
)
def test_json_may_name_its_charset(alice_key: str, content_type: str) -> None:
    answer = Api(alice_key).post(GENERATIONS, TEXT, content_type=content_type)
    assert answer.status_code == 200


@pytest.mark.parametrize("form", ["{}", "data:image/jpeg;base64,{}"])
def test_a_picture_may_come_along_and_is_written_anew(alice_key: str, picture: Any, form: str) -> None:
    answer = Api(alice_key).create(images=[form.format(picture(640, 360))])
    assert answer.status_code == 200, answer.content
    image = InputImage.objects.get()
    assert (image.width, image.height, image.content_type, image.url) == (640, 360, "image/jpeg", "")
    assert image.file.size > 0


def test_whatever_accept_says_the_answer_is_json(alice_key: str) -> None:
    for accept in ("application/binary", "text/html", "video/mp4", "*/*;q=0", ""):
        answer = Api(alice_key).get("/v1/models", headers={"accept": accept})
        assert (answer.status_code, answer["Content-Type"]) == (200, "application/json"), accept


# --- money ----------------------------------------------------------------------


def test_an_empty_wallet_is_402_and_says_which_and_until_when(alice: User, alice_key: str) -> None:
    set_quota(alice, credits=10)
    answer = Api(alice_key).create()
    assert answer.status_code == 402
    refusal = error(answer)
    assert (refusal["type"], refusal["code"]) == ("insufficient_quota", "insufficient_quota")
    assert "10 credits left, this needs 15" in refusal["message"]
    assert not Generation.objects.exists()


def test_somebody_without_a_quota_is_told_so(alice: User, alice_key: str) -> None:
    bare = User.objects.create(username="bare")
    answer = Api(make_key(bare, label="x")[1]).create()
    assert (answer.status_code, error(answer)["code"]) == (402, "no_quota")


def test_a_keys_own_quota_pays_too_and_limits(alice: User, alice_key: str) -> None:
    set_quota(ApiKey.objects.get(), credits=20, period="total")
    api = Api(alice_key)
    assert api.create().status_code == 200
    refused = api.create()
    assert refused.status_code == 402
    assert "this key's total quota: 5 credits left" in error(refused)["message"].lower()
    assert current_wallet(alice.quotas.get()).available == 985


def test_the_quota_is_shown_with_every_wallet(alice: User, alice_key: str) -> None:
    set_quota(ApiKey.objects.get(), credits=20, period="total")
    api = Api(alice_key)
    api.create()
    body = api.get("/v1/quota").json()
    assert (body["object"], body["available"]) == ("quota", 5)
    own, key = body["data"]
    ends = current_wallet(alice.quotas.get()).ends_at
    assert ends
    assert own == {
        "scope": "user",
        "period": "month",
        "granted": 1000,
        "available": 985,
        "reserved": 15,
        "spent": 0,
        "expired": 0,
        "resets_at": int(ends.timestamp()),
    }
    assert (key["scope"], key["period"], key["available"], key["resets_at"]) == ("key", "total", 5, None)


def test_no_quota_is_an_empty_list(db: None) -> None:
    bare = User.objects.create(username="bare")
    answer = Api(make_key(bare, label="x")[1]).get("/v1/quota")
    assert answer.json() == {"object": "quota", "available": 0, "data": []}


def test_the_models_carry_rules_and_prices(alice_key: str) -> None:
    body = Api(alice_key).get("/v1/models").json()
    assert (body["object"], body["prompt_characters"], body["images"]) == ("list", 2500, 2)
    models = {model["id"]: model for model in body["data"]}
    assert set(models) == {"kling-v2-5-turbo-std", "kling-v2-5-turbo-pro", "kling-v2-6"}
    assert all(model["object"] == "model" and model["owned_by"] == "kling" for model in body["data"])
    assert models["kling-v2-6"]["modes"][1] == {
        "name": "pro",
        "resolution": "1080p",
        "last_frame": True,
        "sound": True,
        "credits_per_second": 5,
        "credits_per_second_with_sound": 10,
    }


# --- read -----------------------------------------------------------------------


def read(key: str, generation: Generation) -> dict[str, Any]:
    answer = Api(key).get(f"{GENERATIONS}/{generation.pk}")
    assert answer.status_code == 200
    return answer.json()


def test_an_open_one_is_processing_in_every_state(alice: User, alice_key: str) -> None:
    generation = submitted(alice)
    more = {"seconds": 5, "size": "16:9", "cost": 15}
    for state in (Status.QUEUED, Status.SUBMITTING, Status.RUNNING, Status.STORING, Status.UNKNOWN):
        Generation.objects.update(status=state, claim_token=uuid.uuid4(), progress=100)
        body = read(alice_key, generation)
        assert list(body) == [*CREATED, *more, "queue"]
        del body["queue"]  # see the tests of forecasts
        assert body | more == body
        assert (body["status"], body["state"], body["progress"]) == ("processing", state, 99)


def test_a_finished_one_has_a_url_and_its_time(alice: User, alice_key: str) -> None:
    body = read(alice_key, finished(alice))
    assert list(body) == [*CREATED, "seconds", "size", "cost", "completed_at", "url"]
    assert (body["status"], body["state"], body["progress"], body["cost"]) == (
        "succeeded",
        "succeeded",
        100,
        15,
    )
    assert body["created_at"] <= body["completed_at"] <= time.time() + 1


def test_a_canceled_one_is_failed_with_that_code(alice: User, alice_key: str) -> None:
    generation = services.cancel(ask(alice), actor=alice)
    body = read(alice_key, generation)
    assert list(body) == [*CREATED, "seconds", "size", "cost", "error"]
    assert (body["status"], body["state"], body["cost"]) == ("failed", "canceled", 0)
    assert body["error"]["code"] == "canceled"
    assert "Nothing was charged" in body["error"]["message"]


def test_a_refused_one_says_why_and_that_it_cost_nothing(alice: User, alice_key: str) -> None:
    generation = ask(alice)
    services.record_refused(claim_one(), code="content_policy", message="风险内容，请修改提示词。")
    body = read(alice_key, generation)
    assert (body["status"], body["state"], body["cost"]) == ("failed", "failed", 0)
    assert body["error"] == {
        "code": "content_policy",
        "message": "风险内容，请修改提示词。 Nothing was charged: all credits came back.",
    }


@pytest.mark.parametrize(
    ("code", "words"), [("unsent", "could not be sent"), ("never_confirmed", "never said")]
)
def test_a_failure_of_our_own_has_words_too(alice: User, alice_key: str, code: str, words: str) -> None:
    generation = ask(alice)
    Generation.objects.update(
        status=Status.FAILED, error_code=code, next_check_at=None, finished_at=timezone.now()
    )
    failure = read(alice_key, generation)["error"]
    assert failure["code"] == code
    assert words in failure["message"]


def test_nothing_of_upstream_leaks(alice: User, alice_key: str) -> None:
    generation = finished(alice)
    Generation.objects.update(
        upstream_id="up-secret", upstream_reply="reply-secret", result_url="https://cdn-secret.example/v.mp4"
    )
    text = Api(alice_key).get(f"{GENERATIONS}/{generation.pk}").content.decode()
    text += Api(alice_key).get(GENERATIONS).content.decode()
    assert "secret" not in text


def test_a_deleted_one_is_gone(alice: User, alice_key: str) -> None:
    generation = finished(alice)
    services.delete(generation, actor=alice)
    api = Api(alice_key)
    for path in ("", "/content"):
        assert api.get(f"{GENERATIONS}/{generation.pk}{path}").status_code == 404
    assert api.get(GENERATIONS).json()["data"] == []


@pytest.mark.parametrize(
    "ident",
    [
        "nothing",
        "123",
        "0",
        "5e7d6008-5102-4346-8b04-7e792629a9f50",
        "9C38B92C-2209-4E09-AA66-8A540C014B14",
        "%00",
    ],
)
def test_an_id_that_cannot_be_is_not_there(alice_key: str, ident: str) -> None:
    answer = Api(alice_key).get(f"{GENERATIONS}/{ident}")
    assert (answer.status_code, error(answer)["code"]) == (404, "not_found")


# --- cancel ---------------------------------------------------------------------


def test_a_queued_one_can_be_canceled_and_its_credits_are_back(alice: User, alice_key: str) -> None:
    api = Api(alice_key)
    ident = api.create().json()["id"]
    answer = api.post(f"{GENERATIONS}/{ident}/cancel")
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["error"]["code"]) == ("failed", "canceled")
    assert current_wallet(alice.quotas.get()).available == 1000


def test_a_sent_one_cannot_be_canceled(alice: User, alice_key: str) -> None:
    generation = submitted(alice)
    answer = Api(alice_key).post(f"{GENERATIONS}/{generation.pk}/cancel")
    assert (answer.status_code, error(answer)["code"]) == (409, "wrong_state")
    assert current_wallet(alice.quotas.get()).reserved == 15


@pytest.mark.sqlite
def test_canceling_twice_is_409_and_returns_once(alice: User, alice_key: str) -> None:
    api = Api(alice_key)
    path = f"{GENERATIONS}/{api.create().json()['id']}/cancel"
    assert [api.post(path).status_code for _ in range(2)] == [200, 409]
    assert current_wallet(alice.quotas.get()).available == 1000


# --- to the end -------------------------------------------------------------------


@pytest.mark.sqlite
def test_a_program_gets_its_video(alice_key: str, sandbox: Any, work: Work) -> None:
    """Create, poll, fetch by the link, as the gateway's samples do; everything in between is real."""
    api = Api(alice_key)
    created = api.create(size="1:1").json()
    work()
    video = api.get(f"{GENERATIONS}/{created['id']}").json()
    assert video["status"] == "succeeded", video
    path = video["url"].removeprefix("http://127.0.0.1:8000")
    film = b"".join(Api().get(path).streaming_content)
    assert film[4:8] == b"ftyp"
    assert len(film) > 1000


@pytest.mark.sqlite
def test_a_failure_upstream_reaches_the_program(
    alice: User, alice_key: str, sandbox: Any, work: Work
) -> None:
    api = Api(alice_key)
    created = api.create(prompt="a fox [fail=The fox ran away]").json()
    work()
    video = api.get(f"{GENERATIONS}/{created['id']}").json()
    assert (video["status"], video["cost"]) == ("failed", 0)
    assert video["error"]["message"] == "The fox ran away. Nothing was charged: all credits came back."
    assert current_wallet(alice.quotas.get()).available == 1000
