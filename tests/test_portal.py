"""The portal over HTTP: who sees which page, what a form answers, what every page carries."""

from __future__ import annotations

import io
import re
import uuid
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from PIL import Image

from accounts.models import ApiKey, Quota, Transfer, User
from generations import services
from generations.models import Generation, InputImage, Status
from tests.conftest import PASSWORD, person
from tests.makers import ask, claim_one, submitted

pytestmark = pytest.mark.django_db

CHEAP = {"model": "kling-v2-5-turbo-std", "prompt": "一只可爱的小猫", "seconds": "5", "size": "16:9"}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def picture(width: int = 640, height: int = 360, kind: str = "JPEG") -> io.BytesIO:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(out, kind)
    out.seek(0)
    out.name = f"frame.{kind.lower()}"
    return out


def compose(client: Client, **fields: Any) -> Any:
    """Send the composer as its script does."""
    return client.post("/new", {**CHEAP, **fields}, headers={"accept": "application/json"})


# --- who sees what ----------------------------------------------------------

PAGES = ["/", "/new", "/account", "/account/password", "/progress?ids="]
ABOUT_ONE = ["", "/content", "/content?download=1", "/poster", "/frames/0"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_asks_who_you_are(client: Client, page: str) -> None:
    answer = client.get(page)
    assert answer.status_code == 302
    assert answer["Location"] == f"/signin?{urlencode({'next': page}, safe='/')}"


@pytest.mark.parametrize("page", ["/", "/new", "/account", "/account/password"])
def test_a_member_sees_a_page(alice: User, page: str) -> None:
    assert signed_in(alice).get(page).status_code == 200


@pytest.mark.parametrize("page", ABOUT_ONE)
def test_a_stranger_gets_404(alice: User, bob: User, page: str) -> None:
    generation = with_picture(alice)
    assert signed_in(bob).get(f"/g/{generation.pk}{page}").status_code == 404
    assert signed_in(alice).get(f"/g/{uuid.uuid4()}{page}").status_code == 404


@pytest.mark.parametrize("page", ABOUT_ONE)
def test_somebody_unknown_has_to_sign_in_for_a_video(client: Client, alice: User, page: str) -> None:
    assert client.get(f"/g/{with_picture(alice).pk}{page}")["Location"].startswith("/signin?next=")


@pytest.mark.parametrize("verb", ["cancel", "retry", "delete", "undelete"])
def test_a_stranger_changes_nothing(alice: User, bob: User, verb: str) -> None:
    generation = ask(alice)
    assert signed_in(bob).post(f"/g/{generation.pk}/{verb}").status_code == 404
    assert Generation.objects.get().status == Status.QUEUED


@pytest.mark.parametrize("verb", ["cancel", "retry", "delete", "undelete"])
def test_a_link_changes_nothing(alice: User, verb: str) -> None:
    generation = ask(alice)
    assert signed_in(alice).get(f"/g/{generation.pk}/{verb}").status_code == 405
    assert Generation.objects.get().status == Status.QUEUED


def test_an_admin_sees_everybodys_library(alice: User, boss: User) -> None:
    generation = ask(alice)
    page = signed_in(boss).get("/").content.decode()
    assert f"/g/{generation.pk}" in page
    assert "alice" in page


def test_a_suspended_member_is_signed_out(alice: User) -> None:
    client = signed_in(alice)
    User.objects.update(is_active=False)
    assert client.get("/").status_code == 302


@pytest.mark.parametrize("page", ["/signin", "/", "/new", "/account", "/nothing-here"])
def test_every_page_carries_a_strict_policy(alice: User, page: str) -> None:
    client = Client() if page == "/signin" else signed_in(alice)
    answer = client.get(page)
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    html = answer.content.decode()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", html)
    assert not re.search(r"<script(?![^>]*(\ssrc=|type=\"application/json\"))", html)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", html), "nothing comes from another host"


# --- signing in -------------------------------------------------------------


def test_it_signs_in_and_goes_on(alice: User) -> None:
    client = Client()
    answer = client.post("/signin", {"username": "alice", "password": PASSWORD, "next": "/new?from=1"})
    assert (answer.status_code, answer["Location"]) == (302, "/new?from=1")
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    "onward", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:1"]
)
def test_it_goes_on_within_this_site_only(alice: User, onward: str) -> None:
    answer = Client().post("/signin", {"username": "alice", "password": PASSWORD, "next": onward})
    assert answer["Location"] == "/"


def test_a_wrong_password_keeps_the_name_and_forgets_itself(alice: User) -> None:
    page = Client().post("/signin", {"username": "alice", "password": "wrong-one"}).content.decode()
    assert "Name and password do not match" in page
    assert 'value="alice"' in page
    assert "wrong-one" not in page


def test_the_sixth_try_has_to_wait(alice: User) -> None:
    client = Client()
    tries = [client.post("/signin", {"username": "alice", "password": "wrong"}) for _ in range(6)]
    assert [answer.status_code for answer in tries] == [200] * 5 + [429]
    assert 0 < int(tries[-1]["Retry-After"]) <= 60
    assert "Too many tries" in tries[-1].content.decode()


def test_signing_out_needs_a_form(alice: User) -> None:
    client = signed_in(alice)
    assert client.get("/signout").status_code == 405
    assert client.post("/signout")["Location"] == "/signin"
    assert client.get("/").status_code == 302


def test_a_form_without_its_token_is_refused(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    answer = client.post("/new", CHEAP)
    assert answer.status_code == 403
    assert "This form has expired" in answer.content.decode()
    assert not Generation.objects.exists()


# --- the composer -----------------------------------------------------------


def test_a_chinese_prompt_becomes_a_generation(alice: User) -> None:
    answer = compose(signed_in(alice))
    generation = Generation.objects.get()
    assert (answer.status_code, answer.json()) == (201, {"to": f"/g/{generation.pk}"})
    assert (generation.prompt, generation.price, generation.status) == ("一只可爱的小猫", 15, "queued")


def test_it_works_as_a_plain_form(alice: User) -> None:
    answer = signed_in(alice).post("/new", CHEAP)
    assert answer["Location"] == f"/g/{Generation.objects.get().pk}"


def test_every_choice_arrives(alice: User) -> None:
    compose(
        signed_in(alice),
        model="kling-v2-6", mode="pro", seconds="10", size="9:16", sound="on", negative_prompt="text",
    )  # fmt: skip
    made = Generation.objects.get()
    assert (made.model, made.mode, made.seconds, made.size, made.sound) == (
        "kling-v2-6",
        "pro",
        10,
        "9:16",
        True,
    )
    assert (made.metadata, made.price) == ({"negative_prompt": "text"}, 100)


def test_the_cheapest_mode_that_fits_is_taken_where_none_is_chosen(alice: User) -> None:
    compose(signed_in(alice), model="kling-v2-6")
    assert Generation.objects.get().mode == "std"


def test_two_pictures_become_first_and_last_frame(alice: User) -> None:
    answer = compose(
        signed_in(alice),
        model="kling-v2-5-turbo-pro", first_file=picture(), last_url="https://example.com/end.jpg",
    )  # fmt: skip
    assert answer.status_code == 201, answer.content
    first, last = InputImage.objects.order_by("position")
    assert (first.width, first.height, first.content_type) == (640, 360, "image/jpeg")
    assert last.url == "https://example.com/end.jpg"


@pytest.mark.parametrize(
    ("fields", "place", "words"),
    [
        ({"prompt": " "}, "prompt", "prompt is empty"),
        ({"prompt": "x" * 2501}, "prompt", "2501 characters"),
        ({"prompt": "a\x00b"}, "prompt", "Null characters"),
        ({"model": "kling-v9"}, "model", "Choose one of these models"),
        ({"seconds": "7"}, "seconds", "5 or 10 seconds"),
        ({"size": "4:3"}, "size", "16:9"),
        ({"sound": "on"}, "sound", "Sound needs kling-v2-6"),
        ({"mode": "pro"}, "mode", "has the mode std"),
        ({"last_url": "https://example.com/a.jpg"}, "images", "needs a first one"),
        ({"first_url": "ftp://example.com/a.jpg"}, "images", ""),
        (
            {"first_url": "https://example.com/a.jpg", "last_url": "https://example.com/b.jpg"},
            "images",
            "needs pro",
        ),
    ],
)
def test_a_refusal_stands_at_its_field(alice: User, fields: dict[str, str], place: str, words: str) -> None:
    answer = compose(signed_in(alice), **fields)
    assert answer.status_code == 200
    errors = answer.json()["errors"]
    assert list(errors) == [place]
    assert words in errors[place][0]
    assert not Generation.objects.exists()
    assert not Transfer.objects.filter(kind="reserve").exists()


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (picture(200, 200), "300"),
        (picture(1000, 300), "2.5 times"),
        (io.BytesIO(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "cannot be read"),
    ],
)
def test_a_picture_that_upstream_could_not_use_is_refused(alice: User, file: io.BytesIO, words: str) -> None:
    file.name = getattr(file, "name", "drawing.jpg")
    answer = compose(signed_in(alice), first_file=file)
    assert words in answer.json()["errors"]["images"][0]


def test_a_file_and_an_address_for_one_frame_are_too_many(alice: User) -> None:
    answer = compose(signed_in(alice), first_file=picture(), first_url="https://example.com/a.jpg")
    assert list(answer.json()["errors"]) == ["first_url"]


def test_a_plain_form_keeps_what_was_typed(alice: User) -> None:
    sent = {**CHEAP, "seconds": "7", "size": "9:16", "negative_prompt": "Schrift", "first_file": picture()}
    answer = signed_in(alice).post("/new", sent)
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "一只可爱的小猫</textarea>" in page
    assert 'value="Schrift"' in page
    assert re.search(r'name="size" value="9:16" checked', page)
    assert "choose them once more" in page


def test_too_little_credit_is_said_before_anything_is_made() -> None:
    poor = person("poor", credits=10)
    assert signed_in(poor).post("/new", CHEAP).status_code == 402
    answer = compose(signed_in(poor))
    (said,) = answer.json()["errors"]["__all__"]
    assert said.startswith("Your monthly quota: 10 credits left, this needs 15, resets")
    assert not Generation.objects.exists()


def test_a_member_without_a_quota_is_told_whom_to_ask(alice: User) -> None:
    Quota.objects.filter(user=alice).update(user=None, team=None, api_key=ApiKey.objects.create(
        user=alice, label="x", lookup="klp_x", digest=b"x"
    ))  # fmt: skip
    client = signed_in(alice)
    assert "Ask an admin" in client.get("/new").content.decode()
    assert "Ask an admin" in compose(client).json()["errors"]["__all__"][0]


def test_a_body_over_the_limit_is_not_even_read(alice: User) -> None:
    answer = signed_in(alice).post("/new", b"", content_type="multipart/form-data; boundary=x",
                                   CONTENT_LENGTH=str(33 * 1024 * 1024))  # fmt: skip
    assert answer.status_code == 400
    assert not Generation.objects.exists()


def test_an_idea_fills_the_composer(alice: User) -> None:
    client = signed_in(alice)
    link = re.search(r'href="(/new\?prompt=[^"]+)"', client.get("/").content.decode())
    assert link
    page = client.get(link[1].replace("&amp;", "&")).content.decode()
    assert "Last light on layered mountain ridges" in page


def test_change_and_run_brings_the_recipe_back_with_its_picture(alice: User) -> None:
    old = with_picture(alice)
    client = signed_in(alice)
    page = client.get(f"/new?from={old.pk}").content.decode()
    assert f'src="/g/{old.pk}/frames/0"' in page
    assert f'name="first_kept" value="{old.pk}"' in page
    assert compose(client, first_kept=str(old.pk)).status_code == 201
    assert InputImage.objects.exclude(generation=old).get().width == 640


def test_nobody_uses_a_strangers_picture_again(alice: User, bob: User) -> None:
    old = with_picture(alice)
    client = signed_in(bob)
    assert client.get(f"/new?from={old.pk}").status_code == 404
    assert compose(client, first_kept=str(old.pk)).status_code == 404
    assert Generation.objects.count() == 1


def with_picture(user: User) -> Generation:
    """A queued image-to-video of a user."""
    client = signed_in(user)
    answer = compose(client, first_file=picture())
    assert answer.status_code == 201, answer.content
    return Generation.objects.get(pk=answer.json()["to"].removeprefix("/g/"))


# --- library and progress ---------------------------------------------------


def test_an_empty_library_teaches(alice: User) -> None:
    page = signed_in(alice).get("/").content.decode()
    assert "Your first shot starts with a sentence" in page
    assert page.count("Start with this") == 3


def test_the_library_pages_by_key(alice: User) -> None:
    made = [ask(alice, prompt=f"shot {number:02}").pk for number in range(30)]
    client = signed_in(alice)
    first = client.get("/").content.decode()
    assert re.findall(r'id="g-([0-9a-f-]{36})"', first) == [str(pk) for pk in reversed(made)][:24]
    more = re.search(r'hx-get="(/\?show=&amp;after=[^"]+)"', first)
    assert more
    second = client.get(more[1].replace("&amp;", "&"), headers={"hx-request": "true"}).content.decode()
    assert re.findall(r'id="g-([0-9a-f-]{36})"', second) == [str(pk) for pk in reversed(made)][24:]
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
    assert client.get("/?show=nonsense").status_code == 404


@pytest.mark.parametrize("length", [1, 24])
def test_the_library_asks_the_database_as_often_however_long_it_is(
    alice: User, length: int, django_assert_max_num_queries: Any
) -> None:
    for _ in range(length):
        ask(alice)
    client = signed_in(alice)
    client.get("/")
    with django_assert_max_num_queries(14):
        client.get("/")


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


# --- one video --------------------------------------------------------------


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


# --- account ----------------------------------------------------------------


def test_the_account_page_says_what_is_left(alice: User) -> None:
    ask(alice)
    page = signed_in(alice).get("/account").content.decode()
    assert re.sub(r"<[^>]+>", "", page).count("15 of 1,000 used") == 1
    assert "−15" in page


def test_money_lines_page_by_key(alice: User) -> None:
    for _ in range(12):
        ask(alice)
    client = signed_in(alice)
    older = re.search(r'hx-get="(/account\?before=\d+)"', client.get("/account").content.decode())
    assert older
    rest = client.get(older[1], headers={"hx-request": "true"}).content.decode()
    assert rest.count("<tr>") == 3, "12 held and the quota itself are 13 lines; 10 stood on the first page"


def test_nobody_sees_anothers_money(alice: User, bob: User) -> None:
    generation = ask(alice)
    assert str(generation.pk) not in signed_in(bob).get("/account").content.decode()


@pytest.mark.parametrize("script", [True, False])
def test_a_key_is_shown_once(alice: User, script: bool) -> None:
    client = signed_in(alice)
    answer = client.post(
        "/account/keys", {"label": "Render"}, headers={"hx-request": "true"} if script else {}
    )
    shown = re.search(r'value="(klp_\w+)"', answer.content.decode())
    assert shown
    assert "no-store" in answer["Cache-Control"]
    assert shown[1] not in client.get("/account").content.decode()
    models = client.get("/v1/models", headers={"authorization": f"Bearer {shown[1]}"})
    assert models.status_code == 200


def test_a_key_needs_a_name(alice: User) -> None:
    answer = signed_in(alice).post("/account/keys", {"label": " "})
    assert answer.status_code == 400
    assert "Give the key a name" in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_a_key_may_be_for_reading_only(alice: User) -> None:
    signed_in(alice).post("/account/keys", {"label": "Render", "read_only": "on"})
    assert ApiKey.objects.get().scopes == ["read"]


def test_a_revoked_key_is_gone_and_a_strangers_is_404(alice: User, bob: User) -> None:
    client = signed_in(alice)
    client.post("/account/keys", {"label": "Render"})
    key = ApiKey.objects.get()
    assert signed_in(bob).post(f"/account/keys/{key.pk}/revoke").status_code == 404
    page = client.post(f"/account/keys/{key.pk}/revoke", follow=True).content.decode()
    assert "no longer opens anything" in page
    assert key.lookup not in page


def test_a_new_password_ends_other_sessions(alice: User) -> None:
    here, elsewhere = Client(), Client()
    for client in (here, elsewhere):
        client.post("/signin", {"username": "alice", "password": PASSWORD})
    new = "a much longer pass phrase"
    here.post("/account/password", {"old_password": PASSWORD, "new_password1": new, "new_password2": new})
    assert here.get("/").status_code == 200
    assert elsewhere.get("/").status_code == 302


def test_a_weak_password_is_refused_in_words(alice: User) -> None:
    sent = {"old_password": "wrong", "new_password1": "12345678", "new_password2": "12345678"}
    page = signed_in(alice).post("/account/password", sent).content.decode()
    assert "too common" in page
    assert "entered incorrectly" in page


# --- languages and errors ---------------------------------------------------


def test_the_language_is_a_choice(alice: User) -> None:
    client = signed_in(alice)
    client.post("/i18n/setlang/", {"language": "zh-hans", "next": "/"})
    page = client.get("/").content.decode()
    assert '<html lang="zh-hans">' in page
    assert "作品库" in page


def test_the_language_follows_the_browser() -> None:
    page = Client(headers={"accept-language": "zh-CN,zh;q=0.9"}).get("/signin").content.decode()
    assert "登录" in page


def test_a_missing_page_says_so_in_our_own_words(alice: User) -> None:
    answer = signed_in(alice).get("/nothing-here")
    assert answer.status_code == 404
    assert "Nothing in this frame" in answer.content.decode()
