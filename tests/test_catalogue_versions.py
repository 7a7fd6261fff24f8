"""An admin changes models, rules and prices: form, API and documents follow at once, running ones keep their price."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import AuditEntry, User
from generations import catalogue, rulebook, services
from generations.models import CatalogueVersion
from kling_platform.errors import Forbidden, InvalidValue, WrongState
from tests.api import Api
from tests.makers import ask
from tests.portal import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]

STD, PRO, V26 = (model.name for model in catalogue.BUILT_IN.models)


def dearer(rules: catalogue.Rules, name: str, per_second: int) -> catalogue.Rules:
    """The same rules with another price for the first mode of a model."""
    return changed(rules, name, modes=lambda modes: (replace(modes[0], per_second=per_second), *modes[1:]))


def changed(rules: catalogue.Rules, which: str, /, **fields: Any) -> catalogue.Rules:
    def new(model: catalogue.Model) -> catalogue.Model:
        values = {
            key: value(getattr(model, key)) if callable(value) else value for key, value in fields.items()
        }
        return replace(model, **values)

    return replace(rules, models=tuple(new(m) if m.name == which else m for m in rules.models))


def publish(rules: catalogue.Rules, actor: User, **options: Any) -> CatalogueVersion:
    newest = CatalogueVersion.objects.order_by("-pk").first()
    base = newest.version if newest else catalogue.BUILT_IN.version
    row = services.publish_rules(rules, base=base, actor=actor, **options)
    services.forget_rules()  # the transaction of a test is never committed
    return row


def test_what_is_kept_reads_the_same_again() -> None:
    assert rulebook.from_data(rulebook.as_data(catalogue.BUILT_IN), "2026-11") == catalogue.BUILT_IN


def test_a_new_price_holds_at_once_and_running_ones_keep_theirs(
    alice: User, boss: User, alice_key: str
) -> None:
    before = ask(alice)
    row = publish(dearer(catalogue.BUILT_IN, STD, 4), boss, note="Upstream asks for more")
    after = ask(alice)
    before.refresh_from_db()
    assert (before.price, before.price_version) == (15, catalogue.BUILT_IN.version)
    assert (after.price, after.price_version) == (20, row.version)
    model = Api(alice_key).get("/v1/models").json()["data"][0]
    assert model["modes"][0]["credits_per_second"] == 4
    assert "credits_per_second&quot;: 4" in re.sub(
        r'"', "&quot;", signed_in(alice).get("/new").content.decode()
    )


def test_a_planned_price_begins_at_its_time(alice: User, boss: User) -> None:
    row = publish(dearer(catalogue.BUILT_IN, STD, 4), boss, effective_from=timezone.now() + timedelta(days=3))
    assert ask(alice).price == 15
    CatalogueVersion.objects.filter(pk=row.pk).update(effective_from=Now())
    services.forget_rules()
    assert ask(alice).price == 20


def test_a_model_that_is_switched_off_is_offered_nowhere_and_still_has_its_name(
    alice: User, boss: User, alice_key: str
) -> None:
    old = ask(alice, model=V26, metadata={"mode": "pro"})
    publish(changed(catalogue.BUILT_IN, V26, enabled=False), boss)
    answer = Api(alice_key).create(model=V26)
    assert answer.status_code == 400
    assert "switched off" in answer.json()["error"]["message"]
    assert V26 not in [model["id"] for model in Api(alice_key).get("/v1/models").json()["data"]]
    page = signed_in(alice).get(f"/g/{old.pk}").content.decode()
    assert "Kling 2.6" in page and "1080p" in page
    assert "Run again" not in page
    assert services.names_mode(old), "upstream is told the mode that was paid for"


def test_a_new_model_is_offered_by_form_api_and_documents(alice: User, boss: User, alice_key: str) -> None:
    fresh = catalogue.Model("kling-v3", "Kling 3", (catalogue.Mode("pro", "1080p", 7),), seconds=(5, 10, 15))
    publish(replace(catalogue.BUILT_IN, models=(*catalogue.BUILT_IN.models, fresh)), boss)
    assert Api(alice_key).create(model="kling-v3", duration=15).status_code == 200
    assert "Kling 3" in signed_in(alice).get("/new").content.decode()
    out = StringIO()
    call_command("spectacular", "--validate", "--format=openapi-json", stdout=out)
    declared = json.loads(out.getvalue())["components"]["schemas"]["GenerationRequest"]
    assert "kling-v3" in declared["properties"]["model"]["enum"]


def test_refusals_name_the_models_of_the_rules_in_force(boss: User) -> None:
    rules = changed(catalogue.BUILT_IN, PRO, enabled=False)
    with pytest.raises(InvalidValue, match=re.escape("needs kling-v2-6 (pro).")):
        two = ["https://example.com/a.jpg", "https://example.com/b.jpg"]
        catalogue.validate({"model": STD, "prompt": "x", "images": two}, rules)


def test_of_two_editors_the_second_is_told(boss: User) -> None:
    publish(dearer(catalogue.BUILT_IN, STD, 4), boss)
    with pytest.raises(WrongState, match="Somebody else"):
        services.publish_rules(
            dearer(catalogue.BUILT_IN, STD, 5), base=catalogue.BUILT_IN.version, actor=boss
        )
    assert CatalogueVersion.objects.count() == 1


def test_who_changed_what_from_what_to_what_is_written_down(boss: User) -> None:
    row = publish(dearer(catalogue.BUILT_IN, STD, 4), boss, note="Why not")
    entry = AuditEntry.objects.get(action="catalogue.publish")
    assert (entry.subject, entry.actor) == (row.version, boss)
    assert entry.detail["changes"] == [{"what": f"{STD}/std per_second", "from": 3, "to": 4}]


def test_a_planned_version_can_be_taken_back_and_a_begun_one_cannot(boss: User) -> None:
    row = publish(dearer(catalogue.BUILT_IN, STD, 4), boss, effective_from=timezone.now() + timedelta(days=3))
    services.withdraw_rules(row.version, actor=boss)
    assert not CatalogueVersion.objects.exists()
    row = publish(dearer(catalogue.BUILT_IN, STD, 4), boss)
    with pytest.raises(WrongState):
        services.withdraw_rules(row.version, actor=boss)


def test_only_admins_change_it(alice: User) -> None:
    with pytest.raises(Forbidden):
        publish(dearer(catalogue.BUILT_IN, STD, 4), alice)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": "Kling V3"}, "Kling V3"),
        ({"label": ""}, STD),
        ({"seconds": ()}, STD),
        ({"seconds": (5, 5)}, STD),
        ({"seconds": (0,)}, STD),
        ({"sizes": ("wide",)}, STD),
        ({"modes": ()}, STD),
        ({"modes": (catalogue.Mode("std", "720p", 0),)}, f"{STD}/std"),
        ({"modes": (catalogue.Mode("std", "720p", 10**6),)}, f"{STD}/std"),
        ({"modes": (catalogue.Mode("st d", "720p", 3),)}, f"{STD}/st d"),
        ({"name": PRO}, "models"),
    ],
)
def test_rules_that_make_no_sense_are_refused(fields: dict[str, Any], param: str, boss: User) -> None:
    with pytest.raises(InvalidValue) as refused:
        publish(changed(catalogue.BUILT_IN, STD, **fields), boss)
    assert refused.value.param == param
    assert not CatalogueVersion.objects.exists()


def test_one_model_at_least_stays_on(boss: User) -> None:
    off = tuple(replace(model, enabled=False) for model in catalogue.BUILT_IN.models)
    with pytest.raises(InvalidValue, match="at least one model"):
        publish(replace(catalogue.BUILT_IN, models=off), boss)


def test_modes_stay_ordered_from_cheap_to_dear(boss: User) -> None:
    """The first one that fits is taken, so a dearer std may not stand before a cheaper pro."""
    publish(dearer(catalogue.BUILT_IN, V26, 8), boss)
    model = services.current_rules().model(V26)
    assert model is not None and [mode.name for mode in model.modes] == ["pro", "std"]
