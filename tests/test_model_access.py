"""Who may use which model: the model's teams, the person, the team, the key. One answer at every door."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from accounts import services as people
from accounts.models import AuditEntry, Team, Transfer, User
from generations import rulebook, services
from generations.catalogue import BUILT_IN
from generations.models import Generation
from kling_platform.errors import InvalidValue
from tests.api import Api, error
from tests.conftest import person
from tests.makers import ask
from tests.office import text
from tests.portal import compose, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]

STD, PRO, NEW = "kling-v2-5-turbo-std", "kling-v2-5-turbo-pro", "kling-v2-6"


@pytest.fixture
def film(bob: User, boss: User) -> Team:
    """Bob is in it, Alice is not; the newest model is kept for it."""
    team = people.make_team("Film", actor=boss)
    people.add_member(team, bob, actor=boss)
    keep_for(team, actor=boss)
    return team


def keep_for(*teams: Team, actor: User) -> None:
    rules = services.newest_rules()
    models = [
        replace(model, teams=tuple(team.pk for team in teams)) if model.name == NEW else model
        for model in rules.models
    ]
    services.publish_rules(replace(rules, models=tuple(models)), base=rules.version, actor=actor)
    services.forget_rules()


def listed(key: str) -> list[str]:
    return [model["id"] for model in Api(key).get("/v1/models").json()["data"]]


def test_a_model_that_is_kept_for_a_team_is_for_its_people_alone(
    film: Team, alice: User, bob: User, alice_key: str, bob_key: str
) -> None:
    assert (NEW in listed(alice_key), NEW in listed(bob_key)) == (False, True)
    refused = Api(alice_key).create(model=NEW)
    assert (refused.status_code, error(refused)["code"]) == (403, "model_not_allowed")
    assert error(refused)["message"] == (
        "kling-v2-6 is for the people of certain teams, and you are in none of them. Nothing was made, nothing "
        "was charged. Take one of these: kling-v2-5-turbo-std, kling-v2-5-turbo-pro, or ask boss."
    )
    assert Api(bob_key).create(model=NEW).status_code == 200
    assert ask(bob, model=NEW, team=None).team is None, "also for himself"


def test_a_person_uses_what_is_on_the_list_at_every_door(alice: User, boss: User, alice_key: str) -> None:
    maria = person("maria", role="manager")
    for user in (alice, maria):
        people.add_member(Team.objects.get_or_create(name="Film")[0], user, actor=boss)
    client = signed_in(boss)
    assert client.post(f"/manage/people/{alice.pk}/models", {"models": [PRO]}).status_code == 302
    entry = AuditEntry.objects.get(action="user.models")
    assert entry.detail == {"before": [], "models": [PRO]}
    assert listed(alice_key) == [PRO]
    said = "You may not use kling-v2-5-turbo-std. Nothing was made, nothing was charged. "
    said += "Take one of these: kling-v2-5-turbo-pro, or ask maria."
    refused = Api(alice_key).create(model=STD)
    assert (refused.status_code, error(refused)["message"]) == (403, said)
    quoted = Api(alice_key).post("/v1/video/generations?dry_run=1", {"model": STD, "prompt": "x"}).json()
    assert said in str(quoted)
    alice.refresh_from_db()
    mine = signed_in(alice)
    assert compose(mine, model=STD).json()["errors"]["model"] == [said]
    for page in ("/new", "/matrix", "/storyboards/new"):
        shown = mine.get(page).content.decode()
        assert PRO in shown and STD not in shown, page
    assert f'name="model" value="{PRO}"' in mine.get("/").content.decode()
    assert not Generation.objects.exists() and not Transfer.objects.filter(kind="reserve").exists()
    assert compose(mine, model=PRO).status_code == 201


def test_again_offers_what_may_be_used(alice: User, boss: User) -> None:
    old = ask(alice, model=STD)
    assert {one.model for one in services.alternatives(old, user=alice)} == {PRO, NEW}
    people.set_models(alice, [STD, NEW], actor=boss)
    assert {one.model for one in services.alternatives(old, user=alice)} == {NEW}


def test_a_key_narrows_what_its_owner_may_use(alice: User, boss: User) -> None:
    people.set_models(alice, [STD, PRO], actor=boss)
    text_ = people.make_key(alice, label="k", limits=people.Limits(model_names=(PRO, NEW)))[1]
    assert listed(text_) == [PRO]
    assert "You may not use kling-v2-6" in error(Api(text_).create(model=NEW))["message"]
    assert "This key may use" in error(Api(text_).create(model=STD))["message"]


def test_with_nothing_to_use_the_pages_stand_and_say_whom_to_ask(alice: User, boss: User) -> None:
    people.set_models(alice, ["kling-v1"], actor=boss)  # was offered once
    client = signed_in(alice)
    for page in ("/", "/new", "/matrix", "/storyboards/new"):
        assert client.get(page).status_code == 200, page
    assert "You may not use kling-v2-6" in str(compose(client, model=NEW).json()["errors"]["model"])
    kept = signed_in(boss).get(f"/manage/people/{alice.pk}/models").content.decode()
    assert 'value="kling-v1" checked' in kept


def test_the_catalogue_says_for_whom_and_the_change_is_on_record(film: Team, boss: User) -> None:
    client = signed_in(boss)
    assert "only for Film" in text(client.get("/manage/catalogue"))
    entry = AuditEntry.objects.get(action="catalogue.publish")
    assert entry.detail["changes"] == [{"what": f"{NEW} teams", "from": "everybody", "to": "Film"}]
    form = client.get("/manage/catalogue/edit").content.decode()
    assert f'name="m2-teams" value="{film.pk}"' in form.replace('type="checkbox" ', "")
    assert rulebook.from_data(rulebook.as_data(services.newest_rules()), "x").models[2].teams == (film.pk,)


def test_rules_of_a_time_without_teams_are_read(boss: User) -> None:
    data: dict[str, Any] = rulebook.as_data(BUILT_IN)
    for model in data["models"]:
        del model["teams"]
    assert rulebook.from_data(data, BUILT_IN.version) == BUILT_IN


def test_a_team_that_is_not_there_is_refused(boss: User) -> None:
    rules = services.newest_rules()
    models = (replace(rules.models[0], teams=(999,)), *rules.models[1:])
    with pytest.raises(InvalidValue, match="no such team"):
        services.publish_rules(replace(rules, models=models), base=rules.version, actor=boss)


def test_without_lists_nobody_is_asked_more(alice: User, django_assert_num_queries: Any) -> None:
    services.current_rules()
    with django_assert_num_queries(0):
        assert len(services.rules_for(alice).models) == 3
