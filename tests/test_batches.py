"""Many in one call: checked and priced together, made together, counted, paused, canceled; never a credit astray."""

from __future__ import annotations

import threading
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from accounts.models import ApiKey, Team, User, Wallet
from accounts.services import make_key, set_quota
from accounts.services.keys import Limits
from generations import dispatch, services
from generations.models import Batch, Generation, Status
from kling_platform.errors import PlatformError
from tests.api import TEXT, Api, error, everything
from tests.makers import ask, make_user
from tests.test_api_queries import at_most

pytestmark = pytest.mark.django_db

BATCHES = "/v1/batches"
BAD = TEXT | {"duration": 7}


def requests(count: int) -> list[dict[str, Any]]:
    return [TEXT | {"prompt": f"number {n}"} for n in range(1, count + 1)]


def make(key: str, wanted: list[Any], query: str = "", **options: Any) -> Any:
    return Api(key).post(BATCHES + query, {"requests": wanted, **options})


def made(key: str, count: int, **options: Any) -> Batch:
    answer = make(key, requests(count), **options)
    assert answer.status_code == 200, answer.content
    return Batch.objects.get(pk=answer.json()["id"])


def sent() -> Generation:
    (claim,) = dispatch.claim(1)
    return Generation.objects.get(pk=claim.generation_id)


def fail(key: str = "") -> None:
    """The next one is sent, and upstream refuses it."""
    (claim,) = dispatch.claim(1)
    assert services.record_refused(claim, code="content_policy", message="no", reply="")


def all_is_well() -> None:
    out = StringIO()
    call_command("verify", stdout=out)


# --- made --------------------------------------------------------------------------------


@pytest.mark.sqlite
def test_two_hundred_are_made_in_one_call_in_order(alice: User, alice_key: str) -> None:
    set_quota(alice, credits=3_000)
    api = Api(alice_key)
    answer = make(alice_key, requests(200), name="spring")
    body = answer.json()
    assert (body["object"], body["status"], body["asked"], body["errors"]) == ("batch", "processing", 200, [])
    assert (body["counts"]["queued"], body["cost"]) == (200, {"held": 3_000, "charged": 0})
    assert api.get(f"{BATCHES}/{body['id']}").json() == body
    page = api.get(f"/v1/video/generations?batch={body['id']}&order=asc&limit=100").json()["data"]
    assert [video["batch_line"] for video in page] == list(range(1, 101))
    assert Generation.objects.get(batch_line=77).prompt == "number 77"
    assert [batch["name"] for batch in api.get(BATCHES).json()["data"]] == ["spring"]
    all_is_well()


@pytest.mark.postgres
def test_the_database_is_asked_no_more_for_two_hundred_than_for_two(alice: User, alice_key: str) -> None:
    set_quota(alice, credits=10_000)
    Api(alice_key).get("/v1/models")
    with at_most(14):  # key, rate, teams, wallets, batch, rows, events, 3 for tags, wake-up, wallet, journal
        assert make(alice_key, [TEXT | {"tags": ["a"]}] * 2).status_code == 200
    with at_most(14):
        assert make(alice_key, [TEXT | {"tags": ["a"]}] * 200).status_code == 200
    with at_most(3):
        assert len(Api(alice_key).get(BATCHES).json()["data"]) == 2


def test_one_bad_line_refuses_all_and_names_itself(alice_key: str) -> None:
    before = everything()
    answer = make(alice_key, [TEXT, BAD, TEXT, "no object"])
    assert (answer.status_code, error(answer)["code"]) == (400, "invalid_value")
    assert error(answer)["param"] == "requests[1].duration"
    assert "2 requests" in error(answer)["message"]
    assert everything() == before
    assert not Batch.objects.exists()


def test_best_effort_makes_what_passes_and_lists_the_rest(alice_key: str) -> None:
    body = make(alice_key, [TEXT, BAD, TEXT | {"tags": "x"}, TEXT], mode="best_effort").json()
    assert body["counts"]["queued"] == 2
    assert [(e["line"], e["param"]) for e in body["errors"]] == [(2, "duration"), (3, "tags")]
    assert sorted(Generation.objects.values_list("batch_line", flat=True)) == [1, 4]


def test_best_effort_with_nothing_that_passes_is_refused(alice_key: str) -> None:
    answer = make(alice_key, [BAD, BAD], mode="best_effort")
    assert answer.status_code == 400
    assert not Batch.objects.exists()


def test_all_or_nothing_needs_credits_for_all(alice: User, alice_key: str) -> None:
    set_quota(alice, credits=44)
    before = everything()
    answer = make(alice_key, requests(3))
    assert (answer.status_code, error(answer)["code"]) == (402, "insufficient_quota")
    assert "this needs 45" in error(answer)["message"]
    assert everything() == before


@pytest.mark.sqlite
def test_best_effort_spends_what_is_there_in_order(alice: User, alice_key: str) -> None:
    set_quota(alice, credits=44)
    dear = TEXT | {"duration": 10}
    body = make(alice_key, [TEXT, dear, TEXT], mode="best_effort").json()
    assert [e["code"] for e in body["errors"]] == ["insufficient_quota"]
    assert (body["errors"][0]["line"], body["cost"]["held"]) == (2, 30)
    all_is_well()


def test_every_wallet_that_applies_pays_for_the_whole(alice: User, alice_key: str) -> None:
    set_quota(ApiKey.objects.get(), credits=100)
    assert make(alice_key, requests(7)).status_code == 402
    assert make(alice_key, requests(6)).status_code == 200
    assert sorted(Wallet.objects.values_list("reserved", flat=True)) == [90, 90]
    all_is_well()


def test_a_batch_is_made_for_one_team_that_pays_too(alice: User, alice_key: str) -> None:
    films, ads = (Team.objects.create(name=name) for name in ("films", "ads"))
    alice.teams.add(films, ads)
    set_quota(films, credits=30)
    assert make(alice_key, requests(3), team="films").status_code == 402
    body = make(alice_key, requests(3), team="films", mode="best_effort", visibility="team").json()
    assert (body["counts"]["queued"], body["errors"][0]["line"]) == (2, 3)
    assert set(Generation.objects.values_list("team", "visibility")) == {(films.pk, "team")}
    answer = make(alice_key, [TEXT | {"team": "ads"}], team="films")
    assert (answer.status_code, error(answer)["param"]) == (400, "requests[0].team")
    assert error(make(alice_key, requests(1), team="strangers"))["param"] == "team"
    all_is_well()


def test_a_keys_own_limits_hold_for_a_batch(alice: User) -> None:
    _key, text = make_key(alice, label="few", limits=Limits(most_open=3))
    assert make(text, requests(4)).status_code == 429
    body = make(text, requests(4), mode="best_effort").json()
    assert (body["counts"]["queued"], body["errors"][0]["code"]) == (3, "too_many_open")
    _key, text = make_key(alice, label="one model", limits=Limits(model_names=("kling-v2-6",)))
    assert make(text, requests(1)).status_code == 403


def test_a_dry_run_says_what_would_happen_and_does_nothing(alice: User, alice_key: str) -> None:
    set_quota(alice, credits=40)
    before = everything()
    quote = make(alice_key, [TEXT, BAD, TEXT, TEXT], "?dry_run=1").json()
    assert (quote["object"], quote["asked"], quote["passed"], quote["price"]) == ("batch.quote", 4, 3, 45)
    assert (quote["can_pay"], quote["refusal"]["code"]) == (False, "insufficient_quota")
    assert [(e["line"], e["param"]) for e in quote["errors"]] == [(2, "duration")]
    assert quote["wallets"][0]["available"] == 40
    assert make(alice_key, [TEXT], "?dry_run=1").json()["can_pay"] is True
    assert everything() == before


def test_a_batch_that_is_sent_twice_is_made_once(alice_key: str) -> None:
    api, body = Api(alice_key), {"requests": requests(2)}
    first, second = (api.post(BATCHES, body, headers={"idempotency-key": "k"}) for _ in range(2))
    assert first.json() == second.json()
    assert second["Idempotent-Replayed"] == "true"
    other = api.post(BATCHES, {"requests": requests(3)}, headers={"idempotency-key": "k"})
    assert other.status_code == 422
    assert (Batch.objects.count(), Generation.objects.count()) == (1, 2)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "requests"),
        ({"requests": []}, "requests"),
        ({"requests": {}}, "requests"),
        ({"requests": [TEXT] * 201}, "requests"),
        ({"requests": [TEXT], "mode": "some"}, "mode"),
        ({"requests": [TEXT], "mode": ["best_effort"]}, "mode"),
        ({"requests": [TEXT], "name": 5}, "name"),
        ({"requests": [TEXT], "name": "x" * 101}, "name"),
        ({"requests": [TEXT], "stop_at_failure_rate": 1}, "stop_at_failure_rate"),
        ({"requests": [TEXT], "stop_at_failure_rate": -0.1}, "stop_at_failure_rate"),
        ({"requests": [TEXT], "stop_at_failure_rate": "0.5"}, "stop_at_failure_rate"),
        ({"requests": [TEXT], "stop_at_failure_rate": True}, "stop_at_failure_rate"),
        ({"requests": [TEXT], "n": 2}, "n"),
        ({"requests": [TEXT | {"n": 2}]}, "requests[0].n"),
        ({"requests": [None]}, "requests[0]"),
    ],
)
def test_a_bad_batch_is_400_and_named(alice_key: str, body: Any, param: str) -> None:
    answer = Api(alice_key).post(BATCHES, body)
    assert (answer.status_code, error(answer)["param"]) == (400, param)
    assert not Generation.objects.exists()


def test_pictures_of_a_refused_batch_leave_no_file(
    alice: User, alice_key: str, picture: Callable[[int, int], str]
) -> None:
    set_quota(alice, credits=15)
    pictured = TEXT | {"images": [picture(640, 360)]}
    assert make(alice_key, [pictured, pictured]).status_code == 402
    assert make(alice_key, [pictured, BAD]).status_code == 400
    assert make(alice_key, [pictured, pictured], mode="best_effort").json()["counts"]["queued"] == 1
    files = [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]
    assert [path.name for path in files] == [f"{Generation.objects.get().pk}-0.jpg"]
    answer = make(alice_key, [pictured] * 21)
    assert error(answer)["param"] == "requests[20].images"


# --- a table -----------------------------------------------------------------------------


def table(key: str, text: str, query: str = "") -> Any:
    return Api(key).post(BATCHES + query, text.encode(), content_type="text/csv")


def test_a_table_is_a_batch_too(alice_key: str) -> None:
    text = (
        "\ufeffmodel,prompt,duration,size,mode,sound,cfg_scale,tags\r\n"
        'kling-v2-6,"Waves,\nat dusk",5,9:16,pro,on,0.5,"sea, draft"\r\n'
        ",,,,,,,\r\n"
        "kling-v2-5-turbo-std,雪地里的小狐狸,,,,,,\r\n"
    )
    answer = table(alice_key, text, "?name=from%20a%20table&stop_at_failure_rate=0.5")
    assert answer.status_code == 200, answer.content
    first, second = Generation.objects.order_by("batch_line")
    assert (first.prompt, first.sound, first.metadata, first.batch_line) == (
        "Waves,\nat dusk",
        True,
        {"cfg_scale": 0.5},
        2,
    )
    assert sorted(first.tags.values_list("name", flat=True)) == ["draft", "sea"]
    assert (second.prompt, second.seconds, second.batch_line) == ("雪地里的小狐狸", 5, 5)
    assert Batch.objects.get().stop_at_failure_rate == 0.5


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ("", "requests"),
        ("model,prompt\n", "requests"),
        ("model,promt\nx,y\n", "promt"),
        ("model,prompt,model\n", "model"),
        ("model,prompt\nkling-v2-6,a,b\n", "line 2"),
        ("model,prompt\nkling-v2-6,ok\n\nkling-v9,fox\n", "line 4.model"),
        ('model,prompt\nkling-v2-6,"open\n', "line 2"),
        ("model,prompt,metadata\nkling-v2-6,a,{\n", "line 2.metadata"),
        ("model,prompt\n" + "kling-v2-6,a\n" * 201, "requests"),
        ("model,prompt\nkling-v2-6,\x00\n", None),
    ],
)
def test_a_bad_table_names_its_line(alice_key: str, text: str, param: str | None) -> None:
    answer = table(alice_key, text)
    assert (answer.status_code, error(answer)["param"]) == (400, param)
    assert not Generation.objects.exists()


def test_a_table_is_for_batches_alone(alice_key: str) -> None:
    answer = Api(alice_key).post("/v1/video/generations", b"model,prompt\n", content_type="text/csv")
    assert answer.status_code == 415
    assert Api(alice_key).post(BATCHES, b"\xff\xfe", content_type="text/csv").status_code == 400


# --- what becomes of it --------------------------------------------------------------------


def test_canceling_takes_back_what_waits(alice: User, alice_key: str) -> None:
    batch, api = made(alice_key, 5), Api(alice_key)
    sent()
    body = api.post(f"{BATCHES}/{batch.pk}/cancel").json()
    assert (body["counts"]["canceled"], body["counts"]["submitting"], body["cost"]["held"]) == (4, 1, 15)
    assert api.get("/v1/quota").json()["data"][0]["available"] == 985
    answer = api.post(f"{BATCHES}/{batch.pk}/cancel")
    assert (answer.status_code, error(answer)["code"]) == (409, "wrong_state")
    all_is_well()


def test_it_pauses_when_failures_pass_the_rate(alice: User, alice_key: str) -> None:
    batch, api = made(alice_key, 12, stop_at_failure_rate=0.5), Api(alice_key)
    fail()
    fail()
    assert api.get(f"{BATCHES}/{batch.pk}").json()["status"] == "processing"
    fail()  # three of five are more than half
    body = api.get(f"{BATCHES}/{batch.pk}").json()
    assert (body["status"], body["counts"]["queued"]) == ("paused", 9)
    assert body["paused_at"]
    assert not dispatch.claim(8)
    assert not dispatch.has_work()
    other = ask(make_user("bob"))
    assert [claim.generation_id for claim in dispatch.claim(8)] == [other.pk]


def test_a_paused_one_goes_on_when_told_and_counts_anew(alice: User, alice_key: str) -> None:
    batch, api = made(alice_key, 12, stop_at_failure_rate=0.5), Api(alice_key)
    for _ in range(3):
        fail()
    assert not dispatch.has_work()
    assert api.post(f"{BATCHES}/{batch.pk}/resume").json()["status"] == "processing"
    assert dispatch.has_work()
    answer = api.post(f"{BATCHES}/{batch.pk}/resume")
    assert (answer.status_code, error(answer)["code"]) == (409, "wrong_state")
    fail()
    assert api.get(f"{BATCHES}/{batch.pk}").json()["status"] == "processing"
    fail()
    fail()
    assert api.get(f"{BATCHES}/{batch.pk}").json()["status"] == "paused"
    body = api.post(f"{BATCHES}/{batch.pk}/cancel").json()
    assert (body["status"], body["counts"]["failed"], body["cost"]["held"]) == ("finished", 6, 0)
    all_is_well()


def test_a_rate_of_nothing_pauses_at_the_first_failure(alice_key: str) -> None:
    batch = made(alice_key, 7, stop_at_failure_rate=0)
    fail()
    batch.refresh_from_db()
    assert batch.paused_at


def test_without_a_rate_nothing_pauses(alice_key: str) -> None:
    batch = made(alice_key, 7)
    for _ in range(6):
        fail()
    batch.refresh_from_db()
    assert batch.paused_at is None


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_batch_and_its_neighbours_never_wait_in_a_circle(settings: Any) -> None:
    """Batches, single ones and cancels of one wallet at once: each is made or refused, and every credit is there."""
    settings.API_CREATES_PER_MINUTE = 0
    alice = make_user("alice", credits=900)  # six of these batches
    answers: list[int] = []

    def ten_times(work: Callable[[], Any]) -> None:
        for _ in range(5):
            try:
                work()
                answers.append(1)
            except PlatformError:
                answers.append(0)
        connection.close()

    lines = [services.Line(n + 1, f"requests[{n}]", request) for n, request in enumerate(requests(10))]

    def batch_and_cancel() -> None:
        batch = services.create_batch(user=alice, lines=lines)
        services.cancel_batch(batch, actor=alice)

    def single_and_cancel() -> None:
        services.cancel(ask(alice), actor=alice)

    def batch() -> None:
        services.create_batch(user=alice, lines=lines, mode="best_effort")

    threads = [
        threading.Thread(target=ten_times, args=(work,))
        for work in (batch_and_cancel, batch_and_cancel, single_and_cancel, single_and_cancel, batch)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 25
    wallet = Wallet.objects.get()
    assert wallet.available + wallet.reserved == 900
    assert wallet.reserved == 15 * Generation.objects.filter(status=Status.QUEUED).count()
    all_is_well()


# --- whose it is --------------------------------------------------------------------------


def test_strangers_see_no_batch(alice_key: str, bob_key: str) -> None:
    batch, bob = made(alice_key, 2), Api(bob_key)
    paths = [f"{BATCHES}/{batch.pk}", f"{BATCHES}/{batch.pk}/cancel", f"{BATCHES}/{batch.pk}/resume"]
    answers = [
        bob.get(paths[0]),
        bob.post(paths[1]),
        bob.post(paths[2]),
        bob.get(f"{BATCHES}?after={batch.pk}"),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert bob.get(BATCHES).json()["data"] == []
    assert bob.get(f"/v1/video/generations?batch={batch.pk}").json()["data"] == []
    assert Generation.objects.filter(status=Status.QUEUED).count() == 2


def test_pages_of_batches_go_on_by_key(alice_key: str) -> None:
    ids = [str(made(alice_key, 1).pk) for _ in range(5)][::-1]
    api = Api(alice_key)
    first = api.get(f"{BATCHES}?limit=3").json()
    second = api.get(f"{BATCHES}?limit=3&after={first['last_id']}").json()
    assert [batch["id"] for batch in first["data"] + second["data"]] == ids
    assert (first["has_more"], second["has_more"]) == (True, False)
    for query, param in (("after=x", "after"), ("limit=0", "limit")):
        answer = api.get(f"{BATCHES}?{query}")
        assert (answer.status_code, error(answer)["param"]) == (400, param)
