"""Doing it again over HTTP: variations, other models, the wall, the last picture, the recipe as code, the family."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from PIL import Image

from accounts import services as people
from accounts.models import User
from accounts.quotas import balances
from accounts.services import set_quota
from generations import recipes, services
from generations.models import Generation, Status
from kling_platform.errors import InsufficientQuota, InvalidValue
from tests.conftest import person
from tests.makers import ask, claim_one, submitted
from tests.portal import compose, picture, signed_in, with_picture

pytestmark = pytest.mark.django_db

SOUND = {"model": "kling-v2-6", "metadata": {"sound": "on"}}


def available(user: User) -> int:
    return balances(user)[0].wallet.available


def page_of(user: User, generation: Generation) -> str:
    return signed_in(user).get(f"/g/{generation.pk}").content.decode()


@pytest.fixture
def film(alice: User, sandbox: Any, work: Any) -> Generation:
    generation = ask(alice, prompt="A fox crosses a frozen lake.")
    work()
    generation.refresh_from_db()
    assert generation.status == Status.SUCCEEDED
    return generation


# --- variations and other models ---------------------------------------------


def test_variations_are_one_click_with_the_whole_price_on_it(alice: User) -> None:
    old = ask(alice, duration=10)
    page = page_of(alice, old)
    for count in range(2, 9):
        assert f"<strong>×{count}</strong>{count * 30} credits" in page
    answer = signed_in(alice).post(f"/g/{old.pk}/vary", {"count": "4"})
    made = Generation.objects.filter(derived_from=old, derivation="variation")
    assert (made.count(), set(made.values_list("seconds", flat=True))) == (4, {10})
    assert available(alice) == 1_000 - 5 * 30
    assert answer["Location"].startswith(f"/compare?ids={old.pk},")
    assert answer["Location"].count(",") == 4


@pytest.mark.parametrize("count", ["", "1", "9", "-3", "²", "1e9"])
def test_another_number_of_variations_is_refused(alice: User, count: str) -> None:
    old = ask(alice)
    page = signed_in(alice).post(f"/g/{old.pk}/vary", {"count": count}, follow=True).content.decode()
    assert "Make 2 to 8 variations at once." in page
    assert Generation.objects.count() == 1


def test_variations_are_made_all_or_none(alice: User) -> None:
    old = with_picture(alice)
    set_quota(alice, credits=15 + 45)
    with pytest.raises(InsufficientQuota, match="45 credits left, this needs 60"):
        services.vary(old, user=alice, count=4)
    assert Generation.objects.count() == 1
    services.vary(old, user=alice, count=3)
    assert available(alice) == 0


def test_a_refusal_in_the_middle_leaves_no_picture_behind(alice: User, monkeypatch: Any) -> None:
    old = with_picture(alice)
    set_quota(alice, credits=15 + 45)
    # As if the credits had been there when they were looked at, and were spent elsewhere meanwhile.
    monkeypatch.setattr("generations.services.again.check_affordable", lambda *_: None)
    with pytest.raises(InsufficientQuota):
        services.vary(old, user=alice, count=4)
    assert Generation.objects.count() == 1
    assert available(alice) == 45
    files = [path for path in Path(default_storage.location).rglob("inputs/**/*") if path.is_file()]  # type: ignore[attr-defined]
    assert len(files) == 1


def test_the_same_prompt_on_other_models(alice: User) -> None:
    old = ask(alice, size="1:1")
    offered = {one.key: one.price for one in services.alternatives(old, user=alice)}
    assert offered == {"kling-v2-5-turbo-pro/pro": 25, "kling-v2-6/std": 15, "kling-v2-6/pro": 25}
    assert "65 credits</span></button>" in page_of(alice, old), "all of them are ticked"
    keys = ["kling-v2-6/pro", "kling-v2-5-turbo-pro/pro"]
    signed_in(alice).post(f"/g/{old.pk}/models", {"models": keys})
    made = Generation.objects.filter(derived_from=old, derivation="model")
    assert {(one.model, one.mode, one.size, one.price) for one in made} == {
        ("kling-v2-6", "pro", "1:1", 25),
        ("kling-v2-5-turbo-pro", "pro", "1:1", 25),
    }
    for wrong in ([], ["kling-v2-5-turbo-std/std"], ["nonsense"]):
        with pytest.raises(InvalidValue):
            services.on_models(old, user=alice, keys=wrong)


def test_a_model_without_sound_is_offered_silent_and_says_so(alice: User) -> None:
    old = ask(alice, **SOUND)
    assert {one.key: one.loses_sound for one in services.alternatives(old, user=alice)} == {
        "kling-v2-5-turbo-std/std": True,
        "kling-v2-5-turbo-pro/pro": True,
        "kling-v2-6/std": True,
    }
    assert "silent" in page_of(alice, old)


def test_a_last_frame_leaves_only_models_that_can_end_on_it(alice: User) -> None:
    compose(
        signed_in(alice), model="kling-v2-5-turbo-pro", first_file=picture(), last_file=picture(kind="PNG")
    )
    assert [one.key for one in services.alternatives(Generation.objects.get(), user=alice)] == [
        "kling-v2-6/pro"
    ]


# --- the wall -------------------------------------------------------------------


def test_the_wall_shows_what_one_may_see(alice: User, bob: User, film: Generation) -> None:
    waiting, foreign = ask(alice, prompt="Another one."), ask(bob)
    ids = f"{film.pk},{waiting.pk},{foreign.pk},{film.pk},nonsense"
    client = signed_in(alice)
    page = client.get(f"/compare?ids={ids}").content.decode()
    assert page.count('class="tile ') == 2
    assert f'src="/g/{film.pk}/content"' in page
    assert f"on=wall&amp;ids={waiting.pk}" in page
    assert f"/g/{foreign.pk}" not in page
    for nothing in ("", str(foreign.pk), str(uuid.uuid4())):
        assert client.get(f"/compare?ids={nothing}").status_code == 404
    live = client.get(f"/progress?on=wall&ids={film.pk}")
    assert live.status_code == 286
    assert f'id="t-{film.pk}" hx-swap-oob="true"' in live.content.decode()


def test_marked_videos_of_the_library_come_onto_a_wall(alice: User, bob: User) -> None:
    mine, foreign = [ask(alice) for _ in range(10)], ask(bob)
    marked = {"ids": [*(one.pk for one in mine[:2]), foreign.pk, "nonsense"]}
    answer = signed_in(alice).post("/compare", marked)
    assert answer["Location"] == f"/compare?ids={mine[1].pk},{mine[0].pk}"
    page = signed_in(alice).post("/compare", {"ids": [one.pk for one in mine]}, follow=True).content.decode()
    assert page.count('class="tile ') == 9
    assert "A wall has room for 9 videos." in page


# --- going on from the last picture -----------------------------------------------


def test_it_goes_on_from_the_last_picture(alice: User, film: Generation, work: Any) -> None:
    client = signed_in(alice)
    asked = client.post(f"/g/{film.pk}/continue")
    assert asked["Location"] == f"/g/{film.pk}/continue"
    assert "Taking the last picture" in client.get(asked["Location"]).content.decode()
    assert client.get(f"/g/{film.pk}/last-frame").status_code == 404
    work()
    moved = client.get(asked["Location"], headers={"hx-request": "true"})
    assert (moved.status_code, moved["HX-Redirect"]) == (204, f"/new?continue={film.pk}")
    frame = client.get(f"/g/{film.pk}/last-frame")
    sent = b"".join(frame.streaming_content)  # type: ignore[attr-defined]
    assert min(Image.open(io.BytesIO(sent)).size) >= 300, "large enough to be sent"
    composer = client.get(f"/new?continue={film.pk}").content.decode()
    assert f'src="/g/{film.pk}/last-frame"' in composer
    compose(client, prompt="It runs away.", first_kept=film.pk, continues=film.pk)
    made = Generation.objects.get(prompt="It runs away.")
    assert (made.derived_from, made.derivation) == (film, "continuation")
    assert made.images.get().width == Image.open(io.BytesIO(sent)).width
    assert client.post(f"/g/{film.pk}/continue")["Location"] == f"/new?continue={film.pk}", "taken once"


def test_a_file_that_cannot_be_read_is_said_in_the_end(alice: User, film: Generation, work: Any) -> None:
    with default_storage.open(film.video.file.name, "wb") as file:
        file.write(b"no film")
    client = signed_in(alice)
    client.post(f"/g/{film.pk}/continue")
    work()
    page = client.get(f"/g/{film.pk}/continue?asked=60").content.decode()
    assert "could not be taken. Nothing was charged" in page
    assert "hx-get" not in page, "it does not ask for ever"


def test_what_is_not_ready_has_no_last_picture(alice: User) -> None:
    page = signed_in(alice).post(f"/g/{ask(alice).pk}/continue", follow=True).content.decode()
    assert "There is no last picture yet" in page


@pytest.mark.parametrize("path", ["vary", "models", "continue", "last-frame"])
def test_a_stranger_gets_404(alice: User, bob: User, path: str) -> None:
    generation = ask(alice)
    assert signed_in(bob).post(f"/g/{generation.pk}/{path}").status_code in (404, 405)
    assert signed_in(bob).get(f"/g/{generation.pk}/{path}").status_code in (404, 405)
    assert Generation.objects.count() == 1


# --- the family --------------------------------------------------------------------


def test_the_family_is_told_from_both_sides(alice: User) -> None:
    old = ask(alice)
    retried = services.retry(old, user=alice)
    (variation, _other) = services.vary(old, user=alice, count=2)
    compose(signed_in(alice), prompt="Changed.", edits=old.pk)
    changed = Generation.objects.get(prompt="Changed.")
    page = page_of(alice, old)
    for title in ("Retried as", "Variations", "Changed into"):
        assert f"<h3>{title}</h3>" in page
    assert page.count('class="shape-16x9"><a href="/g/') == 4
    for child, title in ((retried, "Made from"), (variation, "Variation of"), (changed, "Made from")):
        said = page_of(alice, child)
        assert f"<h3>{title}</h3>" in said
        assert f'href="/g/{old.pk}"' in said
    assert f"/compare?ids={old.pk},{variation.pk}" in page_of(alice, variation)
    services.cancel(old, actor=alice)
    services.delete(old, actor=alice)
    assert "Variation of" not in page_of(alice, variation)


def test_what_is_made_from_something_gone_is_made_all_the_same(alice: User) -> None:
    assert compose(signed_in(alice), edits=uuid.uuid4()).status_code == 201


def test_an_origin_without_its_kind_is_impossible(alice: User) -> None:
    old, new = ask(alice), ask(alice)
    for broken in (
        {"derived_from": old},
        {"derivation": "nonsense"},
        {"derived_from": old, "derivation": "variation", "retry_of": old},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            Generation.objects.filter(pk=new.pk).update(**broken)


# --- money in one sentence ------------------------------------------------------------


def test_the_bill_is_one_sentence(alice: User, film: Generation) -> None:
    refused = ask(alice, model="kling-v2-5-turbo-pro")
    assert "25 held. They are charged once the video is made" in page_of(alice, refused)
    services.record_refused(claim_one(), code="refused", message="upstream refused the prompt")
    assert "25 held, 25 returned: the gateway did not make it. You were not charged." in page_of(
        alice, refused
    )
    canceled = services.cancel(ask(alice), actor=alice)
    assert "15 held, 15 returned: canceled before it was sent." in page_of(alice, canceled)
    assert "15 held, 15 charged: the video was made." in page_of(alice, film)


# --- as code ------------------------------------------------------------------------------

NASTY = 'It\'s "quoted" $HOME `id` \\ %s\n第二行 {x} — EOF'


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A folder with the picture that the code asks for."""
    folder = tmp_path / "beside"
    folder.mkdir()
    (folder / "first-frame.jpg").write_bytes(picture(640, 480).getvalue())
    return folder


@pytest.mark.client("curl")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("key", ["curl", "python"])
@pytest.mark.parametrize("pictured", [False, True])
def test_copied_code_makes_the_same_video(
    transactional_db: None, live_server: Any, settings: Any, beside: Path, key: str, pictured: bool
) -> None:
    settings.PUBLIC_URL = live_server.url
    alice = person("alice")
    fields = {"first_file": picture(640, 480)} if pictured else {}
    compose(
        signed_in(alice), prompt=NASTY, model="kling-v2-6", mode="pro", sound="on", seconds="10", **fields
    )
    old = Generation.objects.get()
    (code,) = (code.text for code in recipes.codes(old) if code.key == key)
    program = ["sh", "-ec", code] if key == "curl" else [sys.executable, "-c", code]
    environment = {"PATH": os.environ["PATH"], "KLING_API_KEY": people.make_key(alice, label="code")[1]}
    done = subprocess.run(program, cwd=beside, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    new = Generation.objects.exclude(pk=old.pk).get()
    for name in ("prompt", "model", "mode", "seconds", "size", "sound", "metadata", "price"):
        assert getattr(new, name) == getattr(old, name), name
    assert [image.width for image in new.images.all()] == ([640] if pictured else [])


def test_json_is_the_request_itself(alice: User) -> None:
    old = ask(alice, prompt=NASTY, metadata={"negative_prompt": "text", "cfg_scale": 0.5})
    (code,) = (code.text for code in recipes.codes(old) if code.key == "json")
    request = json.loads(code)
    again = services.create(user=alice, request=request)
    assert (again.prompt, again.metadata, again.mode) == (old.prompt, old.metadata, old.mode)


def test_a_running_one_asks_nobody_for_its_family_while_it_is_watched(
    alice: User, django_assert_max_num_queries: Any
) -> None:
    running = submitted(alice)
    client = signed_in(alice)
    client.get(f"/progress?on=detail&ids={running.pk}")
    with django_assert_max_num_queries(9):
        client.get(f"/progress?on=detail&ids={running.pk}")
