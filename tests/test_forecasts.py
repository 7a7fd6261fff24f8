"""The place in the queue and the time it takes, from our own past."""

from __future__ import annotations

import pytest

from generations import dispatch, services
from generations.models import Generation
from generations.services import forecasts, paces
from generations.services.forecasts import Forecast, forecast, forecast_new
from generations.services.paces import Kind
from tests.api import TEXT, Api
from tests.makers import ask
from tests.portal import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]
STD = Kind("kling-v2-5-turbo-std", 5, "std")


@pytest.fixture(autouse=True)
def _fresh_past():
    paces.forget()
    forecasts.forget()
    yield
    paces.forget()


def made(user, count: int, seconds: float) -> None:
    """So many finished generations that took this long."""
    rows = [ask(user) for _ in range(count)]
    for row in rows:
        services.cancel(row, actor=user)
    Generation.objects.filter(pk__in=[row.pk for row in rows]).update(made_seconds=seconds)
    paces.forget()


def test_before_enough_is_known_nothing_is_promised(alice):
    found = forecast(ask(alice))
    assert (found.position, found.likely, found.at_most) == (1, None, None)


def test_the_position_follows_the_fair_share(alice, bob):
    rows = [ask(alice) for _ in range(5)]
    assert [forecast(row).position for row in rows] == [1, 2, 3, 4, 5]
    first = ask(bob)
    assert forecast(first).position == 2, "a new one is looked for at once"
    assert forecast(rows[4]).position == 6
    assert [claim.generation_id for claim in dispatch.claim(2)] == [rows[0].pk, first.pk]


def test_a_new_one_goes_behind_the_users_own(alice, bob):
    for _ in range(3):
        ask(alice)
    assert forecast_new(STD, alice.pk).position == 4
    assert forecast_new(STD, bob.pk).position == 2


def test_the_time_is_that_of_our_own_past_and_grows_with_the_queue(alice, settings):
    settings.OMNIMAAS_MAX_IN_FLIGHT = 2
    made(alice, 30, 60.0)
    rows = [ask(alice) for _ in range(6)]
    likely = [forecast(row).likely for row in rows]
    assert likely[0] == 60
    assert likely == sorted(likely)
    assert likely[5] == 60 + 4 * 30
    forecasts.forget()
    dispatch.claim(1)
    rows[0].refresh_from_db()
    running = forecast(rows[0])
    assert running.position is None and 55 <= running.likely <= 60


def test_what_each_has_in_flight_counts(alice, bob):
    row = ask(alice)
    dispatch.claim(1)
    waits, first = ask(alice), ask(bob)
    assert (forecast(first).position, forecast(waits).position) == (1, 2)
    row.refresh_from_db()
    assert forecast(row).position is None


@pytest.mark.parametrize("stopped", ["open", "paused"])
def test_while_nothing_is_sent_no_time_is_told(alice, boss, stopped):
    made(alice, 30, 60.0)
    waits = ask(alice)
    dispatch.note_account_fault("401") if stopped == "open" else services.pause_sending(
        actor=boss, reason="x"
    )
    found = forecast(waits)
    assert (found.position, found.likely, found.at_most) == (1, None, None)
    assert found.paused is (stopped == "paused")


def test_a_pause_is_told_wherever_a_time_would_be(alice, alice_key, boss):
    made(alice, 30, 60.0)
    running = ask(alice)
    dispatch.claim(1)
    forecasts.forget()
    services.pause_sending(actor=boss, reason="x")
    eta = signed_in(alice).get("/new/eta?model=kling-v2-5-turbo-std&mode=std&seconds=5").content.decode()
    assert "sending is paused" in eta and "ready in" not in eta
    quoted = Api(alice_key).post("/v1/video/generations?dry_run=1", TEXT).json()["queue"]
    assert quoted == {"position": 1, "eta_seconds": None, "eta_seconds_at_most": None, "paused": True}
    waits = ask(alice)
    assert "Next in the queue · sending is paused" in cards(alice, waits)
    on = Api(alice_key).get(f"/v1/video/generations/{running.pk}").json()["queue"]
    assert on["eta_seconds"] and not on["paused"], "what is in the making goes on"


def test_a_pause_is_told_to_the_first_in_an_empty_queue(alice, boss):
    made(alice, 30, 60.0)
    services.pause_sending(actor=boss, reason="x")
    assert forecast_new(STD, alice.pk) == Forecast(1, None, None, paused=True)


def test_a_page_of_thirty_asks_once_every_two_seconds(alice, django_assert_num_queries):
    rows = [ask(alice) for _ in range(30)]
    with django_assert_num_queries(2):  # the queue, and the kind's past
        assert [forecast(row).position for row in rows] == list(range(1, 31))
    with django_assert_num_queries(0):
        [forecast(row) for row in rows]


def test_programs_and_people_are_told(alice, alice_key):
    made(alice, 30, 80.0)
    ask(alice)
    waits = ask(alice)
    told = Api(alice_key).get(f"/v1/video/generations/{waits.pk}").json()
    assert told["queue"] == {"position": 2, "eta_seconds": 80, "eta_seconds_at_most": 80, "paused": False}
    assert "Number 2 in the queue · ready in 1 to 2 minutes, usually" in cards(alice, waits)
    dispatch.claim(1)
    forecasts.forget()
    assert "Next in the queue" in cards(alice, waits)
    services.cancel(waits, actor=alice)
    assert "queue" not in Api(alice_key).get(f"/v1/video/generations/{waits.pk}").json()


def cards(user, generation) -> str:
    return signed_in(user).get(f"/progress?ids={generation.pk}").content.decode()


def test_the_composer_says_how_long_a_new_one_takes(alice):
    client = signed_in(alice)
    address = "/new/eta?model=kling-v2-5-turbo-std&mode=std&seconds="
    assert client.get(f"{address}5").content.strip() == b""
    made(alice, 30, 110.0)
    assert "ready in 2 minutes, usually" in client.get(f"{address}5").content.decode()
    for nonsense in ("", "-1", "x", "9" * 400, "²"):
        assert client.get(address + nonsense).content.strip() == b""
