"""Who goes next: the cap, the fair share, the circuit."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now

from generations import dispatch, lanes, services
from generations.models import Generation, Lane, Status, Upstream
from tests.makers import ask, claim_one, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    return make_user("alice", credits=10_000)


@pytest.fixture
def bob():
    return make_user("bob", credits=10_000)


def circuit() -> str:
    return Upstream.objects.get().circuit


def wait_is_over() -> None:
    Upstream.objects.update(open_until=Now() - timedelta(seconds=1))


@pytest.mark.sqlite
def test_the_cap_counts_rows_and_doubt_for_a_while(alice, settings):
    settings.OMNIMAAS_MAX_IN_FLIGHT = 3
    for _ in range(5):
        ask(alice)
    claims = dispatch.claim(10)
    assert len(claims) == 3
    services.record_submitted(claims[0], upstream_id="a")
    services.record_doubt(claims[1], code="line", message="x")
    assert dispatch.claim(10) == []
    Generation.objects.filter(status=Status.UNKNOWN).update(submitted_at=Now() - timedelta(minutes=31))
    assert len(dispatch.claim(10)) == 1


@pytest.mark.sqlite
def test_a_batch_of_one_member_delays_nobody_elses_single_one(alice, bob, settings):
    settings.OMNIMAAS_MAX_IN_FLIGHT = 4
    for _ in range(8):
        ask(alice)
    single = ask(bob)
    first, second = dispatch.claim(2)
    assert second.generation_id == single.pk
    assert Generation.objects.get(pk=first.generation_id).user == alice


@pytest.mark.sqlite
def test_who_has_more_in_flight_waits_for_who_has_less(alice, bob, settings):
    settings.OMNIMAAS_MAX_IN_FLIGHT = 10
    for _ in range(4):
        ask(alice)
    dispatch.claim(3)
    for _ in range(3):
        ask(bob)
    owners = [Generation.objects.get(pk=c.generation_id).user.username for c in dispatch.claim(4)]
    assert owners == ["bob", "bob", "bob", "alice"]


@pytest.mark.sqlite
def test_being_throttled_lowers_the_cap_which_grows_back(alice, settings):
    settings.OMNIMAAS_MAX_IN_FLIGHT = 10
    for _ in range(10):
        ask(alice)
    claims = dispatch.claim(4)
    for number, claim in enumerate(claims[:3]):
        services.record_submitted(claim, upstream_id=f"up{number}")
    services.record_throttled(claims[3], message="1303")
    assert Upstream.objects.get().cap == 3
    assert dispatch.claim(5) == []
    Upstream.objects.update(cap_changed_at=Now() - timedelta(minutes=2, seconds=1))
    assert len(dispatch.claim(5)) == 2


@pytest.mark.sqlite
def test_two_doubts_in_a_row_open_the_circuit_and_a_probe_lets_one_try(alice):
    for _ in range(5):
        ask(alice)
    first, second = dispatch.claim(2)
    services.record_doubt(first, code="line", message="broken")
    assert circuit() == "closed"
    services.record_doubt(second, code="line", message="broken")
    assert circuit() == "open"
    assert dispatch.claim(5) == []
    assert not dispatch.probe_due()
    wait_is_over()
    assert dispatch.probe_due()
    assert not dispatch.probe_due(), "one prober"
    dispatch.note_probe(alive=True)
    (only,) = dispatch.claim(5)
    assert dispatch.claim(5) == [], "one POST"
    services.record_submitted(only, upstream_id="a")
    assert circuit() == "closed"
    assert len(dispatch.claim(5)) == 2


@pytest.mark.sqlite
def test_a_success_in_between_forgets_a_doubt(alice):
    for _ in range(3):
        ask(alice)
    claims = dispatch.claim(3)
    services.record_doubt(claims[0], code="line", message="x")
    services.record_submitted(claims[1], upstream_id="a")
    services.record_doubt(claims[2], code="line", message="x")
    assert circuit() == "closed"


@pytest.mark.sqlite
def test_an_open_circuit_waits_ever_longer(alice):
    ask(alice)
    services.record_account_fault(claim_one(), message="401")
    waits = [Upstream.objects.get().open_seconds]
    for _ in range(5):
        wait_is_over()
        dispatch.probe_due()
        dispatch.note_probe(alive=False)
        waits.append(Upstream.objects.get().open_seconds)
    assert waits == [60, 120, 240, 480, 600, 600]


@pytest.mark.sqlite
def test_connect_failures_open_it_at_the_third_within_half_a_minute():
    assert [dispatch.note_not_sent("refused") for _ in range(3)] == [False, False, True]
    dispatch.note_success()
    dispatch.note_not_sent("refused")
    dispatch.note_not_sent("refused")
    Upstream.objects.update(connect_failed_at=Now() - timedelta(seconds=31))
    assert not dispatch.note_not_sent("refused")
    assert circuit() == "closed"


@pytest.mark.sqlite
def test_a_lane_has_one_holder_until_its_lease_is_over():
    token = lanes.enter("x")
    assert token and lanes.enter("x") is None
    assert not lanes.leave("x", token), "it was wanted meanwhile"
    assert lanes.leave("x", token)
    dead = lanes.enter("x")
    Lane.objects.update(until=Now() - timedelta(seconds=1))
    heir = lanes.enter("x")
    assert heir and not lanes.renew("x", dead)
    assert lanes.leave("x", dead), "a dead holder has nothing to give up"
    assert lanes.renew("x", heir)


@pytest.mark.sqlite
def test_open_rows_of_another_upstream_stop_the_worker(alice, settings):
    dispatch.adopt_epoch()
    ask(alice)
    settings.OMNIMAAS_API_KEY = "another"
    dispatch.adopt_epoch()  # queued rows were never sent anywhere
    claim_one()
    settings.OMNIMAAS_BASE_URL = "http://elsewhere.example"
    with pytest.raises(dispatch.ForeignRows):
        dispatch.adopt_epoch()
    call_command("fence", "--rotate-key")
    dispatch.adopt_epoch()
    assert Generation.objects.get().status == Status.SUBMITTING


@pytest.mark.sqlite
def test_a_restored_database_sends_nothing_before_the_fence_and_nothing_twice_after_it(alice, settings):
    settings.OMNIMAAS_API_KEY = "key"
    dispatch.adopt_epoch()
    rows = [ask(alice) for _ in range(50)]
    backup = Upstream.objects.get()
    settings.OMNIMAAS_MAX_IN_FLIGHT = 50
    for number, claim in enumerate(dispatch.claim(50)):
        services.record_submitted(claim, upstream_id=f"up{number}")
    # The backup comes back: nothing of what was sent is known any more.
    backup.save()
    columns = {"status": "queued", "upstream_id": None, "claim_token": None, "submitted_at": None}
    Generation.objects.update(**columns)
    with pytest.raises(dispatch.ForeignRows, match="restored"):
        dispatch.adopt_epoch()
    call_command("fence")
    dispatch.adopt_epoch()
    assert dispatch.claim(50) == []
    assert Generation.objects.filter(status=Status.UNKNOWN).count() == len(rows)
    fresh = ask(alice)
    Generation.objects.filter(status=Status.UNKNOWN).update(submitted_at=Now() - timedelta(hours=1))
    assert [claim.generation_id for claim in dispatch.claim(50)] == [fresh.pk]


@pytest.mark.sqlite
def test_a_new_database_in_an_old_folder_is_no_restored_one(alice, settings):
    settings.OMNIMAAS_API_KEY = "key"
    ask(alice)
    claim_one()
    Generation.objects.update(status="queued", next_check_at=Now())
    Upstream.objects.all().delete()
    dispatch.adopt_epoch()
    assert len(dispatch.claim(1)) == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_eight_dispatchers_and_a_cap_of_20_never_make_21(settings):
    settings.OMNIMAAS_MAX_IN_FLIGHT = 20
    people = [make_user(f"user{n}", credits=10_000) for n in range(5)]
    for n in range(60):
        ask(people[n % 5])

    def dispatcher(_: int) -> list[dispatch.Claim]:
        try:
            return [claim for _ in range(10) for claim in dispatch.claim(2)]
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        claims = [claim for found in pool.map(dispatcher, range(8)) for claim in found]
    assert len(claims) == len({c.generation_id for c in claims}) == 20
    owners = Counter(Generation.objects.filter(status=Status.SUBMITTING).values_list("user_id", flat=True))
    assert set(owners.values()) == {4}
