"""A member at the limit asks, somebody answerable decides once, and both are told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation
from django.utils.formats import date_format

from accounts import quotas, services
from accounts.models import ApiKey, AuditEntry, CreditRequest, Notice, Team, User, Wallet
from accounts.services import decline_request, grant_request, requests_for
from kling_platform.errors import InvalidValue, WrongState
from tests.api import Api, error
from tests.conftest import person
from tests.makers import ask
from tests.office import text
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
    assert told(alice) == ["80 % of your monthly quota are used: 10 credits are left."]
    services.set_quota(alice, credits=90)
    assert services.warn_of_low_quotas() == 1
    assert told(alice)[0] == "100 % of your monthly quota are used: 0 credits are left."
    assert Wallet.objects.get(closed_at=None, quota__user=alice).warned == 100


def test_a_notice_names_the_quota_that_runs_out(alice: User, maria: User) -> None:
    """Whose, and of which period: the team's to those who manage it, a key's to its owner."""
    key, _text = services.make_key(alice, label="Render script")
    services.set_quota(Team.objects.get(), credits=15, period="week")
    services.set_quota(key, credits=15, period="total")
    body = {"model": "kling-v2-5-turbo-std", "prompt": "a lighthouse", "team": "Blue"}
    assert Api(_text).post("/v1/video/generations", body).status_code == 200
    assert services.warn_of_low_quotas() == 2
    assert told(maria) == ["100 % of the weekly quota of the team “Blue” are used: 0 credits are left."]
    assert told(alice) == [
        "100 % of the total quota of the key “Render script” are used: 0 credits are left."
    ]
    assert Notice.objects.get(user=alice).link == f"/account/keys/{key.pk}"
    with translation.override("zh-hans"):
        assert told(maria) == ["团队“Blue”的每周配额已使用 100%，剩余 0 点。"]


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


def test_lists_say_when_each_quota_runs_out(alice: User, bob: User, boss: User) -> None:
    """On the page of one and in the list of all, which asks no more questions for more people."""
    begun = timezone.now() - timedelta(days=10)
    office = signed_in(boss)
    out = date_format(timezone.localtime(begun + timedelta(days=20)), "j F")
    asked = []
    for user in (alice, bob):
        services.set_quotas(user, {"total": 30})
        ask(user)  # 15 of 30 in ten days
        user.quotas.update(created_at=begun)
        Wallet.objects.filter(quota__user=user).update(starts_at=begun)
        with CaptureQueriesContext(connection) as seen:
            page = text(office.get("/manage/people"))
        assert page.count(f"used up on {out} at this pace") == len(asked) + 1
        asked.append(len(seen))
    assert asked[1] <= asked[0]
    assert f"used up on {out} at this pace" in text(office.get(f"/manage/people/{alice.pk}"))
    whole = date_format(timezone.localtime(begun + timedelta(days=20)), "DATE_FORMAT")
    assert text(office.get("/admin/accounts/quota/")).count(whole) == 2


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


def test_somebody_without_a_quota_asks_for_a_first_one(maria: User, boss: User) -> None:
    """The refusal leads to the request, on every door; whoever is answerable gives a quota of some period."""
    carol = User.objects.create_user("carol")
    Team.objects.get().members.add(carol)
    way = "/account?ask#ask"
    refusal = error(Api(services.make_key(carol, label="x")[1]).create())
    assert refusal["code"] == "no_quota" and refusal["message"].endswith(f"{settings.PUBLIC_URL}{way}")
    browser = signed_in(carol)
    refused = browser.post("/new", {**CHEAP, "prompt": "a lighthouse"})
    assert f'href="{way}">Ask for a quota</a>' in refused.content.decode()
    assert '<details class="ask" id="ask" open>' in browser.get(way).content.decode()
    for _ in range(2):
        browser.post("/account/ask", {"credits": "300", "reason": "The trailer"})
    request = CreditRequest.objects.get()
    assert told(maria) == ["carol has no quota yet and asks for one, of 300 credits: The trailer"]
    assert "You have asked for 300 credits." in browser.get("/account").content.decode()
    office = signed_in(maria)
    assert "Has no quota yet" in office.get("/manage/requests").content.decode()
    office.post(f"/manage/requests/{request.pk}", {"credits": "200", "period": "century", "give": "1"})
    assert not carol.quotas.exists(), "there is no such period, so nothing was given"
    office.post(f"/manage/requests/{request.pk}", {"credits": "200", "period": "week", "give": "1"})
    assert carol.quotas.values_list("credits", "period").get() == (200, "week")
    assert available(carol) == 200
    assert told(carol) == ["maria gave you a quota: 200 credits a week."]


def test_a_first_quota_is_given_once_whatever_else_happened(alice: User, boss: User) -> None:
    carol = User.objects.create_user("carol")
    request = services.ask_for_credits(carol, credits=300, reason="The trailer")
    services.set_quota(carol, credits=50, period="day")
    with pytest.raises(WrongState, match="has a quota by now"):
        grant_request(request, actor=boss)
    assert list(requests_for(boss)) == [request], "it can still be declined"
    other = services.ask_for_credits(alice, credits=5, reason="x", quota=alice.quotas.get())
    with pytest.raises(WrongState, match="not yours"):
        services.ask_for_credits(carol, credits=5, reason="x", quota=other.quota)


def test_a_keys_own_limit_is_raised_on_its_page(alice: User, alice_key: str) -> None:
    key = ApiKey.objects.get()
    services.set_quota(key, credits=1, period="day")
    body = {"model": "kling-v2-5-turbo-std", "prompt": "a lighthouse", "duration": 5}
    said = error(Api(alice_key).post("/v1/video/generations", body))["message"]
    assert said.startswith("This key's daily quota: 1 credits left") and said.endswith(
        f"/account/keys/{key.pk}"
    )
