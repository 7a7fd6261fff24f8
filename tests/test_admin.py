"""The admin: for admins alone, looks at everything, writes nothing but through services."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from accounts import services as people
from accounts.models import ApiKey, AuditEntry, Quota, Transfer, User
from generations import services
from generations.models import Event, Generation, Status, Upstream
from tests.conftest import PASSWORD
from tests.makers import ask, claim_one, storing

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]

MODELS = [
    "accounts/user",
    "accounts/quota",
    "accounts/apikey",
    "accounts/wallet",
    "accounts/transfer",
    "accounts/auditentry",
    "generations/generation",
    "generations/event",
    "generations/upstream",
]
RECORDS = [model for model in MODELS if model not in ("accounts/user", "accounts/quota")]


@pytest.fixture
def office(boss: User) -> Client:
    """A browser in which an admin is signed in."""
    client = Client()
    client.force_login(boss)
    return client


def text(response) -> str:  # type: ignore[no-untyped-def]
    """What a person reads of a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


def messages(response) -> list[str]:  # type: ignore[no-untyped-def]
    return [str(message) for message in response.context["messages"]]


def one_of_each(alice: User) -> Generation:
    """Rows on every page of the admin."""
    people.make_key(alice, label="laptop")
    Upstream.objects.get_or_create(pk=1)
    return storing(alice)


# --- who gets in -------------------------------------------------------------------


@pytest.mark.parametrize("role", ["member", "manager"])
@pytest.mark.parametrize("path", ["", *MODELS])
def test_it_is_open_to_admins_alone(alice: User, boss: User, role: str, path: str) -> None:
    people.set_role(alice, role, actor=boss)
    client = Client()
    client.force_login(alice)
    answer = client.get(f"/admin/{path}/".replace("//", "/"))
    assert answer.status_code == 302 and answer["Location"].startswith("/admin/login/")


def test_a_suspended_admin_is_out_at_once(office: Client, boss: User, alice: User) -> None:
    people.set_role(alice, "admin", actor=boss)
    assert office.get("/admin/").status_code == 200
    people.set_active(boss, False, actor=alice)
    assert office.get("/admin/").status_code == 302


@pytest.mark.parametrize("path", MODELS)
def test_every_list_and_page_works(office: Client, alice: User, path: str) -> None:
    one_of_each(alice)
    answer = office.get(f"/admin/{path}/")
    assert answer.status_code == 200
    found = re.search(rf'href="(/admin/{path}/[^"/]+/change/)', answer.content.decode())
    assert found, "no row on the page"
    assert office.get(found[1]).status_code == 200
    assert office.get(f"/admin/{path}/?q=alice").status_code == 200


@pytest.mark.parametrize("path", RECORDS)
def test_records_cannot_be_added_changed_or_deleted(office: Client, alice: User, path: str) -> None:
    one_of_each(alice)
    app, model = path.split("/")
    row = admin.site.get_model_admin(
        {m._meta.label_lower: m for m in admin.site._registry}[f"{app}.{model}"]
    ).model.objects.first()
    assert office.post(f"/admin/{path}/add/", {}).status_code == 403
    assert office.post(f"/admin/{path}/{row.pk}/change/", {}).status_code == 403
    assert office.post(f"/admin/{path}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    answer = office.post(
        f"/admin/{path}/",
        {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"},
        follow=True,
    )
    assert type(row).objects.filter(pk=row.pk).exists()
    assert answer.status_code == 200


def test_nothing_of_the_framework_that_would_be_a_second_truth(office: Client) -> None:
    page = text(office.get("/admin/"))
    assert "Groups" not in page and "Scheduled tasks" not in page


@pytest.mark.parametrize(
    "path", ["accounts/user", "accounts/quota", "accounts/transfer", "generations/generation"]
)
def test_a_list_asks_the_database_as_often_however_long_it_is(
    office: Client,
    alice: User,
    bob: User,
    path: str,
    django_assert_max_num_queries,  # type: ignore[no-untyped-def]
) -> None:
    for person in (alice, bob):
        for _ in range(5):
            ask(person)
    office.get(f"/admin/{path}/")
    with django_assert_max_num_queries(12):
        office.get(f"/admin/{path}/")


# --- people -------------------------------------------------------------------------


def new_user(office: Client, **changes: str):  # type: ignore[no-untyped-def]
    fields = {
        "username": "eve",
        "email": "eve@example.com",
        "password1": PASSWORD,
        "password2": PASSWORD,
        "role": "manager",
        "credits": "500",
        "period": "week",
    }
    return office.post("/admin/accounts/user/add/", fields | changes, follow=True)


def test_a_new_person_comes_with_role_and_quota(office: Client, boss: User) -> None:
    assert new_user(office).status_code == 200
    eve = User.objects.get(username="eve")
    assert (eve.role, eve.email, eve.is_staff) == ("manager", "eve@example.com", False)
    assert eve.check_password(PASSWORD)
    assert (eve.quota.credits, eve.quota.period) == (500, "week")
    made = AuditEntry.objects.get(action="user.make", subject="eve")
    assert made.actor == boss


@pytest.mark.parametrize(
    "changes",
    [
        {"username": "boss"},
        {"password2": "other"},
        {"credits": "-1"},
        {"role": "king"},
        {"password1": "1", "password2": "1"},
    ],
)
def test_a_bad_word_makes_nobody(office: Client, changes: dict[str, str]) -> None:
    new_user(office, **changes)
    assert User.objects.count() == 1


def change(office: Client, user: User, **changes: str):  # type: ignore[no-untyped-def]
    fields = {"username": user.username, "email": user.email, "role": user.role, "is_active": "on"} | changes
    fields = {name: value for name, value in fields.items() if value != "off"}
    return office.post(f"/admin/accounts/user/{user.pk}/change/", fields, follow=True)


def test_role_and_suspension_go_through_the_services(office: Client, alice: User) -> None:
    change(office, alice, role="admin", email="new@example.com")
    alice.refresh_from_db()
    assert (alice.role, alice.is_staff, alice.email) == ("admin", True, "new@example.com")
    change(office, alice, is_active="off", role="member")
    alice.refresh_from_db()
    assert (alice.is_active, alice.is_staff) == (False, False)
    noted = set(AuditEntry.objects.filter(subject="alice").values_list("action", flat=True))
    assert {"user.role", "user.edit", "user.suspend"} <= noted


def test_nobody_takes_the_admin_role_from_himself(office: Client, boss: User) -> None:
    answer = change(office, boss, role="member", email="lost@example.com")
    assert "You cannot take the admin role from yourself. Ask another admin." in messages(answer)
    boss.refresh_from_db()
    assert (boss.role, boss.email) == ("admin", "")


def test_suspending_several_says_who_was_not(office: Client, alice: User, bob: User, boss: User) -> None:
    chosen = {"action": "suspend", "_selected_action": [alice.pk, bob.pk, boss.pk]}
    answer = office.post("/admin/accounts/user/", chosen, follow=True)
    assert messages(answer) == [
        "alice is suspended.",
        "bob is suspended.",
        "boss: You cannot suspend yourself. Ask another admin.",
    ]
    assert list(User.objects.filter(is_active=True)) == [boss]
    office.post("/admin/accounts/user/", {**chosen, "action": "resume"}, follow=True)
    assert User.objects.filter(is_active=True).count() == 3


def test_a_password_set_by_an_admin_is_noted(office: Client, alice: User, boss: User) -> None:
    word = "an entirely new one"
    office.post(f"/admin/accounts/user/{alice.pk}/password/", {"password1": word, "password2": word})
    alice.refresh_from_db()
    assert alice.check_password(word)
    assert AuditEntry.objects.get(action="user.password").actor == boss


def test_nobody_is_deleted(office: Client, alice: User) -> None:
    assert office.post(f"/admin/accounts/user/{alice.pk}/delete/", {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk=alice.pk).exists()


# --- quotas -------------------------------------------------------------------------


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
    answer = operate(office, "set", alice.quota, credits="1500", period="month", seen=seen(alice.quota))
    assert messages(answer) == ["alice: the quota is 1500 credits (month) now; +500 at once."]
    line = Transfer.objects.latest("pk")
    assert (line.kind, line.amount, line.reason, line.actor) == ("allot", 500, "as agreed", boss)


def test_a_cut_says_what_it_could_not_take(office: Client, alice: User) -> None:
    people.set_quota(alice, credits=50)
    ask(alice), ask(alice)  # 30 held, 20 left
    answer = operate(office, "set", alice.quota, credits="0", period="", seen=seen(alice.quota))
    (sentence,) = messages(answer)
    assert sentence.endswith("-20 at once. Took 20 of the 50 asked; the rest is spent or held.")


def test_of_two_editors_the_slower_one_is_told(office: Client, alice: User) -> None:
    looked_at = seen(alice.quota)
    operate(office, "set", alice.quota, credits="10", period="", seen=looked_at)
    answer = operate(office, "set", alice.quota, credits="99999", period="", seen=looked_at)
    assert "Somebody else changed this quota meanwhile" in messages(answer)[0]
    assert Quota.objects.get(user=alice).credits == 10


def test_granting_to_many_at_once(office: Client, alice: User, bob: User) -> None:
    answer = operate(office, "grant", alice.quota, bob.quota, credits="40")
    assert messages(answer) == [f"{name}: 40 credits more for this period." for name in ("alice", "bob")]
    assert Transfer.objects.filter(kind="grant", amount=40).count() == 2


def test_correcting_says_what_was_really_taken(office: Client, alice: User) -> None:
    people.set_quota(alice, credits=50)
    ask(alice), ask(alice)
    answer = operate(office, "adjust", alice.quota, credits="-50")
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
        ("set", {"credits": "5", "period": "year", "seen": "1:1"}),
    ],
)
def test_a_bad_number_changes_nothing(office: Client, alice: User, how: str, fields: dict[str, str]) -> None:
    before = Transfer.objects.count()
    answer = operate(office, how, alice.quota, **fields)
    assert answer.status_code == 400 and "Nothing was changed yet" in text(answer)
    assert Transfer.objects.count() == before


@pytest.mark.parametrize("ids", ["", "0", "x", "1;2", "9" * 30, "-1"])
def test_a_quota_that_is_not_there_is_404(office: Client, alice: User, ids: str) -> None:
    assert office.get(f"/admin/accounts/quota/credits/grant/?ids={ids}").status_code == 404
    assert office.get(f"/admin/accounts/quota/credits/steal/?ids={alice.quota.pk}").status_code == 404


def test_an_action_of_the_list_leads_to_the_same_page(office: Client, alice: User, bob: User) -> None:
    chosen = [alice.quota.pk, bob.quota.pk]
    answer = office.post(
        "/admin/accounts/quota/", {"action": "grant", "_selected_action": chosen}, follow=True
    )
    assert "alice: 0 of 1000 used, 1000 left" in text(answer) and "bob: 0 of 1000 used" in text(answer)


def test_somebody_without_a_quota_gets_one(office: Client, boss: User) -> None:
    carol = User.objects.create_user("carol")
    assert "give one" in text(office.get(f"/admin/accounts/user/{carol.pk}/change/"))
    fields = {"user": carol.pk, "api_key": "", "credits": "70", "period": "day"}
    office.post("/admin/accounts/quota/add/", fields, follow=True)
    quota = Quota.objects.get(user=carol)
    assert (quota.credits, quota.period, quota.wallets.get().available) == (70, "day", 70)
    assert AuditEntry.objects.get(action="quota.set", subject="carol").actor == boss


def test_a_quota_is_for_one_owner_and_only_once(office: Client, alice: User) -> None:
    key = people.make_key(alice, label="k")[0]
    before = Quota.objects.count()
    both = {"user": User.objects.create_user("carol").pk, "api_key": key.pk, "credits": "7", "period": "day"}
    nobody = {**both, "user": "", "api_key": ""}
    twice = {**both, "user": alice.pk, "api_key": ""}
    for fields in (both, nobody, twice):
        assert office.post("/admin/accounts/quota/add/", fields).status_code == 200
    assert Quota.objects.count() == before


def test_a_wallet_whose_period_is_over_counts_as_unused(office: Client, alice: User) -> None:
    from tests.test_quotas import end_period, wallet_of

    ask(alice)
    end_period(wallet_of(alice))
    assert "0 of 1000" in text(office.get("/admin/accounts/quota/?q=alice"))


# --- keys ---------------------------------------------------------------------------


def test_a_key_is_revoked_and_its_digest_is_not_shown(office: Client, alice: User, alice_key: str) -> None:
    key = ApiKey.objects.get()
    page = office.get(f"/admin/accounts/apikey/{key.pk}/change/").content.decode()
    assert key.lookup in page and alice_key[14:] not in page and key.digest.hex() not in page
    answer = office.post(
        "/admin/accounts/apikey/", {"action": "revoke", "_selected_action": [key.pk]}, follow=True
    )
    assert messages(answer) == ["The key “tests” no longer opens anything."]
    key.refresh_from_db()
    assert key.revoked_at


# --- generations ----------------------------------------------------------------------


def listed(office: Client, query: str) -> int:
    page = office.get(f"/admin/generations/generation/?{query}")
    assert page.status_code == 200
    return page.context["cl"].result_count


def test_generations_are_found_by_state_model_user_and_words(office: Client, alice: User, bob: User) -> None:
    running = storing(alice)
    first, second = ask(alice, prompt="a red fox"), ask(bob, prompt="100% silk_road", model="kling-v2-6")
    assert listed(office, "status=queued") == 2
    assert listed(office, f"user__id__exact={bob.pk}") == 1
    assert listed(office, "model=kling-v2-6") == 1
    assert listed(office, "q=red+fox") == listed(office, "q=100%25+silk_") == 1
    assert listed(office, f"q={first.pk}") == listed(office, f"q={second.pk.hex}") == 1
    assert listed(office, f"q={running.upstream_id}") == 1
    assert listed(office, "q=nothing+like+it") == 0


def test_the_page_of_a_generation_tells_history_and_money(office: Client, alice: User) -> None:
    generation = storing(alice)
    page = text(office.get(f"/admin/generations/generation/{generation.pk}/change/"))
    assert "一只可爱的小猫" in page and str(generation.upstream_id) in page
    assert re.search(r"held 15 alice .* charged 15 alice", page)
    for event in Event.objects.filter(generation=generation):
        assert event.get_to_status_display() in page


def test_a_prompt_is_text_and_never_markup(office: Client, alice: User) -> None:
    generation = ask(alice, prompt="<script>alert(1)</script><img src=x onerror=alert(2)>")
    for page in (f"{generation.pk}/change/", ""):
        body = office.get(f"/admin/generations/generation/{page}").content.decode()
        assert "<script>alert" not in body and "<img src=x" not in body and "&lt;script&gt;alert" in body


def test_what_is_deleted_is_gone_here_too(office: Client, alice: User) -> None:
    generation = ask(alice)
    services.delete(generation, actor=alice)
    assert listed(office, "") == 0
    assert office.get(f"/admin/generations/generation/{generation.pk}/change/").status_code == 302


def test_canceling_says_what_came_too_late(office: Client, alice: User) -> None:
    running, queued = storing(alice), ask(alice)
    chosen = {"action": "cancel", "_selected_action": [running.pk, queued.pk]}
    said = messages(office.post("/admin/generations/generation/", chosen, follow=True))
    assert f"{queued.pk} is canceled; its credits are returned." in said
    assert any(sentence.startswith(f"{running.pk}: It has been sent") for sentence in said)
    queued.refresh_from_db()
    assert queued.status == Status.CANCELED


def doubtful(alice: User) -> Generation:
    generation = ask(alice)
    assert services.record_doubt(claim_one(), code="no_answer", message="reset by peer")
    generation.refresh_from_db()
    assert generation.status == Status.UNKNOWN
    return generation


@pytest.mark.parametrize("how", ["release", "write-off"])
def test_a_doubt_is_ended_with_a_reason(office: Client, alice: User, boss: User, how: str) -> None:
    generation = doubtful(alice)
    page = office.get(f"/admin/generations/generation/{generation.pk}/change/").content.decode()
    url = f"/admin/generations/generation/{generation.pk}/{how}/"
    assert url in page
    assert office.get(url).status_code == 200
    assert office.post(url, {"reason": " "}).status_code == 400
    assert office.post(url, {"reason": "not on their list"}).status_code == 302
    generation.refresh_from_db()
    assert generation.status == Status.FAILED
    assert Transfer.objects.filter(generation_id=generation.pk, kind="release").exists()
    assert AuditEntry.objects.filter(actor=boss, subject=str(generation.pk)).exists()
    again = office.post(url, {"reason": "once more"})
    assert again.status_code == 400 and "not in doubt any more" in text(again)


def test_an_id_is_attached_as_a_wish(office: Client, alice: User) -> None:
    generation = doubtful(alice)
    url = f"/admin/generations/generation/{generation.pk}/attach/"
    assert office.post(url, {"reason": "their page", "upstream_id": ""}).status_code == 400
    answer = office.post(url, {"reason": "their page", "upstream_id": "up-77"}, follow=True)
    assert "up-77: checking…" in text(answer)


def test_what_is_not_in_doubt_offers_no_end_of_it(office: Client, alice: User) -> None:
    generation = ask(alice)
    page = office.get(f"/admin/generations/generation/{generation.pk}/change/").content.decode()
    assert "/release/" not in page
    assert office.get(f"/admin/generations/generation/{generation.pk}/destroy/").status_code == 404


# --- in a browser ---------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_every_page_obeys_the_strict_policy(live_server, page, alice: User, boss: User) -> None:  # type: ignore[no-untyped-def]
    """The ``page`` fixture fails the test on any complaint of the browser's console."""
    generation = one_of_each(alice)
    page.goto(f"{live_server.url}/admin/")
    page.fill("#id_username", "boss")
    page.fill("#id_password", PASSWORD)
    page.click("[type=submit]")
    paths = [f"/admin/{model}/" for model in MODELS]
    paths += [
        "/admin/accounts/user/add/",
        f"/admin/accounts/user/{alice.pk}/change/",
        "/admin/accounts/quota/add/",
    ]
    paths += [reverse("admin:accounts_quota_change", args=[alice.quota.pk])]
    paths += [
        f"/admin/accounts/quota/credits/{how}/?ids={alice.quota.pk}" for how in ("set", "grant", "adjust")
    ]
    paths += [f"/admin/generations/generation/{generation.pk}/change/"]
    for path in paths:
        answer = page.goto(f"{live_server.url}{path}")
        assert answer.status == 200, path
        assert "'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
    page.goto(f"{live_server.url}/admin/accounts/quota/credits/grant/?ids={alice.quota.pk}")
    page.fill("#id_credits", "25")
    page.fill("#id_reason", "for the trailer")
    page.click("input.default")
    page.get_by_text("alice: 25 credits more for this period.").wait_for()
