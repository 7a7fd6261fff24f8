"""Polls: over kept lines, within the budget, never too close to each other, and almost without a query."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import trustme
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from accounts import ledger
from generations import lifecycle, polling, services
from generations.models import Generation, Status, Upstream
from generations.omnimaas import client, transport
from generations.omnimaas.errors import Late, Unavailable
from generations.omnimaas.reader import Reading
from generations.services import paces
from tests import polled, scripted
from tests.crashes import KILLED, kill, start_task_process, wait_for
from tests.makers import ask, due, make_user, submitted
from tests.polled import Polled
from tests.processes import wait_until
from tests.scripted import answer

KEY = "sk-of-the-poll-tests"


def gateway(url: str) -> client.Gateway:
    return client.Gateway(base_url=url, key=KEY, seconds=5)


@pytest.fixture
def upstream() -> Iterator[Polled]:
    with polled.serve() as server:
        yield server


# --- lines --------------------------------------------------------------------


def test_many_questions_take_one_line(upstream):
    with transport.Lines(upstream.url) as lines:
        for number in range(20):
            assert client.fetch(f"id-{number}", gateway(upstream.url), lines).state == "running"
    assert len(upstream.asked) == 20
    assert len(upstream.lines) == 1


def test_a_line_that_upstream_lets_go_is_opened_anew(upstream):
    upstream.keeps = False
    with transport.Lines(upstream.url) as lines:
        for _ in range(3):
            assert client.fetch("a", gateway(upstream.url), lines).state == "running"
            time.sleep(0.05)
    assert len(upstream.lines) == 3


def test_what_comes_unasked_is_not_the_next_ones_answer():
    done = b'HTTP/1.1 200 X\r\nContent-Length: 22\r\n\r\n{"status":"succeeded"}'
    running = b'HTTP/1.1 200 X\r\nContent-Length: 23\r\n\r\n{"status":"processing"}'

    def twice(line: socket.socket) -> None:
        line.sendall(running)
        time.sleep(0.05)
        line.sendall(done)
        time.sleep(2)

    with scripted.serve(twice) as upstream, transport.Lines(upstream.url) as lines:
        for _ in range(3):
            assert client.fetch("a", gateway(upstream.url), lines).state == "running"
            time.sleep(0.15)


@pytest.mark.parametrize(
    "play",
    [
        scripted.reset,
        scripted.flood,
        scripted.drip,
        scripted.bomb,
        answer(200, b"not gzip", Content_Encoding="gzip"),
        answer(200, b"<html>"),
        answer(200, b"[" * 200_000),
        answer(302, b"", Location="http://127.0.0.1:1/"),
        lambda line: line.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 90\r\n\r\n{"),
        lambda line: line.sendall(b"220 smtp.example.com ESMTP\r\n"),
        lambda line: line.sendall(b"HTTP/1.1 200 X\r\n" + b"X-More: x\r\n" * 10_000),
        lambda line: line.sendall(b"HTTP/1.1 200 X\r\nX: " + b"x" * 1_000_000),
        lambda line: line.sendall(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    ],
)
def test_trouble_on_a_kept_line_is_no_verdict_and_ends_in_time(play, monkeypatch):
    monkeypatch.setattr(client, "POLL_SECONDS", 1)
    begun = time.monotonic()
    with scripted.serve(play) as upstream, transport.Lines(upstream.url) as lines:
        for _ in range(2):
            with pytest.raises(Unavailable):
                client.fetch("a", gateway(upstream.url), lines)
    assert len(upstream.requests) == 2, "asked once each time"
    assert time.monotonic() - begun < 8


def test_the_environment_has_no_say(upstream, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login x password y\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with transport.Lines(upstream.url) as lines:
        assert client.fetch("a", gateway(upstream.url), lines).state == "running"


def test_a_certificate_that_nobody_vouches_for_is_refused():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    heard = []

    def handshake() -> None:
        line, _ = listener.accept()
        try:
            with context.wrap_socket(line, server_side=True) as secure:
                heard.append(secure.recv(100))
        except OSError:
            heard.append(b"")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=handshake, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with transport.Lines(url) as lines, pytest.raises(Unavailable, match="SSL"):
            client.fetch("a", gateway(url), lines)
        thread.join(5)
    assert heard == [b""], "our key was sent to a stranger"


def test_what_is_too_late_is_not_asked(upstream):
    with transport.Lines(upstream.url) as lines:
        with pytest.raises(Unavailable, match="late"):
            client.fetch("a", gateway(upstream.url), lines, send_by=time.monotonic() - 0.01)
        assert upstream.asked == []
        client.fetch("a", gateway(upstream.url), lines)
    assert len(upstream.asked) == 1


def test_whoever_waits_for_the_sending_looks_at_the_clock_afterwards(upstream, monkeypatch):
    """On a busy machine threads that had looked before would send all at once: more than the budget."""
    request = transport.HTTPConnection.request

    def slow(*told, **more):
        time.sleep(0.3)
        request(*told, **more)

    monkeypatch.setattr(transport.HTTPConnection, "request", slow)
    with transport.Lines(upstream.url) as lines, ThreadPoolExecutor(4) as pool:
        by = time.monotonic() + 0.5
        asked = [
            pool.submit(client.fetch, "a", gateway(upstream.url), lines, send_by=by) for _number in range(4)
        ]
        late = [isinstance(one.exception(), Late) for one in asked]
    assert 1 <= len(upstream.asked) <= 2 and late.count(True) + len(upstream.asked) == 4


# --- claims and answers, in few statements ----------------------------------------


@pytest.fixture
def alice(db):
    paces.forget()
    return make_user("alice", credits=1_000_000)


def many_running(user, count: int) -> list[Generation]:
    """Running ones that are overdue, made from one that went the whole way."""
    first = submitted(user)
    price = {"user_id": user.pk, "model": first.model, "prompt": "x", "price": 0, "mode": first.mode}
    rows = [
        Generation(
            **price,
            seconds=first.seconds,
            size=first.size,
            status=Status.RUNNING,
            upstream_id=f"id-{number}",
            submitted_at=first.submitted_at,
            next_check_at=first.submitted_at - timedelta(seconds=count - number),
        )
        for number in range(count)
    ]
    return Generation.objects.bulk_create(rows)


def said(*answers: tuple[services.PollDue, Reading]) -> None:
    """As the loop writes down what polls answered."""
    services.record_progress(services.record_readings(answers))


def statements(queries: CaptureQueriesContext) -> list[str]:
    """What the database was asked, without the bounds of transactions."""
    bounds = ("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT")
    return [one["sql"] for one in queries.captured_queries if not one["sql"].startswith(bounds)]


@pytest.mark.sqlite
def test_a_claim_of_a_hundred_costs_what_a_claim_of_one_costs(alice, settings):
    settings.POLL_BUDGET = 10_000
    many_running(alice, 101)
    services.claim_polls(1)
    with CaptureQueriesContext(connection) as queries:
        assert len(services.claim_polls(100)) == 100
    assert len(statements(queries)) == 4


@pytest.mark.sqlite
def test_still_running_costs_no_query_and_progress_one_of_the_next_claim(alice, settings):
    settings.POLL_BUDGET = 10_000
    many_running(alice, 50)
    dues = services.claim_polls(50)
    with CaptureQueriesContext(connection) as queries:
        assert services.record_readings([(one, Reading("running", progress=0)) for one in dues]) == {}
    assert statements(queries) == []
    moved = services.record_readings((one, Reading("running", progress=n)) for n, one in enumerate(dues))
    with CaptureQueriesContext(connection) as queries:
        services.claim_polls(1, moved=moved)
    assert len(statements(queries)) == 3, "the lock, this progress, and a look that finds nothing"
    shown = Generation.objects.filter(upstream_id__startswith="id-").order_by("next_check_at")
    assert [row.progress for row in shown] == list(range(50))


@pytest.mark.sqlite
def test_progress_in_a_batch_never_goes_back_nor_over_the_end(alice):
    row = submitted(alice)
    before = due(row)
    said((before, Reading("running", progress=40)))
    said((before, Reading("running", progress=30)))
    row.refresh_from_db()
    assert row.progress == 40
    said((due(row), Reading("running", progress=100)))
    row.refresh_from_db()
    assert row.progress == 99
    said((due(row), Reading("failed", error_message="x")))
    said((before, Reading("running", progress=50)))
    row.refresh_from_db()
    assert (row.status, row.progress) == (Status.FAILED, 99)


@pytest.mark.sqlite
def test_one_that_cannot_be_written_keeps_nobody_else_from_it(alice):
    bad, good = submitted(alice), submitted(alice)
    ledger.settle(bad.pk)  # as no code of ours would
    done = Reading("succeeded", url="https://cdn.example.com/v.mp4")
    said((due(bad), done), (due(good), done))
    assert {row.status for row in (bad, good) if not row.refresh_from_db()} == {
        Status.RUNNING,
        Status.STORING,
    }
    good.refresh_from_db()
    assert good.status == Status.STORING


@pytest.mark.sqlite
def test_a_claim_plans_the_next_poll_from_its_slot(alice, settings):
    settings.POLL_BUDGET = 4
    many_running(alice, 10)
    dues = services.claim_polls(10)
    starts = [one.starts for one in dues]
    assert starts == pytest.approx([0, 0.3, 0.6, 0.9, 1.2, 1.5, 1.8], abs=0.01), "a little ahead, evenly"
    assert all(one.starts > 1.9 for one in services.claim_polls(10)), "earlier slots are given away once"
    for one in dues:
        row = Generation.objects.get(pk=one.generation_id)
        planned = (row.next_check_at - row.polled_at).total_seconds()
        assert planned == pytest.approx(one.starts + 5, abs=0.01)
        assert one.ends == pytest.approx(one.starts + 0.2, abs=0.01)


@pytest.mark.sqlite
def test_the_end_is_taken_to_be_between_two_polls(alice):
    """Else every time is learned half a gap too long."""
    row = submitted(alice)
    ago = Now() - timedelta(seconds=60)
    Generation.objects.update(submitted_at=ago - timedelta(seconds=60), polled_at=ago, next_check_at=Now())
    (claimed,) = services.claim_polls(1)
    said((claimed, Reading("succeeded", url="https://cdn.example.com/v.mp4")))
    row.refresh_from_db()
    assert row.made_seconds == pytest.approx(90, abs=10)


@pytest.mark.sqlite
def test_a_clock_that_was_set_back_stops_no_poll(alice):
    submitted(alice)
    Generation.objects.update(next_check_at=Now())
    Upstream.objects.update(poll_slot_at=Now() + timedelta(hours=1))
    assert len(services.claim_polls(5)) == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_verdict_that_comes_in_between_is_not_planned_over(settings):
    """The claim has read the row as running; meanwhile it fails, and a terminal row may not be due."""
    row = submitted(make_user("bob"))
    Generation.objects.update(next_check_at=Now())
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            assert lifecycle.transition(row.pk, Status.RUNNING, Status.FAILED)
            ledger.release(row.pk)
            claim = pool.submit(_closing, services.claim_polls, 5)
            time.sleep(0.5)
            assert not claim.done(), "it waits for the row"
        assert len(claim.result(10)) == 1
    row.refresh_from_db()
    assert (row.status, row.next_check_at) == (Status.FAILED, None)


def _closing(function, *arguments):
    try:
        return function(*arguments)
    finally:
        connection.close()


# --- the loop, judged by upstream ---------------------------------------------------


def run_loops(upstream: Polled, *, loops: int, seconds: float) -> int:
    """Several loops that all believe that they hold the lane: at a hand-over there are two for a moment."""
    with ThreadPoolExecutor(loops) as pool:
        running = [pool.submit(_closing, polling.run, gateway(upstream.url), seconds) for _ in range(loops)]
        return sum(one.result(60) for one in running)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_no_generation_is_asked_about_twice_within_the_shortest_gap(upstream, settings, monkeypatch):
    settings.POLL_BUDGET, settings.POLL_MIN_SECONDS, settings.POLL_MAX_SECONDS = 1_000, 1, 1
    monkeypatch.setattr("generations.lanes.RENEW_SECONDS", 100)
    many_running(make_user("bob"), 30)
    run_loops(upstream, loops=2, seconds=5)
    assert len(upstream.asked) >= 30 * 2
    assert upstream.shortest_gap() >= 0.7, "a late arrival shortens the gap after it"


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_hanging_upstream_is_not_asked_again_in_a_bunch(upstream, settings, monkeypatch):
    """Polls that waited for a free thread until their next one was near are given up, not sent late."""
    settings.POLL_BUDGET, settings.POLL_MIN_SECONDS, settings.POLL_MAX_SECONDS = 1_000, 1, 1
    monkeypatch.setattr(polling, "MOST", 2)
    monkeypatch.setattr(polling, "FEWEST", 2)
    many_running(make_user("bob"), 3)
    Generation.objects.update(next_check_at=Now())
    upstream.takes = 1.3
    recovers = threading.Timer(1.0, setattr, (upstream, "takes", 0.0))
    recovers.start()
    run_loops(upstream, loops=1, seconds=4)
    recovers.join()
    assert len({id for _at, id in upstream.asked}) == 4, "everybody's turn comes"
    assert upstream.shortest_gap() >= 0.7, "a late arrival shortens the gap after it"


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_after_a_downtime_no_second_sees_more_polls_than_the_budget(upstream, settings):
    settings.POLL_BUDGET = 20
    many_running(make_user("bob"), 200)
    begun = time.monotonic()
    run_loops(upstream, loops=2, seconds=4)
    assert upstream.most_in_a_second() <= 20
    assert len(upstream.asked) >= 0.7 * 20 * min(4, time.monotonic() - begun), "and uses it"
    oldest_first = [int(id.removeprefix("id-")) for _at, id in upstream.asked if id.startswith("id-")]
    assert oldest_first[:40] == pytest.approx(sorted(oldest_first[:40]), abs=8)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_loop_that_stood_still_asks_nothing_in_a_bunch(upstream, settings):
    """The machine sleeps, or is busy: what was claimed before and should have been asked meanwhile waits its turn."""
    settings.POLL_BUDGET = 50
    many_running(make_user("bob"), 1_000)
    loop = start_task_process(lambda: polling.run(gateway(upstream.url), 30))
    try:
        wait_until(lambda: len(upstream.asked) >= 30, 30)
        os.kill(loop, signal.SIGSTOP)
        time.sleep(2.5)  # longer than claims reach ahead
        stood = len(upstream.asked)
        os.kill(loop, signal.SIGCONT)
        wait_until(lambda: len(upstream.asked) >= stood + 150, 30)
    finally:
        kill(loop)
        assert wait_for(loop) == KILLED
    times = [at for at, _id in upstream.asked]
    assert polled.most_within(0.5, times) <= 40, "the budget's half, and room for what bunches on its way"


@pytest.mark.sqlite
def test_a_poll_that_was_not_made_counts_as_none(alice, settings):
    """Else a generation could be given up for its age by a poll that upstream never saw."""
    row = submitted(alice)
    Generation.objects.update(next_check_at=Now())
    (claimed,) = services.claim_polls(5)
    services.give_back([claimed])
    row.refresh_from_db()
    assert (row.polls, row.polled_at) == (0, row.submitted_at)
    (again,) = services.claim_polls(5)
    services.give_back([claimed])
    row.refresh_from_db()
    assert row.polls == 1 and row.next_check_at > again.claimed_at, "what was claimed again is another's"


@pytest.mark.sqlite
@pytest.mark.django_db
def test_a_loop_writes_down_what_is_new(upstream, alice, settings):
    settings.POLL_BUDGET = 100
    rows = [submitted(alice, upstream_id=name) for name in ("run", "fail", "done", "lost")]
    ask(alice)
    Generation.objects.filter(status=Status.RUNNING).update(next_check_at=Now())
    told = {
        "run": {"status": "processing", "progress": 33},
        "fail": {"status": "failed", "error": {"message": "too dark"}},
        "done": {"status": "succeeded", "url": "https://cdn.example.com/v.mp4"},
        "lost": {"http": 400, "code": "task_not_exist"},
    }
    upstream.answer = told.__getitem__
    assert polling.run(gateway(upstream.url), 0.01) == 4
    run, fail, done, lost = (Generation.objects.get(pk=row.pk) for row in rows)
    assert (run.status, run.progress) == (Status.RUNNING, 33)
    assert (fail.status, fail.error_message) == (Status.FAILED, "too dark")
    assert (done.status, done.progress) == (Status.STORING, 100)
    assert (lost.status, lost.missing_count) == (Status.RUNNING, 1)
