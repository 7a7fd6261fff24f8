"""Somebody leaves: the library goes to somebody else, the rest is purged, and nobody does it by accident."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from accounts import services as people
from accounts.invariants import ALL
from accounts.models import AuditEntry, Notice, User, Wallet
from generations import services, upkeep
from generations.invariants import INVARIANTS
from generations.models import Generation, Preset, Status, Storyboard, Video
from generations.omnimaas.reader import Reading
from kling_platform.errors import Forbidden, InvalidValue, WrongState
from tests.api import finished
from tests.makers import ask, due, submitted
from tests.office import text
from tests.portal import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def spent(user: User) -> int:
    return Wallet.objects.get(quota__user=user).spent


def breaches() -> list[str]:
    return [breach for invariant in INVARIANTS for breach in invariant.breaches(ALL)]


def test_the_library_is_somebody_elses_and_the_maker_has_paid(alice: User, bob: User, boss: User) -> None:
    ready, his = finished(alice), finished(bob)
    waiting = ask(alice)
    services.set_tags(ready, names=["fox", "lake"])
    services.set_tags(his, names=["fox"])
    services.save_preset(user=alice, name="Dusk", text="blue hour")
    board = services.plan_storyboard(
        user=alice, title="The keeper", model=ready.model, shots=[services.Planned("He lights it.", 5)]
    )
    services.start_storyboard(board)
    assert services.hand_over(alice, to=bob, actor=boss) == 2
    assert not Generation.objects.for_user(alice).exists()
    ready.refresh_from_db()
    assert (ready.user, ready.maker) == (bob, alice)
    assert {(tag.user, tag.name) for tag in ready.tags.all()} == {(bob, "fox"), (bob, "lake")}
    assert Preset.objects.get().user == bob
    board = Storyboard.objects.get()
    assert (board.user, board.status) == (bob, "stopped"), "nobody pays for what they did not start"
    notice = Notice.objects.get(user=bob, kind="handed")
    assert notice.sentence == "The library of alice is yours now: 2 videos."
    entry = AuditEntry.objects.get(action="user.hand_over")
    assert (entry.subject, entry.detail) == ("alice", {"to": "bob", "videos": 2, "storyboards": 1})
    services.cancel(Generation.objects.get(pk=waiting.pk), actor=bob)
    assert (spent(alice), spent(bob)) == (15, 15), "what was held comes back to whoever held it"
    assert Wallet.objects.get(quota__user=alice).available == 985
    assert breaches() == []


def test_what_was_handed_over_outlives_the_account(alice: User, bob: User, boss: User) -> None:
    kept = submitted(alice)
    services.hand_over(alice, to=bob, actor=boss)
    left = finished(alice)
    services.retire_user(alice, actor=boss, reason="new job")
    services.record_reading(due(kept), Reading("failed"))
    upkeep.purge()
    kept.refresh_from_db(), left.refresh_from_db(), alice.refresh_from_db()
    assert (kept.user, kept.status, kept.prompt != "") == (bob, Status.FAILED, True)
    assert left.purged_at and not Video.objects.filter(generation=left).exists()
    assert alice.username == f"former-{alice.pk}" and kept.maker == alice
    assert breaches() == []


def test_handed_back_it_is_as_before(alice: User, bob: User, boss: User) -> None:
    mine = finished(alice)
    services.hand_over(alice, to=bob, actor=boss)
    services.hand_over(bob, to=alice, actor=boss)
    mine.refresh_from_db()
    assert (mine.user, mine.maker) == (alice, alice)
    assert breaches() == []


def test_only_an_admin_hands_over_and_only_to_somebody_who_can_see_it(
    alice: User, bob: User, boss: User
) -> None:
    with pytest.raises(Forbidden):
        services.hand_over(alice, to=bob, actor=bob)
    with pytest.raises(InvalidValue, match="They have it already"):
        services.hand_over(alice, to=alice, actor=boss)
    people.set_active(bob, False, actor=boss)
    with pytest.raises(WrongState, match="bob is suspended"):
        services.hand_over(alice, to=bob, actor=boss)


def test_the_page_says_what_there_is_and_asks_for_the_name(alice: User, bob: User, boss: User) -> None:
    finished(alice), submitted(alice), ask(alice)
    people.make_key(alice, label="kept")
    client, page = signed_in(boss), f"/manage/people/{alice.pk}"
    shown = text(client.get(f"{page}/leave"))
    for said in (
        "Videos 1",
        "In the making 1",
        "and 1 waiting",
        "API keys 1",
        "Credits held 30",
        "1 waiting video is canceled, its credits are returned.",
        "1 video in the making is followed to its end",
    ):
        assert said in shown
    wrong: Any = client.post(f"{page}/leave", {"name": "Alice", "reason": "new job"})
    assert wrong.status_code == 400 and "Type alice, to be sure." in text(wrong)
    unsaid = client.post(f"{page}/leave", {"name": "alice", "reason": ""})
    assert unsaid.status_code == 400 and "Say why" in text(unsaid)
    nobody = client.post(f"{page}/hand-over", {"name": "alice", "to": "nobody"})
    assert nobody.status_code == 400 and "Nobody has this user name." in text(nobody)
    alice.refresh_from_db()
    assert alice.is_active
    assert client.post(f"{page}/hand-over", {"name": "alice", "to": "bob"}).status_code == 302
    assert Generation.objects.filter(user=bob).count() == 3


def test_the_purge_is_watched_to_its_end(alice: User, boss: User) -> None:
    finished(alice)
    running = submitted(alice)
    client, page = signed_in(boss), f"/manage/people/{alice.pk}"
    assert client.get(f"{page}/farewell").status_code == 404
    client.post(f"{page}/leave", {"name": "alice", "reason": "new job"})
    assert f'hx-get="{page}/farewell"' in client.get(page).content.decode()
    assert "Purged: 0 of 2 videos" in text(client.get(f"{page}/farewell"))
    upkeep.purge()
    halfway = text(client.get(f"{page}/farewell"))
    assert "Purged: 1 of 2 videos" in halfway and "1 is still in the making" in halfway
    services.record_reading(due(running), Reading("failed"))
    upkeep.purge()
    end = client.get(f"{page}/farewell")
    assert end.status_code == 286 and "Everything is gone" in text(end)


def test_nobody_removes_himself(boss: User) -> None:
    page = f"/manage/people/{boss.pk}/leave"
    answer = signed_in(boss).post(page, {"name": "boss", "reason": "tired"})
    assert answer.status_code == 400 and "You cannot retire yourself" in text(answer)


@pytest.mark.parametrize(
    "verb",
    [
        lambda user: people.set_active(user, False, actor=None),
        lambda user: people.set_role(user, "member", actor=None),
        lambda user: people.close_account(user, actor=None, reason="x"),
    ],
    ids=["suspend", "role", "leave"],
)
def test_the_last_admin_stays_whoever_asks(boss: User, verb: Any) -> None:
    with pytest.raises(WrongState, match="boss is the last admin"):
        verb(boss)
    boss.refresh_from_db()
    assert boss.is_active and boss.role == "admin"


@pytest.mark.django_db(transaction=True)
def test_of_two_admins_who_remove_each_other_one_stays(boss: User) -> None:
    other = people.provision("other", password="a-long-password", role=User.Role.ADMIN).user
    start = Barrier(2)

    def remove(whom: User, by: User) -> str:
        start.wait()
        try:
            people.close_account(whom, actor=by, reason="coup")
            return "removed"
        except WrongState as refusal:
            return str(refusal)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        ends = [pool.submit(remove, *pair) for pair in ((boss, other), (other, boss))]
    said = sorted(end.result() for end in ends)
    assert said[1] == "removed" and "is the last admin" in said[0]
    assert User.objects.filter(role="admin", is_active=True).count() == 1
