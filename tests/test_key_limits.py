"""A key's own limits: models, videos at a time, credits. What is refused costs nothing."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import ApiKey, Quota, User
from accounts.services import Limits, change_key, limits_of, make_key
from generations import services
from generations.models import Generation, Status
from generations.services.key_limits import TooManyOpen
from tests.api import TEXT, Api, error, everything
from tests.makers import claim_one
from tests.prove.race import race

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def bounded(user: User, **limits: Any) -> tuple[ApiKey, Api]:
    key, text = make_key(user, label="bounded", limits=Limits(**limits))
    return key, Api(text)


def test_a_key_may_use_the_models_of_its_list(alice: User) -> None:
    _key, api = bounded(alice, model_names=("kling-v2-5-turbo-std",))
    assert api.create().status_code == 200
    before = everything()
    answer = api.create(model="kling-v2-6")
    assert (answer.status_code, error(answer)["code"], error(answer)["param"]) == (
        403,
        "model_not_allowed",
        "model",
    )
    assert "kling-v2-5-turbo-std only" in error(answer)["message"]
    assert everything() == before


def test_a_key_has_so_many_in_the_making_and_no_more(alice: User) -> None:
    key, api = bounded(alice, most_open=2)
    first, second = api.create(), api.create()
    before = everything()
    answer = api.create()
    assert (answer.status_code, error(answer)["code"]) == (429, "too_many_open")
    assert int(answer["Retry-After"]) > 0
    assert "2 videos in the making" in error(answer)["message"]
    assert everything() == before
    assert Api(make_key(alice, label="another")[1]).create().status_code == 200
    services.cancel(Generation.objects.get(pk=first.json()["id"]), actor=alice)
    assert api.create().status_code == 200
    assert second.status_code == 200
    assert Generation.objects.filter(api_key=key).count() == 3


def test_what_is_in_doubt_does_not_stand_in_the_way(alice: User) -> None:
    _key, api = bounded(alice, most_open=1)
    api.create()
    services.record_doubt(claim_one(), code="read_timeout", message="")
    assert Generation.objects.get().status == Status.UNKNOWN
    assert api.create().status_code == 200


def test_a_key_pays_from_its_own_wallet_beside_its_owners(alice: User) -> None:
    key, api = bounded(alice, credits={"month": 20})
    assert api.create().status_code == 200
    answer = api.create()
    assert (answer.status_code, error(answer)["code"]) == (402, "insufficient_quota")
    assert error(answer)["message"].startswith("This key's monthly quota: 5 credits left, this needs 15")
    change_key(alice, key.pk, label="bounded", scopes=("create",), limits=Limits(credits={"month": 30}))
    assert api.create().status_code == 200


def test_a_limit_of_credits_can_be_taken_away_and_put_back(alice: User) -> None:
    key, api = bounded(alice, credits={"month": 20})
    held = Generation.objects.get(pk=api.create().json()["id"])
    change_key(alice, key.pk, label="bounded", scopes=("create", "read"), limits=Limits())
    assert api.create().status_code == 200
    assert [each["scope"] for each in api.get("/v1/quota").json()["data"]] == ["user"]
    services.cancel(held, actor=alice)
    wallet = Quota.objects.get(api_key=key).wallets.get()
    assert (wallet.available, wallet.reserved) == (20, 0), "what it held came back to it"
    change_key(
        alice, key.pk, label="bounded", scopes=("create", "read"), limits=Limits(credits={"month": 15})
    )
    assert [api.create().status_code for _ in range(2)] == [200, 402]
    key.refresh_from_db()
    assert limits_of(key).credits == {"month": 15}


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_exactly_as_many_as_may_be_in_the_making(alice: User) -> None:
    key, _api = bounded(alice, most_open=5)

    def create() -> bool:
        try:
            services.create(user=alice, request=TEXT, api_key=ApiKey.objects.get(pk=key.pk))
        except TooManyOpen:
            return False
        return True

    assert sum(race([create] * 48, threads=12)) == 5
    assert Generation.objects.count() == 5
