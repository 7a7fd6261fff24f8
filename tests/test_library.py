"""The library and a video's page over HTTP: pages by key, progress, bytes, and the verbs."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from PIL import Image

from accounts import services as people
from accounts.models import User
from generations import services
from generations.models import Generation, Status
from generations.omnimaas.reader import Reading
from generations.services import catalogues, operations
from tests.conftest import person
from tests.makers import ask, claim_one, due, submitted
from tests.portal import signed_in

pytestmark = pytest.mark.django_db


def test_an_empty_library_teaches(alice: User) -> None:
    page = signed_in(alice).get("/").content.decode()
    assert "Your first shot starts with a sentence" in page
    assert page.count("Make it · 15 credits") == 3
    assert page.count("Change it first") == 3


def test_the_library_pages_by_key(alice: User) -> None:
    made = [ask(alice, prompt=f"shot {number:02}").pk for number in range(35)]
    client = signed_in(alice)
    first = client.get("/").content.decode()
    assert re.findall(r'id="g-([0-9a-f-]{36})"', first) == [str(pk) for pk in reversed(made)][:30]
    more = re.search(r'hx-get="(/\?after=[^"]+)"', first)
    assert more
    second = client.get(more[1].replace("&amp;", "&"), headers={"hx-request": "true"}).content.decode()
    assert re.findall(r'id="g-([0-9a-f-]{36})"', second) == [str(pk) for pk in reversed(made)][30:]
    assert "<html" not in second


def test_a_filter_shows_one_state(alice: User) -> None:
    waiting, canceled = ask(alice), ask(alice)
    services.cancel(canceled, actor=alice)
    client = signed_in(alice)
    assert f"/g/{canceled.pk}" not in client.get("/?show=open").content.decode()
    failed = client.get("/?show=failed").content.decode()
    assert f"/g/{canceled.pk}" in failed
    assert f"/g/{waiting.pk}" not in failed
    assert "Nothing matches" in client.get("/?show=ready").content.decode()
    assert f"/g/{waiting.pk}" in client.get("/?show=nonsense&kind=9&sort=x").content.decode()


def test_it_is_narrowed_to_ones_own_or_to_a_team(alice: User, bob: User, boss: User) -> None:
    film, other = people.make_team("Film", actor=boss), people.make_team("Other", actor=boss)
    for user in (alice, bob):
        people.add_member(film, user, actor=boss)
    mine, shared, theirs = ask(alice), ask(alice, visibility="team"), ask(bob, visibility="team")
    alone = ask(bob)
    client = signed_in(alice)

    def seen(query: str) -> set[object]:
        page = client.get(f"/{query}").content.decode()
        return {one.pk for one in (mine, shared, theirs, alone) if f'id="g-{one.pk}"' in page}

    assert seen("") == {mine.pk, shared.pk, theirs.pk}
    assert seen("?of=mine") == {mine.pk, shared.pk}
    assert seen(f"?of={film.pk}") == {shared.pk, theirs.pk}
    assert seen(f"?of={other.pk}") == set(), "a team of others narrows, and opens nothing"
    assert seen("?of=nonsense") == seen("")
    assert "Shared with Film" in client.get("/").content.decode()


def test_many_are_shared_and_made_private_at_once(alice: User, bob: User, boss: User) -> None:
    film = people.make_team("Film", actor=boss)
    for user in (alice, bob):
        people.add_member(film, user, actor=boss)
    mine, theirs = [ask(alice), ask(alice)], ask(bob, visibility="team")
    ids = [one.pk for one in (*mine, theirs)]
    client = signed_in(alice)
    assert 'name="shared" checked' not in client.get("/new").content.decode()
    client.post("/many", {"verb": "share", "ids": ids, "team": film.pk})
    assert Generation.objects.filter(user=alice, visibility="team").count() == 2
    assert 'name="shared" checked' in client.get("/new").content.decode(), "the composer begins as last time"
    client.post("/many", {"verb": "unshare", "ids": ids})
    assert list(Generation.objects.filter(visibility="team")) == [theirs], "others' stay as they are"
    people.remove_member(film, alice, actor=boss)
    assert client.post("/many", {"verb": "share", "ids": ids, "team": film.pk}).status_code == 404


@pytest.mark.parametrize("length", [1, 30])
def test_the_library_asks_the_database_as_often_however_long_it_is(
    alice: User, length: int, django_assert_max_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for memory in (catalogues, operations):  # of two seconds, which a busy machine outlasts
        monkeypatch.setattr(memory, "KEPT_SECONDS", 600.0)
    for _ in range(length):
        ask(alice)
    client = signed_in(alice)
    client.get("/")
    with django_assert_max_num_queries(8):
        client.get("/")
    ids = ",".join(str(pk) for pk in Generation.objects.values_list("pk", flat=True))
    with django_assert_max_num_queries(3):
        client.get(f"/progress?ids={ids}")


def test_progress_answers_all_at_once_and_ends_with_286(alice: User, bob: User) -> None:
    mine, foreign = submitted(alice), ask(bob)
    over = ask(alice)
    services.cancel(over, actor=alice)
    client = signed_in(alice)
    answer = client.get(f"/progress?ids={mine.pk},{foreign.pk},{over.pk},nonsense")
    page = answer.content.decode()
    assert answer.status_code == 200
    assert f'id="w-{mine.pk}"' in page
    assert f'id="g-{over.pk}"' in page, "what is over comes as a whole card"
    assert str(foreign.pk) not in page
    services.cancel(ask(alice), actor=alice)
    assert client.get(f"/progress?ids={over.pk}").status_code == 286
    assert client.get("/progress?ids=").status_code == 286


def test_progress_on_the_detail_page_brings_the_player_at_the_end(
    alice: User, sandbox: Any, work: Any
) -> None:
    generation = ask(alice)
    client = signed_in(alice)
    open_page = client.get(f"/progress?on=detail&ids={generation.pk}")
    assert open_page.status_code == 200
    assert "<video" not in open_page.content.decode()
    work()
    done = client.get(f"/progress?on=detail&ids={generation.pk}")
    assert done.status_code == 286
    assert f'src="/g/{generation.pk}/content"' in done.content.decode()


@pytest.fixture
def film(alice: User, sandbox: Any, work: Any) -> Generation:
    """A finished video of alice's, made by the sandbox and stored by the real tasks."""
    generation = ask(alice, prompt="A fox crosses a frozen lake.")
    work()
    generation.refresh_from_db()
    assert generation.status == Status.SUCCEEDED, generation.error_message
    return generation


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def test_a_finished_video_shows_everything(alice: User, film: Generation) -> None:
    page = signed_in(alice).get(f"/g/{film.pk}").content.decode()
    for said in (
        "A fox crosses a frozen lake.",
        film.video.sha256,
        "Stored and ready",
        "Charged",
        "Run again · 15",
    ):
        assert said in page
    assert "not quite what was asked for" not in page


def test_a_file_that_differs_from_the_wish_is_said(alice: User, film: Generation) -> None:
    type(film.video).objects.update(width=400, height=400, seconds=4.0)
    page = signed_in(alice).get(f"/g/{film.pk}").content.decode()
    assert "you asked for 16:9, the file is 400 × 400; you asked for 5 seconds, the file has 4.0" in page


@pytest.mark.parametrize(
    ("header", "status", "span"),
    [
        (None, 200, slice(None)),
        ("bytes=0-99", 206, slice(0, 100)),
        ("bytes=100-", 206, slice(100, None)),
        ("bytes=-50", 206, slice(-50, None)),
        ("bytes=99999999-", 416, slice(0, 0)),
    ],
)
def test_a_player_can_seek(
    alice: User, film: Generation, header: str | None, status: int, span: slice
) -> None:
    with film.video.file.open() as file:
        whole = file.read()
    client = signed_in(alice)
    answer = client.get(f"/g/{film.pk}/content", headers={"range": header} if header else {})
    assert answer.status_code == status
    assert body(answer) == whole[span]
    assert answer["Accept-Ranges"] == "bytes"
    if status != 416:
        assert int(answer["Content-Length"]) == len(whole[span])
        assert answer["Content-Type"] == "video/mp4"
    else:
        assert answer["Content-Range"] == f"bytes */{len(whole)}"


def test_a_player_that_has_the_bytes_is_not_sent_them_again(alice: User, film: Generation) -> None:
    client = signed_in(alice)
    tag = client.get(f"/g/{film.pk}/content")["ETag"]
    assert client.get(f"/g/{film.pk}/content", headers={"if-none-match": tag}).status_code == 304
    changed = client.get(f"/g/{film.pk}/content", headers={"range": "bytes=0-9", "if-range": '"other"'})
    assert changed.status_code == 200
    same = client.get(f"/g/{film.pk}/content", headers={"range": "bytes=0-9", "if-range": tag})
    assert same.status_code == 206
    head = client.head(f"/g/{film.pk}/content")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head["Content-Length"]) == film.video.bytes


def test_a_download_has_a_name_that_can_be_read(alice: User, film: Generation) -> None:
    answer = signed_in(alice).get(f"/g/{film.pk}/content?download=1")
    assert answer["Content-Disposition"] == (
        f'attachment; filename="A-fox-crosses-a-frozen-lake-{str(film.pk)[:8]}.mp4"'
    )


def test_a_poster_is_a_jpeg(alice: User, film: Generation) -> None:
    answer = signed_in(alice).get(f"/g/{film.pk}/poster")
    assert answer["Content-Type"] == "image/jpeg"
    assert Image.open(io.BytesIO(body(answer))).size == (film.video.width, film.video.height)


def test_cancel_returns_the_credits(alice: User) -> None:
    generation = ask(alice)
    page = signed_in(alice).post(f"/g/{generation.pk}/cancel", follow=True).content.decode()
    assert "Canceled. Its credits are back." in page
    assert "Returned" in page


def test_cancel_is_too_late_once_it_was_sent(alice: User) -> None:
    generation = ask(alice)
    claim_one()
    page = signed_in(alice).post(f"/g/{generation.pk}/cancel", follow=True).content.decode()
    assert "It has been sent" in page


def test_run_again_makes_a_second_one(alice: User) -> None:
    old = ask(alice, duration=10, size="1:1")
    answer = signed_in(alice).post(f"/g/{old.pk}/retry")
    again = Generation.objects.exclude(pk=old.pk).get()
    assert answer["Location"] == f"/g/{again.pk}"
    assert (again.retry_of, again.seconds, again.size) == (old, 10, "1:1")


def test_run_again_says_why_not(alice: User) -> None:
    poor = person("poor", credits=15)
    page = signed_in(poor).post(f"/g/{ask(poor).pk}/retry", follow=True).content.decode()
    assert "0 credits left, this needs 15" in page


def test_delete_hides_and_can_be_taken_back(alice: User) -> None:
    generation = ask(alice)
    client = signed_in(alice)
    page = client.post(f"/g/{generation.pk}/delete", follow=True).content.decode()
    assert "can be brought back for 7 days" in page
    assert client.get(f"/g/{generation.pk}").status_code == 404
    client.post(f"/g/{generation.pk}/undelete")
    assert client.get(f"/g/{generation.pk}").status_code == 200


def test_what_is_being_made_cannot_be_deleted(alice: User) -> None:
    generation = submitted(alice)
    page = signed_in(alice).post(f"/g/{generation.pk}/delete", follow=True).content.decode()
    assert "still in the making" in page


def test_a_prompt_is_text_and_never_markup(alice: User) -> None:
    generation = ask(alice, prompt="<script>alert(1)</script><img src=x onerror=alert(2)>")
    client = signed_in(alice)
    for page in ("/", f"/g/{generation.pk}", f"/new?from={generation.pk}"):
        html = client.get(page).content.decode()
        assert "<script>alert" not in html
        assert "<img src=x" not in html


def test_what_we_lost_is_told_in_the_readers_words(alice: User) -> None:
    lost = ask(alice)
    services.record_submitted(claim_one(), upstream_id="up-lost")
    services.record_reading(due(lost), Reading("succeeded", url="https://cdn.example.com/lost.mp4"))
    for _ in range(3):
        type(lost).objects.filter(pk=lost.pk).update(next_check_at=lost.created_at)
        services.claim_store(lost.pk)
        services.record_store_failed(lost.pk, message="the address answered 404", gone=True)
    client = signed_in(alice)
    for path in ("/", f"/g/{lost.pk}", "/account"):
        page = client.get(path, headers={"accept-language": "zh-hans"}).content.decode()
        assert "answered 404" not in page
        assert path == "/account" or "视频已制作完成，但文件在取回之前已从网关消失。" in page
