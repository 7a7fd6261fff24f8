"""What people are told when a video has ended: once, in its transaction, and one thing for what belongs together."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import services as people
from accounts import tasks
from accounts.models import Notice, User
from generations import services
from generations.models import Generation, Shot, Storyboard
from generations.omnimaas.reader import Reading
from tests.conftest import person
from tests.mailboxes import Mailbox, mail_server
from tests.makers import ask, claim_one, due, submitted
from tests.portal import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]

FAILED = Reading("failed", error_message="no")


def told(user: User) -> list[str]:
    return [notice.sentence for notice in Notice.objects.filter(user=user).newest_first()]


def fail(generation: Generation) -> None:
    assert services.record_reading(due(generation), FAILED)


def batch_of(user: User, count: int, name: str = "") -> list[Generation]:
    """A running batch."""
    request = {"model": "kling-v2-5-turbo-std", "prompt": "A fox"}
    lines = [services.Line(n, f"line {n}", request) for n in range(1, count + 1)]
    batch = services.create_batch(user=user, lines=lines, name=name)
    for n in range(count):
        services.record_submitted(claim_one(), upstream_id=f"up-{n}")
    return list(Generation.objects.filter(batch=batch).order_by("batch_line"))


def test_the_owner_is_told_in_the_transaction_of_the_end(alice: User, bob: User) -> None:
    generation = submitted(alice, prompt="A fox\ncrosses  a lake. " + "x" * 200)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        fail(generation)
        raise ZeroDivisionError
    assert told(alice) == []
    fail(generation)
    (notice,) = Notice.objects.all()
    assert notice.sentence.startswith("Failed, and not charged: A fox crosses a lake. xxx")
    assert len(notice.facts["prompt"]) == 120
    assert (notice.user, notice.link, notice.kind) == (alice, f"/g/{generation.pk}", "failed")


def test_who_canceled_it_knows_already(alice: User) -> None:
    services.cancel(ask(alice), actor=alice)
    assert told(alice) == []


def test_a_program_hears_by_webhook_alone(alice: User) -> None:
    key, _text = people.make_key(alice, label="script")
    generation = submitted(alice)
    Generation.objects.filter(pk=generation.pk).update(api_key=key)
    fail(generation)
    assert told(alice) == []


def test_a_batch_is_one_thing_to_be_told(alice: User) -> None:
    first, second, third = batch_of(alice, 3, name="Foxes")
    fail(first)
    fail(third)
    assert told(alice) == []
    fail(second)
    assert told(alice) == ["“Foxes” is over: 0 of 3 videos are ready. The others cost nothing."]
    assert Notice.objects.get().link == f"/matrix/{first.batch_id}"


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_two_that_end_a_batch_at_once_the_later_one_tells(alice: User) -> None:
    rows = [due(generation) for generation in batch_of(alice, 6)]

    def end(one: services.PollDue) -> None:
        services.record_reading(one, FAILED)
        connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(end, rows))
    assert len(told(alice)) == 1


def test_a_storyboard_is_told_at_its_end_and_its_shots_are_not(alice: User) -> None:
    shots = [services.Planned("A fox", 5), services.Planned("It sleeps", 5)]
    board = services.plan_storyboard(user=alice, title="Foxes", model="kling-v2-5-turbo-pro", shots=shots)
    services.start_storyboard(board)
    step = services.next_step(board.pk)
    assert step is not None
    shot = services.create(
        user=alice,
        request={"model": "kling-v2-5-turbo-std", "prompt": "A fox"},
        also=lambda made: Shot.objects.filter(pk=step.shot.pk).update(generation=made),
    )
    services.record_submitted(claim_one(), upstream_id="up")
    fail(shot)
    assert told(alice) == []
    assert services.next_step(board.pk) is None
    assert told(alice) == ["Your storyboard stopped: Foxes"]
    Storyboard.objects.filter(pk=board.pk).update(status="joining", due_at=timezone.now())
    assert services.record_joined(board.pk, film="f.mp4", seconds=10, size=1, sha256="0" * 64)
    assert told(alice)[0] == "Your film is ready: Foxes"


def test_an_end_costs_one_question_and_one_line_more(alice: User) -> None:
    ended = submitted(alice)
    with CaptureQueriesContext(connection) as queries:
        fail(ended)
    about = [
        query["sql"] for query in queries if "accounts_notice" in query["sql"] or "is_active" in query["sql"]
    ]
    assert len(about) == 2, about


# --- pages ------------------------------------------------------------------


def test_pages_hear_of_fresh_news_and_their_own_page_reads_them(alice: User, bob: User) -> None:
    client = signed_in(alice)
    assert client.get("/inbox/news").json() == {"unread": [], "open": False, "news": []}
    generation = submitted(alice, prompt="<b>A fox</b>")
    assert client.get("/inbox/news").json()["open"] is True
    fail(generation)
    answer = client.get("/inbox/news?after=0").json()
    (news,) = answer["news"]
    assert news["text"] == "Failed, and not charged: <b>A fox</b>"
    assert (news["link"], answer["unread"], answer["open"]) == (f"/g/{generation.pk}", [news["id"]], False)
    assert client.get(f"/inbox/news?after={news['id']}").json()["news"] == []
    assert signed_in(bob).get("/inbox/news").json()["news"] == []
    signed_in(bob).post("/inbox/seen", {"ids": [news["id"], "x"]})
    assert client.get("/inbox/news").json()["unread"] == [news["id"]], "bob saw nothing of alice's"
    client.get(news["link"])
    assert client.get("/inbox/news").json()["unread"] == []


def test_what_is_old_is_counted_and_does_not_ring(alice: User) -> None:
    fail(submitted(alice))
    Notice.objects.update(created_at=timezone.now() - timedelta(minutes=6))
    answer = signed_in(alice).get("/inbox/news").json()
    assert (len(answer["unread"]), answer["news"]) == (1, [])


def test_asking_for_news_costs_four_queries(alice: User, django_assert_num_queries: Any) -> None:
    client = signed_in(alice)
    client.get("/inbox/news")
    with django_assert_num_queries(4):  # session, user, unread, in the making
        client.get("/inbox/news")


def test_purging_takes_the_words_along(alice: User) -> None:
    generation = submitted(alice)
    fail(generation)
    fail(submitted(alice))
    services.delete(generation, actor=alice)
    Generation.objects.filter(pk=generation.pk).update(deleted_at=timezone.now() - timedelta(days=8))
    (purge,) = services.due_purges()
    assert services.record_purged(purge)
    assert Notice.objects.count() == 1


# --- letters ----------------------------------------------------------------


@pytest.fixture
def letters(settings: Any) -> Iterator[Mailbox]:
    with mail_server(settings) as box:
        yield box


def minutes_later(count: int) -> None:
    """So much later, as letters see it."""
    for notice in Notice.objects.filter(mail_at__isnull=False):
        Notice.objects.filter(pk=notice.pk).update(
            mail_at=notice.mail_at - timedelta(minutes=count, seconds=1)
        )


def test_one_letter_gathers_what_ends_within_minutes(alice: User, letters: Mailbox) -> None:
    User.objects.filter(pk=alice.pk).update(email="alice@example.com")
    client = signed_in(alice)
    client.post("/account/letters", {"kinds": ["done", "failed"]}, headers={"accept-language": "zh-hans"})
    for prompt in ("狐狸", "A <b>fox</b>", "read already"):
        fail(submitted(alice, prompt=prompt))
    client.get(Notice.objects.newest_first()[0].link)
    assert tasks.mail_news() == 0, "it waits for more"
    minutes_later(3)
    letters.refuses = True
    assert tasks.mail_news() == 0
    letters.refuses = False
    assert tasks.mail_news() == 0, "not at once again"
    minutes_later(10)
    assert tasks.mail_news() == 1
    (letter,) = letters.received
    text = letter.get_content()
    assert letter["subject"] == "2 个视频已结束"
    assert "狐狸" in text
    assert "A <b>fox</b>" in text
    assert "read already" not in text
    assert f"/g/{Generation.objects.get(prompt='狐狸').pk}" in text
    minutes_later(60)
    assert tasks.mail_news() == 0, "once"


def test_letters_are_for_who_chose_them_and_has_an_address(alice: User, letters: Mailbox) -> None:
    client = signed_in(alice)
    assert b"No e-mail address of yours is known" in client.get("/account").content
    client.post("/account/letters", {"kinds": ["done"]})
    alice.refresh_from_db()
    assert alice.mailed_kinds == []
    User.objects.filter(pk=alice.pk).update(email="alice@example.com")
    client.post("/account/letters", {"kinds": ["asked"]})
    client.post("/account/letters", {"kinds": ["done"]})
    fail(submitted(alice))
    minutes_later(3)
    assert tasks.mail_news() == 0
    assert letters.received == []


def test_who_wants_no_more_letters_gets_none_that_waits(alice: User, letters: Mailbox) -> None:
    User.objects.filter(pk=alice.pk).update(email="alice@example.com", mailed_kinds=["failed"])
    fail(submitted(alice))
    signed_in(alice).post("/account/letters", {})
    minutes_later(3)
    assert tasks.mail_news() == 0
    assert person("newcomer").mailed_kinds == []
