"""R10, R13 and R14 in small: upstream is away for a while, or the database, or we are; then everything goes on."""

from __future__ import annotations

import random
import socket

import pytest
from django.db import connection

from generations import tasks
from generations.models import Status
from tests.films import film
from tests.makers import make_user, storing
from tests.prove import r10
from tests.prove.r13 import survive
from tests.prove.r14 import catch_up
from tests.wire import reply, say, vouched


@pytest.mark.long
@pytest.mark.django_db
def test_an_outage_leaves_few_doubts_and_no_failure(settings):
    seed = random.randrange(10**8)
    print(f"seed {seed}")
    survive(queued=12, minutes=5, seed=seed, settings=settings)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_what_is_overdue_is_asked_about_within_the_budget_before_it_is_given_up(settings):
    catch_up(count=100, budget=25, loops=2, settings=settings)


@pytest.mark.long
@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_database_that_restarts_is_a_pause_for_everybody(settings):
    """It has a server of its own, with which it may do what it likes."""
    seed = random.randrange(10**8)
    print(f"seed {seed}")
    crowd = {"makers": 2, "lookers": 2}
    r10.survive(restarts=2, pause=0.5, seed=seed, work=r10.tasks_alone, settings=settings, **crowd)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_video_that_is_copied_while_the_database_goes_away_is_kept(settings):
    connection.ensure_connection()
    ours = connection.connection.info.backend_pid

    def cut_and_say(line: socket.socket, request: bytes) -> None:
        """From the server's thread, on a line of its own."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [ours])
        connection.close()
        say(reply(film(), content_type="video/mp4"))(line, request)

    with vouched(settings) as start:
        server = start({"/film.mp4": cut_and_say})
        generation = storing(make_user("alice"), url=server.url("/film.mp4"))
        assert tasks.store(str(generation.pk))
    generation.refresh_from_db()
    assert generation.status == Status.SUCCEEDED
