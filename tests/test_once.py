"""Sent twice, made once: by an Idempotency-Key, by a client's word that it sends again, by the composer's nonce."""

from __future__ import annotations

import random
import re
import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.utils.module_loading import import_string

from accounts.models import ApiKey, User
from accounts.quotas import current_wallet
from accounts.services import make_key, set_quota
from generations import services
from generations.models import Generation, KeptAnswer
from tests.api import GENERATIONS, TEXT, Api, error, finished
from tests.portal import CHEAP, compose, picture, signed_in
from tests.prove import r11
from tests.test_api_queries import at_most

pytestmark = pytest.mark.django_db

KEY = {"idempotency-key": "6f1c"}
AGAIN = {"x-stainless-retry-count": "1"}


@pytest.mark.sqlite
def test_the_same_key_and_body_get_the_first_answer_again(alice: User, alice_key: str) -> None:
    api = Api(alice_key)
    first = api.post(GENERATIONS, TEXT, headers=KEY)
    assert first.status_code == 200 and "Idempotent-Replayed" not in first
    services.cancel(Generation.objects.get(), actor=alice)
    backwards = dict(reversed(TEXT.items()))
    again = api.post(GENERATIONS, backwards, headers=KEY)
    assert (again.status_code, again["Idempotent-Replayed"]) == (200, "true")
    assert again.json() == first.json(), "the first answer, although it is canceled by now"
    assert Generation.objects.count() == 1


@pytest.mark.sqlite
def test_the_same_key_with_another_body_is_422_and_makes_nothing(alice: User, alice_key: str) -> None:
    api = Api(alice_key)
    api.post(GENERATIONS, TEXT, headers=KEY)
    for other in (TEXT | {"duration": 10}, TEXT | {"model": "nonsense"}):
        answer = api.post(GENERATIONS, other, headers=KEY)
        assert (answer.status_code, error(answer)["code"]) == (422, "idempotency_key_reused")
        assert error(answer)["param"] == "Idempotency-Key"
    assert Generation.objects.count() == 1
    assert current_wallet(alice.quotas.get()).reserved == 15


def test_a_key_belongs_to_its_owner_whichever_api_key_is_used(alice: User, bob_key: str) -> None:
    one, two = (Api(make_key(alice, label=label)[1]) for label in "ab")
    first, second = (api.post(GENERATIONS, TEXT, headers=KEY).json() for api in (one, two))
    theirs = Api(bob_key).post(GENERATIONS, TEXT, headers=KEY).json()
    assert first == second != theirs
    assert Generation.objects.count() == 2


def test_a_refusal_is_not_kept(alice: User, alice_key: str) -> None:
    api = Api(alice_key)
    set_quota(alice, credits=0)
    assert api.post(GENERATIONS, TEXT, headers=KEY).status_code == 402
    assert not KeptAnswer.objects.exists()
    set_quota(alice, credits=15)
    assert api.post(GENERATIONS, TEXT, headers=KEY).status_code == 200
    # And what was taken is answered as it was, although it could not be paid again.
    assert api.post(GENERATIONS, TEXT, headers=KEY)["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a b", "schlüssel", "a\tb"])
def test_a_key_that_is_none_is_400(alice_key: str, key: str) -> None:
    headers = {"idempotency-key": key.encode().decode("latin-1")}
    answer = Api(alice_key).post(GENERATIONS, TEXT, headers=headers)
    assert (answer.status_code, error(answer)["param"]) == (400, "Idempotency-Key")
    assert not Generation.objects.exists()


def test_the_hourly_task_lets_go_of_old_keys_only(alice: User, alice_key: str) -> None:
    api = Api(alice_key)
    for name in ("old", "new"):
        api.post(GENERATIONS, TEXT, headers={"idempotency-key": name})
    KeptAnswer.objects.filter(key="old").update(created_at=F("created_at") - timedelta(hours=73))
    KeptAnswer.objects.filter(key="new").update(created_at=F("created_at") - timedelta(hours=71))
    import_string("generations.tasks.tidy")()
    assert KeptAnswer.objects.get().key == "new"


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_parallel_duplicates_over_http_make_one_each() -> None:
    """A small R11."""
    got = r11.duplicates(keys=8, parallel=8, changed=10, dice=random.Random(11))
    assert got.startswith("64 calls under 8 keys: 8 generations")


@pytest.mark.postgres
def test_a_create_under_a_key_asks_ten_times_at_most(alice_key: str) -> None:
    api = Api(alice_key)
    api.get("/v1/models")  # the rules in force are known now, as in every process after its first second
    with at_most(10):
        assert api.post(GENERATIONS, TEXT, headers=KEY).status_code == 200


# --- a client that has no key, and says that it sends again -------------------------


@pytest.mark.sqlite
def test_a_retry_without_a_key_gets_the_generation_of_before(alice: User, alice_key: str) -> None:
    api = Api(alice_key)
    first = api.post(GENERATIONS, TEXT, headers={"x-stainless-retry-count": "0"})
    again = api.post(GENERATIONS, TEXT, headers=AGAIN)
    assert again.json() == first.json()
    assert (again["Idempotent-Replayed"], Generation.objects.count()) == ("true", 1)


def test_what_says_no_such_thing_or_asks_for_else_or_comes_late_is_made(
    alice: User, alice_key: str, bob_key: str
) -> None:
    api = Api(alice_key)
    api.create()
    api.create()
    assert Generation.objects.count() == 2, "the same prompt twice is a wish for two"
    api.post(GENERATIONS, TEXT | {"size": "1:1"}, headers=AGAIN)
    Api(bob_key).post(GENERATIONS, TEXT, headers=AGAIN)
    assert Generation.objects.count() == 4
    Generation.objects.update(created_at=F("created_at") - timedelta(minutes=11))
    api.post(GENERATIONS, TEXT, headers=AGAIN)
    assert Generation.objects.count() == 5


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_retry_waits_for_a_first_try_that_is_still_at_work(alice: User, alice_key: str) -> None:
    """The first one holds the wallet, and has not committed when the client loses patience."""
    user, key = alice, ApiKey.objects.get()
    digest = services.digest_of([GENERATIONS, TEXT])
    once = services.Once(user, digest, answer=lambda made: {"id": str(made.pk)})
    answers: list[Any] = []

    def send_again() -> None:
        answers.append(Api(alice_key).post(GENERATIONS, TEXT, headers=AGAIN))
        connection.close()

    retry = threading.Thread(target=send_again)
    with transaction.atomic():
        first = services.create(user=user, api_key=key, request=TEXT, once=once)
        retry.start()
        wait_for_a_lock()
    retry.join(30)
    assert answers[0].json()["id"] == str(first.pk)
    assert Generation.objects.count() == 1


def wait_for_a_lock() -> None:
    """Until another session waits for one of ours."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    with connection.cursor() as cursor:
        for _ in range(3_000):
            cursor.execute("SELECT pg_stat_clear_snapshot(), pg_sleep(0.01)")
            cursor.execute(waiting)
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nobody waits")


# --- the composer ---------------------------------------------------------------------


@pytest.mark.sqlite
@pytest.mark.parametrize("as_script", [True, False])
def test_a_form_that_is_sent_twice_makes_one(alice: User, as_script: bool) -> None:
    client = signed_in(alice)
    nonce = re.search(r'name="nonce" value="([0-9a-f-]{36})"', client.get("/new").content.decode())
    assert nonce
    headers = {"accept": "application/json"} if as_script else {}
    first, second = (
        client.post("/new", CHEAP | {"nonce": nonce[1], "first_file": picture()}, headers=headers)
        for _ in range(2)
    )
    assert Generation.objects.count() == 1
    to = f"/g/{Generation.objects.get().pk}"
    if as_script:
        assert first.json() == second.json() == {"to": to}
    else:
        assert first["Location"] == second["Location"] == to


@pytest.mark.parametrize(
    ("button", "fields", "many"),
    [
        ("retry", {}, 1),
        ("vary", {"count": "2"}, 2),
        ("models", {"models": ["kling-v2-6/std", "kling-v2-6/pro"]}, 2),
    ],
)
def test_a_button_of_a_video_that_is_pressed_twice_makes_them_once(
    alice: User, button: str, fields: dict[str, Any], many: int
) -> None:
    """The line was lost before the answer came, say, and somebody presses it again."""
    old, client = finished(alice), signed_in(alice)
    page = client.get(f"/g/{old.pk}").content.decode()
    form = re.search(
        rf'action="/g/{old.pk}/{button}".*?name="nonce" value="([0-9a-f-]{{36}})"', page, re.DOTALL
    )
    assert form
    first, second = (client.post(f"/g/{old.pk}/{button}", fields | {"nonce": form[1]}) for _ in range(2))
    assert Generation.objects.count() == 1 + many
    assert first["Location"] == second["Location"]
    client.post(f"/g/{old.pk}/{button}", fields | {"nonce": str(uuid.uuid4())})
    assert Generation.objects.count() == 1 + 2 * many


def test_a_form_that_was_changed_or_opened_anew_makes_another(alice: User) -> None:
    client, nonce = signed_in(alice), str(uuid.uuid4())
    compose(client, nonce=nonce)
    compose(client, nonce=nonce, seconds="10")
    compose(client, nonce=str(uuid.uuid4()))
    compose(client)
    assert Generation.objects.count() == 4


def test_a_refused_form_can_be_sent_again(alice: User) -> None:
    client, nonce = signed_in(alice), str(uuid.uuid4())
    set_quota(alice, credits=0)
    assert "errors" in compose(client, nonce=nonce).json()
    set_quota(alice, credits=100)
    assert compose(client, nonce=nonce).status_code == 201
