"""Made for a team: its wallet pays too, its rules hold, its people see what is shared, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from accounts import services as people
from accounts.invariants import ALL
from accounts.models import Team, Transfer, User, Wallet
from generations import services
from generations.invariants import INVARIANTS as OF_GENERATIONS
from generations.models import Generation
from kling_platform.errors import Forbidden, InsufficientQuota, InvalidValue, WrongState
from tests.api import Api, error
from tests.conftest import person
from tests.makers import ask
from tests.portal import compose, signed_in

pytestmark = pytest.mark.django_db

PRICE = 15


@pytest.fixture
def film(alice: User, bob: User, boss: User) -> Team:
    """Alice and Bob are in it; it has a quota of 40 credits."""
    team = people.make_team("Film", actor=boss)
    for user in (alice, bob):
        people.add_member(team, user, actor=boss)
    people.set_quota(team, credits=40)
    return team


def left(owner: User | Team) -> int:
    return Wallet.objects.get(closed_at=None, quota=owner.quotas.get()).available  # type: ignore[union-attr]


def test_both_wallets_pay_and_both_get_it_back(film: Team, alice: User) -> None:
    generation = ask(alice)
    assert (generation.team, left(alice), left(film)) == (film, 1_000 - PRICE, 40 - PRICE)
    services.cancel(generation, actor=alice)
    assert (left(alice), left(film)) == (1_000, 40)
    assert [breach for invariant in OF_GENERATIONS for breach in invariant.breaches(ALL)] == []


def test_an_empty_team_says_so_and_nobody_pays(film: Team, alice: User, bob: User) -> None:
    ask(alice), ask(bob)
    with pytest.raises(InsufficientQuota, match="Your team's monthly quota: 10 credits left, this needs 15"):
        ask(alice)
    assert left(alice) == 1_000 - PRICE
    assert ask(alice, team=None).team is None, "for oneself it goes on"
    assert left(film) == 10


def test_only_ones_own_team_is_meant_without_a_word(film: Team, alice: User, boss: User) -> None:
    assert ask(boss).team is None
    sound = people.make_team("Sound", actor=boss)
    people.add_member(sound, alice, actor=boss)
    assert ask(alice).team is None, "of two teams none is meant"
    assert ask(alice, team="Sound").team == sound
    for name in ("Nobody's", 7, ["Film"]):
        with pytest.raises(InvalidValue, match="Your teams: Film, Sound") as refused:
            ask(alice, team=name)
        assert refused.value.param == "team"


def test_a_rule_on_models_holds_at_every_door(film: Team, alice: User, boss: User, alice_key: str) -> None:
    people.change_team(film, actor=boss, version=1, models_allowed=["kling-v2-6"])
    with pytest.raises(Forbidden, match="The team Film does not use kling-v2-5-turbo-std"):
        ask(alice)
    refused = Api(alice_key).create(model="kling-v2-5-turbo-std")
    assert (refused.status_code, error(refused)["param"]) == (403, "model")
    assert "The team Film" in str(compose(signed_in(alice), team="Film").json()["errors"]["model"])
    assert not Generation.objects.exists() and not Transfer.objects.filter(kind="reserve").exists()
    assert compose(signed_in(alice), team="").status_code == 201
    assert Api(alice_key).create(model="kling-v2-6").status_code == 200


def test_what_is_shared_is_seen_by_the_team_alone(film: Team, alice: User, bob: User) -> None:
    generation, stranger = ask(alice), person("stranger")
    page = f"/g/{generation.pk}"
    assert signed_in(bob).get(page).status_code == 404
    signed_in(alice).post(f"{page}/share", {"team": film.pk})
    assert signed_in(bob).get(page).status_code == 200
    assert generation in Generation.objects.for_user(bob)
    assert signed_in(stranger).get(page).status_code == 404
    assert signed_in(bob).post(f"{page}/unshare").status_code == 404, "it is the owner's to take back"
    signed_in(alice).post(f"{page}/unshare")
    assert signed_in(bob).get(page).status_code == 404


def test_whoever_leaves_sees_it_no_longer(film: Team, alice: User, bob: User, boss: User) -> None:
    generation = ask(alice, visibility="team")
    people.remove_member(film, bob, actor=boss)
    assert generation not in Generation.objects.for_user(bob)


def test_a_team_that_does_not_share_shows_nothing(film: Team, alice: User, bob: User, boss: User) -> None:
    generation = ask(alice, visibility="team")
    people.change_team(film, actor=boss, version=1, sharing=False)
    assert generation not in Generation.objects.for_user(bob)
    with pytest.raises(Forbidden, match="does not share"):
        ask(alice, visibility="team")
    with pytest.raises(Forbidden, match="does not share"):
        services.share(ask(alice), team=Team.objects.get())


def test_a_private_one_joins_a_team_and_no_second_one(film: Team, alice: User, boss: User) -> None:
    sound = people.make_team("Sound", actor=boss)
    generation = ask(alice, team=None)
    with pytest.raises(Forbidden, match="not in this team"):
        services.share(generation, team=sound)
    services.share(generation, team=film)
    people.add_member(sound, alice, actor=boss)
    with pytest.raises(WrongState, match="made for another team"):
        services.share(generation, team=sound)
    assert left(film) == 40, "sharing costs nothing"


@pytest.mark.parametrize("sent", [{"visibility": "everybody"}, {"visibility": "team", "team": None}])
def test_a_wrong_audience_is_refused(film: Team, alice_key: str, sent: dict[str, Any]) -> None:
    assert Api(alice_key).create(**sent).status_code == 400
    assert not Generation.objects.exists()


def test_again_is_for_the_same_team_and_private(film: Team, alice: User, bob: User) -> None:
    shared = ask(alice, visibility="team")
    again = services.retry(shared, user=alice)
    assert (again.team, again.visibility) == (film, "private")
    alone = ask(alice, team=None)
    assert services.retry(alone, user=alice).team is None


def test_two_editors_of_rules_do_not_overwrite_each_other(film: Team, boss: User) -> None:
    first = {"name": "Film", "version": 1, "sharing": "on"}
    assert signed_in(boss).post(f"/manage/teams/{film.pk}", first).status_code == 302
    people.change_team(film, actor=boss, version=2, sharing=False)
    late = signed_in(boss).post(f"/manage/teams/{film.pk}", {**first, "version": 2, "name": "Late"})
    assert late.status_code == 409 and "Somebody else changed this team" in late.content.decode()
    film.refresh_from_db()
    assert (film.name, film.sharing) == ("Film", False)


def test_the_composer_asks_for_whom(film: Team, alice: User, boss: User) -> None:
    assert '<option value="Film" selected>' in signed_in(alice).get("/new").content.decode()
    assert 'name="team"' not in signed_in(boss).get("/new").content.decode()
    compose(signed_in(alice), team="Film", shared="on")
    assert Generation.objects.get().visibility == "team"
