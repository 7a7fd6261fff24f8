"""Quotas in the admin: “120 of 500”, set, granted and corrected, and what was really done is said."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts import services as people
from accounts.models import AuditEntry, Quota, Transfer, User
from tests.makers import ask
from tests.office import messages, text
from tests.wallets import end_period, wallet_of

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


@pytest.fixture
def office(boss: User) -> Client:
    """A browser in which an admin is signed in."""
    client = Client()
    client.force_login(boss)
    return client


def operate(office: Client, how: str, *quotas: Quota, **fields: str):  # type: ignore[no-untyped-def]
    url = f"/admin/accounts/quota/credits/{how}/?ids={','.join(str(q.pk) for q in quotas)}"
    return office.post(url, {"reason": "as agreed", **fields}, follow=True)


def seen(quota: Quota) -> str:
    """What an editor who opens the page now will send along."""
    quota.refresh_from_db()
    return f"{quota.pk}:{quota.version}"


def test_the_list_says_120_of_500(office: Client, alice: User) -> None:
    people.set_quota(alice, credits=500)
    for _ in range(8):
        ask(alice)  # 15 each
    assert "120 of 500" in text(office.get("/admin/accounts/quota/"))
    assert "120 of 500" in text(office.get("/admin/accounts/user/"))


def test_setting_a_quota(office: Client, alice: User, boss: User) -> None:
    answer = operate(
        office, "set", alice.quotas.get(), credits="1500", period="month", seen=seen(alice.quotas.get())
    )
    assert messages(answer) == ["alice: the quota is 1500 credits (month) now; +500 at once."]
    line = Transfer.objects.latest("pk")
    assert (line.kind, line.amount, line.reason, line.actor) == ("allot", 500, "as agreed", boss)


def test_a_cut_says_what_it_could_not_take(office: Client, alice: User) -> None:
    people.set_quota(alice, credits=50)
    ask(alice), ask(alice)  # 30 held, 20 left
    answer = operate(office, "set", alice.quotas.get(), credits="0", period="", seen=seen(alice.quotas.get()))
    (sentence,) = messages(answer)
    assert sentence.endswith("-20 at once. Took 20 of the 50 asked; the rest is spent or held.")


def test_of_two_editors_the_slower_one_is_told(office: Client, alice: User) -> None:
    looked_at = seen(alice.quotas.get())
    operate(office, "set", alice.quotas.get(), credits="10", period="", seen=looked_at)
    answer = operate(office, "set", alice.quotas.get(), credits="99999", period="", seen=looked_at)
    assert "Somebody else changed this quota meanwhile" in messages(answer)[0]
    assert Quota.objects.get(user=alice).credits == 10


def test_granting_to_many_at_once(office: Client, alice: User, bob: User) -> None:
    answer = operate(office, "grant", alice.quotas.get(), bob.quotas.get(), credits="40")
    assert messages(answer) == [f"{name}: 40 credits more for this period." for name in ("alice", "bob")]
    assert Transfer.objects.filter(kind="grant", amount=40).count() == 2


def test_correcting_says_what_was_really_taken(office: Client, alice: User) -> None:
    people.set_quota(alice, credits=50)
    ask(alice), ask(alice)
    answer = operate(office, "adjust", alice.quotas.get(), credits="-50")
    assert messages(answer) == [
        "alice: the balance was corrected by -20. Took 20 of the 50 asked; the rest is spent or held."
    ]


@pytest.mark.parametrize(
    ("how", "fields"),
    [
        ("grant", {"credits": "0"}),
        ("grant", {"credits": "-5"}),
        ("grant", {"credits": "5", "reason": " "}),
        ("adjust", {"credits": "0"}),
        ("adjust", {"credits": "1e3"}),
        ("set", {"credits": "-1", "seen": "1:1"}),
    ],
)
def test_a_bad_number_changes_nothing(office: Client, alice: User, how: str, fields: dict[str, str]) -> None:
    before = Transfer.objects.count()
    answer = operate(office, how, alice.quotas.get(), **fields)
    assert answer.status_code == 400 and "Nothing was changed yet" in text(answer)
    assert Transfer.objects.count() == before


@pytest.mark.parametrize("ids", ["", "0", "x", "1;2", "9" * 30, "-1"])
def test_a_quota_that_is_not_there_is_404(office: Client, alice: User, ids: str) -> None:
    assert office.get(f"/admin/accounts/quota/credits/grant/?ids={ids}").status_code == 404
    assert office.get(f"/admin/accounts/quota/credits/steal/?ids={alice.quotas.get().pk}").status_code == 404


def test_an_action_of_the_list_leads_to_the_same_page(office: Client, alice: User, bob: User) -> None:
    chosen = [alice.quotas.get().pk, bob.quotas.get().pk]
    answer = office.post(
        "/admin/accounts/quota/", {"action": "grant", "_selected_action": chosen}, follow=True
    )
    assert "alice (month): 0 of 1000 used, 1000 left" in text(
        answer
    ) and "bob (month): 0 of 1000 used" in text(answer)


def test_somebody_without_a_quota_gets_one(office: Client, boss: User) -> None:
    carol = User.objects.create_user("carol")
    assert "give one" in text(office.get(f"/admin/accounts/user/{carol.pk}/change/"))
    fields = {"user": carol.pk, "api_key": "", "credits": "70", "period": "day"}
    office.post("/admin/accounts/quota/add/", fields, follow=True)
    quota = Quota.objects.get(user=carol)
    assert (quota.credits, quota.period, quota.wallets.get().available) == (70, "day", 70)
    assert AuditEntry.objects.get(action="quota.set", subject="carol").actor == boss


def test_a_quota_is_for_one_owner_and_once_for_each_period(office: Client, alice: User) -> None:
    key = people.make_key(alice, label="k")[0]
    before = Quota.objects.count()
    both = {"user": User.objects.create_user("carol").pk, "api_key": key.pk, "credits": "7", "period": "day"}
    nobody = {**both, "user": "", "api_key": ""}
    twice = {**both, "user": alice.pk, "api_key": "", "period": "month"}
    for fields in (both, nobody, twice):
        assert office.post("/admin/accounts/quota/add/", fields).status_code == 200
    assert Quota.objects.count() == before


def test_a_wallet_whose_period_is_over_counts_as_unused(office: Client, alice: User) -> None:
    ask(alice)
    end_period(wallet_of(alice))
    assert "0 of 1000" in text(office.get("/admin/accounts/quota/?q=alice"))
