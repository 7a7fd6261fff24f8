"""The statements that are written by hand say what their twins of the ORM say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import DataError, IntegrityError, OperationalError, connection, transaction
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import keys, ledger, quotas, services
from accounts.models import ApiKey, Quota, Team, TopUp, Transfer, User, Wallet
from generations import polled, public
from generations.models import Event, Generation
from generations.services import Line, cancel, create_batch, set_tags, teams
from kling_platform import prepared
from tests.api import GENERATIONS, TEXT, Api, finished
from tests.makers import ask, storing, submitted

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]


def values(row: Model | None) -> dict[str, Any] | None:
    """Every column that was read, by name."""
    if row is None:
        return None
    return {name: value for name, value in vars(row).items() if name != "_state"}


def test_a_key_and_its_owner_are_found_alike(alice: User, alice_key: str) -> None:
    new = services.rotate_key(alice, alice.api_keys.get().pk, overlap_hours=1)[1]
    User.objects.update(mailed_kinds=["ready"], role="manager")
    now = timezone.now()
    opened = []
    for change in (
        {},
        {"scopes": ["read"], "model_names": ["kling-v2-6"], "most_open": 3, "creates_whole_at": 17},
        {"expires_at": now + timedelta(days=1)},
        {"old_until": now - timedelta(seconds=1)},
        {"expires_at": now - timedelta(seconds=1)},
        {"expires_at": None, "revoked_at": now},
    ):
        ApiKey.objects.update(**change)
        for text in (alice_key, new, keys.make(new[:14]).text):
            twin, found = keys._found(text), keys._find_and_note(text)
            asked = [values(one) for one in (twin, found)]
            moments = [one and one.pop("now") for one in asked]  # the database's clock, of two statements
            assert asked[0] == asked[1], change
            assert moments[0] is None or abs(moments[0] - moments[1]) < timedelta(minutes=1)
            if twin and found:
                assert values(twin.user) == values(found.user)
            opened.append(found is not None)
    both, one, none = [True, True, False], [False, True, False], [False] * 3
    assert opened == [*both, *both, *both, *one, *none, *none]


def test_a_status_is_read_alike(alice: User, bob: User) -> None:
    tagged, made, ready, deleted = submitted(alice), storing(alice), finished(alice), finished(alice)
    canceled, waiting, strange = ask(alice), ask(alice), ask(bob)
    batch = create_batch(user=alice, lines=[Line(1, "requests[0]", TEXT)])
    set_tags(tagged, names=["winter", "猫"])
    cancel(canceled, actor=alice)
    Generation.objects.filter(pk=deleted.pk).update(deleted_at=timezone.now())
    shown = [tagged, made, ready, canceled, waiting, batch.generations.get()]
    for row in (*shown, deleted, strange):
        twin = polled.own_rows(alice).filter(pk=row.pk).first()
        found = polled.own_row(alice, row.pk)
        assert values(found) == values(twin)
        assert (found is not None) == (row in shown)
        if found and twin:
            assert found.get_deferred_fields() == twin.get_deferred_fields()
            said = [public.as_video(one) for one in (found, twin)]
            assert said[0] | {"url": ""} == said[1] | {"url": ""}


def test_a_place_in_the_history_is_read_alike(
    alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted, strange = finished(alice), ask(bob)
    Generation.objects.filter(pk=deleted.pk).update(deleted_at=timezone.now())
    found = [polled.place_of(alice, row.pk) for row in (deleted, strange)]
    monkeypatch.setattr(prepared, "is_possible", lambda: False)
    assert list(map(values, found)) == [values(polled.place_of(alice, row.pk)) for row in (deleted, strange)]
    assert found == [deleted, None]


def test_a_key_and_a_status_are_read_at_once_as_one_after_the_other(
    alice: User, bob: User, alice_key: str, bob_key: str
) -> None:
    generation, deleted = finished(alice), finished(alice)
    set_tags(generation, names=["winter"])
    Generation.objects.filter(pk=deleted.pk).update(deleted_at=timezone.now())
    for text, row in (
        (alice_key, generation),
        (alice_key, deleted),
        (bob_key, generation),
        ("klp_", generation),
    ):
        key = keys.find(text)
        one = polled.own_row(key.user, row.pk) if key else None
        both = polled.key_and_row(text, row.pk)
        assert (both is not None) == (text == alice_key and row == generation)
        if key and both:
            assert values(both[1]) == values(one)
            assert (both[0], both[0].lookup, both[0].scopes) == (key, key.lookup, key.scopes)
            assert both[0].user.key_scopes == key.user.key_scopes


@pytest.mark.parametrize("long_ago", [False, True])
def test_a_poll_notes_the_use_of_its_key_where_that_is_due(
    long_ago: bool, alice: User, alice_key: str
) -> None:
    generation, last = finished(alice), timezone.now() - timedelta(minutes=2 if long_ago else 0)
    ApiKey.objects.update(last_used_at=last)
    assert polled.key_and_row(alice_key, generation.pk)
    assert (alice.api_keys.get().last_used_at != last) == long_ago


def test_rows_are_written_alike(alice: User) -> None:
    """Each model that is written by hand, with all that it can hold and with as little as it needs."""
    wallet = Wallet.objects.get(quota__user=alice)
    now = timezone.now()
    full = {
        "prompt": "猫 % \\ \" ' {}",
        "metadata": {"a": [1, None, "é"]},
        "submitted_at": now,
        "polls": 70_000,
    }
    bare = {"model": "kling-v2-6", "seconds": 5, "size": "1:1", "price": 15, "next_check_at": now}
    for one, other in (
        [Generation(user=alice, created_at=now, **bare) for _time in range(2)],
        [Generation(user=alice, created_at=now, **(bare | full)) for _time in range(2)],
    ):
        one.save(force_insert=True)
        events = [Event(generation=row, to_status="queued", at=now, detail={"n": 1}) for row in (one, other)]
        events[0].save(force_insert=True)
        prepared.insert(other, events[1])
        for twin, found in ((one, other), events):
            assert found._state.db == "default" and not found._state.adding
            written = [type(twin).objects.filter(pk=row.pk).values().get() for row in (twin, found)]
            apart = [{k: v for k, v in row.items() if k not in ("id", "generation_id")} for row in written]
            assert apart[0] == apart[1]
            assert type(twin).objects.get(pk=found.pk) == found
    lines = [Transfer(wallet=wallet, seq=seq, kind="grant", amount=1, available_after=0) for seq in (90, 91)]
    prepared.insert(*lines)
    assert [line.pk for line in lines] == list(
        Transfer.objects.filter(seq__gte=90).order_by("seq").values_list("pk", flat=True)
    )


def test_a_row_that_may_not_be_is_refused_as_djangos(alice: User) -> None:
    wallet = Wallet.objects.get(quota__user=alice)
    twice = [Transfer(wallet=wallet, seq=90, kind="grant", amount=1, available_after=0) for _time in range(2)]
    before = Transfer.objects.count()
    with pytest.raises(IntegrityError, match="accounts_transfer_seq"), transaction.atomic():
        prepared.insert(*twice)
    assert Transfer.objects.count() == before


def test_the_quotas_that_pay_are_found_alike(alice: User, bob: User, alice_key: str) -> None:
    key, film, other = alice.api_keys.get(), *(Team.objects.create(name=name) for name in ("Film", "Other"))
    for owner, credits in (
        (alice, {"day": 500, "month": 1_000}),
        (film, {"month": 9}),
        (other, {"month": 9}),
        (key, {"day": 5, "total": 50}),
    ):
        services.set_quotas(owner, credits, actor=alice, reason="tests")
    mine = Wallet.objects.get(quota__user=alice, quota__period="day")
    with transaction.atomic():
        ends_at = timezone.now() + timedelta(days=1)
        top_up = ledger.top_up(mine.pk, 50, ends_at=ends_at, reason="tests", actor=bob)
    told = []
    for over in (False, True):
        if over:
            TopUp.objects.filter(pk=top_up.pk).update(ends_at=timezone.now() - timedelta(seconds=1))
            Wallet.objects.filter(quota__team=film).update(closed_at=timezone.now())
            Quota.objects.filter(api_key=key, period="day").update(lifted_at=timezone.now())
        for asked in ((alice, None, None), (alice, film, None), (alice, film, key), (bob, other, None)):
            twin, found = (list(find(*asked)) for find in (quotas._paying_twin, quotas._paying))
            for one in (*twin, *found):
                assert abs(one.__dict__.pop("now") - timezone.now()) < timedelta(minutes=1)
            assert [values(one) for one in found] == [values(one) for one in twin]
            told.append(
                (len(found), sum(one.open_id is None for one in found), sum(one.lapsed for one in found))
            )
    assert told == [(2, 0, 0), (3, 0, 0), (5, 0, 0), (2, 0, 0), (2, 0, 1), (3, 1, 1), (4, 1, 1), (2, 0, 0)]


def test_the_teams_of_somebody_are_found_alike(alice: User, bob: User) -> None:
    for name, members in (("水", [alice]), ("film", [alice, bob]), ("Art", [alice]), ("none", [])):
        Team.objects.create(name=name).members.set(members)
    for user, number in ((alice, 3), (bob, 1)):
        twin, found = list(teams._teams_twin(user)), list(teams._teams(user))
        assert [values(one) for one in found] == [values(one) for one in twin]
        assert len(found) == number


def test_it_is_planned_once_and_counted_each_time(alice: User, alice_key: str) -> None:
    api, path = Api(alice_key), f"{GENERATIONS}/{submitted(alice).pk}"
    api.get(path)
    assert [api.get(path).status_code for _ in range(3)] == [200] * 3
    with CaptureQueriesContext(connection) as seen:
        api.get(path)
    assert len(seen) == 2 and "k.lookup" in seen[0]["sql"] and str(alice.pk) in seen[1]["sql"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        planned = [statement for (statement,) in cursor.fetchall()]
    assert len([one for one in planned if "FROM generations_generation g" in one]) == 1
    assert len([one for one in planned if "WHERE k.lookup" in one]) == 1


def test_its_errors_are_djangos(db: None) -> None:
    with pytest.raises(DataError):
        prepared.first("SELECT 1 / %(none)s::int", {"none": 0})


@pytest.mark.django_db(transaction=True)
def test_a_line_that_died_is_replaced_without_a_question_more(alice_key: str) -> None:
    assert keys.find(alice_key)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (first,) = cursor.fetchone()
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [first])
    connection.health_check_done = False  # as each request begins
    assert keys.find(alice_key)
    with CaptureQueriesContext(connection) as seen:
        assert keys.find(alice_key)
    assert len(seen) == 1


def test_what_a_living_line_refuses_is_refused_once(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 20")
    with pytest.raises(OperationalError), CaptureQueriesContext(connection) as seen:
        prepared.first("SELECT pg_sleep(%(seconds)s)", {"seconds": 5})
    assert len(seen) == 1
