"""The composer over HTTP: what arrives, what is refused where, and what is kept."""

from __future__ import annotations

import io
import re

import pytest

from accounts.models import ApiKey, Quota, Transfer, User
from generations import services
from generations.models import Generation, InputImage, Preset
from tests.conftest import person
from tests.portal import CHEAP, compose, picture, signed_in, with_picture

pytestmark = pytest.mark.django_db


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
            "needs kling-v2-5-turbo-pro or kling-v2-6 (pro)",
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


def test_a_member_without_a_quota_is_told_where_to_ask(alice: User) -> None:
    Quota.objects.filter(user=alice).update(user=None, team=None, api_key=ApiKey.objects.create(
        user=alice, label="x", lookup="klp_x", digest=b"x"
    ))  # fmt: skip
    client = signed_in(alice)
    assert 'href="/account?ask#ask">Ask for a quota</a>' in client.get("/new").content.decode()
    assert compose(client).json()["errors"]["__all__"][0].endswith("/account?ask#ask")


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


def test_pictures_to_begin_with_are_ones_own(alice: User, bob: User) -> None:
    mine = with_picture(alice)
    assert f"/g/{mine.pk}/frames/0" in signed_in(alice).get("/new/pictures").content.decode()
    assert "/g/" not in signed_in(bob).get("/new/pictures").content.decode()


def test_nobody_removes_a_strangers_preset(alice: User, bob: User) -> None:
    preset = services.save_preset(user=alice, name="Dusk", text="One lamp.", shared=True)
    page = signed_in(bob).post(f"/new/presets/{preset.pk}/remove", headers={"hx-request": "true"})
    assert "somebody else&#x27;s" in page.content.decode()
    assert Preset.objects.get().text == "One lamp."
