"""A member at the limit asks, somebody answerable decides once, and both are told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts import quotas, services
from accounts.models import ApiKey, AuditEntry, CreditRequest, Notice, Team, User, Wallet
from accounts.services import decline_request, grant_request, requests_for
from kling_platform.errors import InvalidValue, WrongState
from tests.api import Api, error
from tests.conftest import person
from tests.makers import ask
from tests.portal import CHEAP, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


@pytest.fixture
def maria(alice: User) -> User:
    """The manager of alice's team."""
    manager = person("maria", role=User.Role.MANAGER)
    Team.objects.create(name="Blue").members.add(manager, alice)
    return manager


def available(user: User) -> int:
    return quotas.balances(user)[0].wallet.available


def asked(user: User, credits: int = 500) -> CreditRequest:
    return services.ask_for_credits(user, credits=credits, reason="The trailer is due on Friday.")


def told(user: User) -> list[str]:
    return [notice.sentence for notice in Notice.objects.filter(user=user).newest_first()]


def test_the_manager_is_told_and_gives_what_was_asked_for(alice: User, maria: User, boss: User) -> None:
    request = asked(alice)
    assert told(maria) == ["alice asks for 500 credits: The trailer is due on Friday."]
    assert told(boss) == [], "there is a manager who knows the work"
    grant_request(request, actor=maria, answer="Good luck!")
    assert available(alice) == 1_500
    assert told(alice) == ["maria gave you 500 credits. Good luck!"]
    actions = AuditEntry.objects.filter(action__startswith="request.").order_by("at")
    assert list(actions.values_list("action", "actor__username")) == [
        ("request.make", "alice"),
        ("request.granted", "maria"),
    ]


def test_without_a_manager_the_admins_are_told(alice: User, boss: User) -> None:
    asked(alice)
    assert len(told(boss)) == 1


def test_another_number_may_be_given_or_nothing(alice: User, maria: User) -> None:
    grant_request(asked(alice), actor=maria, credits=200)
    assert available(alice) == 1_200
    decline_request(asked(alice), actor=maria, answer="Next month.")
    assert available(alice) == 1_200
    assert told(alice)[0] == "maria declined your request for 500 credits. Next month."


def test_one_request_waits_at_a_time(alice: User, maria: User) -> None:
    request = asked(alice)
    with pytest.raises(WrongState, match="asked already"):
        asked(alice)
    CreditRequest.objects.filter(pk=request.pk).update(created_at=timezone.now() - timedelta(days=8))
    assert list(requests_for(maria)) == [], "it has lapsed"
    with pytest.raises(WrongState):
        grant_request(request, actor=maria)
    asked(alice)
    assert available(alice) == 1_000


def test_who_has_no_say_decides_nothing(alice: User, bob: User, maria: User) -> None:
    request = asked(alice)
    stranger = person("rolf", role=User.Role.MANAGER)
    Team.objects.create(name="Red").members.add(stranger, bob)
    for nobody in (alice, bob, stranger):
        assert list(requests_for(nobody)) == []
        with pytest.raises(WrongState):
            grant_request(request, actor=nobody)
    own = asked(maria)
    with pytest.raises(WrongState):
        grant_request(own, actor=maria)
    assert available(alice) == 1_000


@pytest.mark.parametrize("credits", [0, -1, True, "5", 10**13])
def test_credits_are_a_whole_number(credits: object, alice: User) -> None:
    with pytest.raises(InvalidValue) as refused:
        services.ask_for_credits(alice, credits=credits, reason="x")  # type: ignore[arg-type]
    assert refused.value.param == "credits"


def test_a_reason_is_needed(alice: User) -> None:
    with pytest.raises(InvalidValue) as refused:
        services.ask_for_credits(alice, credits=5, reason=" ")
    assert refused.value.param == "reason"


def test_a_quota_that_runs_out_is_told_once_at_each_level(alice: User) -> None:
    services.set_quota(alice, credits=100)
    for _ in range(5):
        ask(alice)  # 15 each
    assert services.warn_of_low_quotas() == 0
    ask(alice)
    assert services.warn_of_low_quotas() == 1
    assert services.warn_of_low_quotas() == 0
    assert told(alice) == ["80 % of a quota are used: 10 credits are left."]
    services.set_quota(alice, credits=90)
    assert services.warn_of_low_quotas() == 1
    assert told(alice)[0] == "100 % of a quota are used: 0 credits are left."
    assert Wallet.objects.get(closed_at=None, quota__user=alice).warned == 100


def test_when_it_runs_out_is_told_from_the_pace_of_the_period(alice: User) -> None:
    now = timezone.now()
    ask(alice)
    balance = quotas.balances(alice)[0]
    balance.wallet.starts_at = balance.quota.created_at = now - timedelta(hours=3)
    assert balance.runs_out_at(now) is None, "three hours say nothing"
    balance.wallet.starts_at = balance.quota.created_at = now - timedelta(days=10)
    balance.wallet.available, balance.wallet.reserved = 100, 500
    balance.wallet.ends_at = now + timedelta(days=20)
    assert balance.runs_out_at(now) == now + timedelta(days=2)
    balance.wallet.ends_at = now + timedelta(days=1)
    assert balance.runs_out_at(now) is None, "the period ends before"


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_two_who_decide_at_once_one_does(alice: User, maria: User, boss: User) -> None:
    request = asked(alice)

    def decide(actor: User) -> bool:
        try:
            grant_request(CreditRequest.objects.get(pk=request.pk), actor=actor)
        except WrongState:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(decide, (maria, boss))) == [False, True]
    assert available(alice) == 1_500


def test_every_refusal_names_the_quota_and_leads_to_the_request(alice: User, alice_key: str) -> None:
    """From the API, from a batch that makes what it can, and from a page: the same sentence, the same way out."""
    services.set_quotas(alice, {"day": 10, "month": 1_000})
    daily = alice.quotas.get(period="day")
    way = f"/account?ask=5&quota={daily.pk}#ask"
    body = {"model": "kling-v2-5-turbo-std", "prompt": "a lighthouse", "duration": 5}
    said = error(Api(alice_key).post("/v1/video/generations", body))["message"]
    assert said.startswith("Your daily quota: 10 credits left, this needs 15, resets ")
    assert said.endswith(f"ask for more: {settings.PUBLIC_URL}{way}")
    batch = Api(alice_key).post("/v1/batches", {"mode": "best_effort", "requests": [body]})
    assert error(batch)["message"].endswith(said)
    browser = signed_in(alice)
    refused = browser.post("/new", {**CHEAP, "prompt": "a lighthouse"})
    assert f'href="{way.replace("&", "&amp;")}">Ask for more</a>' in refused.content.decode()
    page = browser.get(way).content.decode()
    assert '<details class="ask" id="ask" open>' in page and f'value="{daily.pk}" selected' in page
    browser.post("/account/ask", {"quota": daily.pk, "credits": "5", "reason": "a lighthouse"})
    assert CreditRequest.objects.open().values_list("quota", "credits").get() == (daily.pk, 5)


def test_a_keys_own_limit_is_raised_on_its_page(alice: User, alice_key: str) -> None:
    key = ApiKey.objects.get()
    services.set_quota(key, credits=1, period="day")
    body = {"model": "kling-v2-5-turbo-std", "prompt": "a lighthouse", "duration": 5}
    said = error(Api(alice_key).post("/v1/video/generations", body))["message"]
    assert said.startswith("This key's daily quota: 1 credits left") and said.endswith(
        f"/account/keys/{key.pk}"
    )
