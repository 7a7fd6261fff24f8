"""The database goes away while POSTs are out: what they were answered is written down when it is back."""

from __future__ import annotations

import threading

import psycopg
import pytest
from django.db import connection

from generations import tasks
from generations.models import Generation, InputImage, Status
from tests.makers import ask, make_user
from tests.processes import wait_until
from tests.prove import liar
from tests.surroundings import database_url

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def upstream(settings):
    """Takes what it is told to answer by prompt."""
    with liar.serve() as upstream:
        settings.OMNIMAAS_BASE_URL, settings.OMNIMAAS_API_KEY = upstream.url, "sk-lost"
        yield upstream


def our_line() -> int:
    """The server's process that serves this test's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def test_a_paid_answer_outlives_the_line_it_was_to_be_written_on(upstream):
    row, pid = ask(make_user(), prompt="cat"), our_line()

    def answer(head: bytes, body: bytes) -> bytes:
        with psycopg.connect(database_url()) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        return liar.whole(200, b'{"id": "up-1", "status": "processing"}')

    upstream.answer = answer
    assert tasks.dispatch() == 1
    row.refresh_from_db()
    assert (row.status, row.upstream_id) == (Status.RUNNING, "up-1")


def test_what_was_claimed_and_not_sent_yet_is_no_doubt(upstream):
    user, pid = make_user(), our_line()
    rows = [ask(user, prompt=f"cat {number}") for number in range(2)]
    with psycopg.connect(database_url()) as other:
        # Our line waits for the pictures of the first one, and is ended there.
        other.execute(f"LOCK TABLE {InputImage._meta.db_table}")
        waits = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"

        def end() -> None:
            wait_until(lambda: other.execute(waits, [pid]).fetchone() == (True,), 20)
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            other.rollback()

        thread = threading.Thread(target=end)
        thread.start()
        assert tasks.dispatch() == 0
        thread.join()
    found = Generation.objects.filter(pk__in=[row.pk for row in rows])
    assert set(found.values_list("status", flat=True)) == {Status.QUEUED}
    assert upstream.posted == []
