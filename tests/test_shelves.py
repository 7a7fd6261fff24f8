"""Searching, liking, collecting, and verbs over many videos: over HTTP, as the library's page sends them."""

from __future__ import annotations

import io
import re
import time
import zipfile
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.models import User
from generations import library, searching, services
from generations.models import Collection, Favourite, Generation, Preset
from kling_platform.errors import PlatformError
from kling_platform.patience import TookTooLong, at_most
from tests.makers import ask, submitted
from tests.portal import picture, signed_in
from tests.test_library import body

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def shown(client: Client, query: str = "", **headers: str) -> list[str]:
    """The prompts of the cards on a page, from top to end."""
    page = client.get(f"/{query}", headers=headers).content.decode()
    return re.findall(r'class="shot-link"[^>]*>([^<]*)</a>', page)


def do(client: Client, verb: str, *generations: Generation, **more: str) -> str:
    ids = [str(generation.pk) for generation in generations]
    return client.post("/many", {"verb": verb, "ids": ids, **more}, follow=True).content.decode()


def cancel_all(*generations: Generation) -> None:
    for generation in generations:
        services.cancel(generation, actor=generation.user)


def test_a_search_finds_a_part_of_a_prompt(alice: User, bob: User) -> None:
    for prompt in ("A fox crosses a lake", "100% cotton", "一只小猫坐在窗台上", "A FOXGLOVE opens"):
        ask(alice, prompt=prompt)
    ask(bob, prompt="Bob's fox")
    client = signed_in(alice)
    assert shown(client, "?q=fox") == ["A FOXGLOVE opens", "A fox crosses a lake"]
    assert shown(client, "?q=小猫") == ["一只小猫坐在窗台上"]
    assert shown(client, "?q=%25") == ["100% cotton"], "a percent sign is a sign, not a pattern"
    assert shown(client, "?q=%00fox%00&sort=old") == ["A fox crosses a lake", "A FOXGLOVE opens"]
    assert "Nothing matches" in client.get("/?q=badger").content.decode()


def test_a_model_and_a_kind_narrow_the_library(alice: User) -> None:
    ask(alice, prompt="plain")
    ask(alice, prompt="dear", model="kling-v2-5-turbo-pro")
    ask(alice, prompt="pictured", images=[picture().read()])
    client = signed_in(alice)
    assert shown(client, "?model=kling-v2-5-turbo-pro") == ["dear"]
    assert shown(client, "?kind=image") == ["pictured"]
    assert shown(client, "?kind=text") == ["dear", "plain"]
    assert shown(client, "?kind=text&q=dea") == ["dear"]


def test_a_search_goes_on_where_the_last_one_ended(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "WINDOW", 3)
    for prompt in ("fox 1", "owl 2", "owl 3", "owl 4", "owl 5", "owl 6", "fox 7"):
        ask(alice, prompt=prompt)
    client = signed_in(alice)
    looked = []
    address = "/?q=fox"
    for _ in range(3):
        page = client.get(address, headers={"hx-request": "true"}).content.decode()
        looked.append(re.findall(r'class="shot-link"[^>]*>([^<]*)</a>', page))
        older = re.search(r'href="([^"]+)"[^>]*>Search older videos', page)
        address = older[1].replace("&amp;", "&") if older else ""
    assert (looked, address) == ([["fox 7"], [], ["fox 1"]], ""), "every row is looked at, and none twice"


def test_what_was_scrolled_to_is_there_again(alice: User) -> None:
    made = [ask(alice, prompt=f"shot {number}") for number in range(40)]
    client = signed_in(alice)
    assert len(shown(client)) == 30
    assert shown(client, f"?until={made[2].pk}") == [f"shot {n}" for n in range(39, 1, -1)]
    assert len(shown(client, "?until=nonsense")) == 30


def test_the_database_is_stopped_in_time() -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    begun = time.monotonic()
    with pytest.raises(TookTooLong), at_most(0.2), connection.cursor() as cursor:
        cursor.execute(numbers)
    assert time.monotonic() - begun < 10
    assert not Generation.objects.exists(), "and goes on answering"


def test_a_search_that_takes_too_long_says_so(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(alice)
    monkeypatch.setattr(searching, "PATIENCE", 0.001)
    # A search through much: every row is joined with many numbers by its own text.
    monkeypatch.setattr(library, "_matching", lambda rows, wish, user: rows.extra(where=[ENDLESS]))
    page = signed_in(alice).get("/?q=x")
    assert page.status_code == 200
    assert "This search took too long" in page.content.decode()


ENDLESS = (
    "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000000) "
    "SELECT count(*) FROM n) > 0"
)


def test_a_favourite_is_one_persons_own(alice: User, boss: User) -> None:
    generation = ask(alice, prompt="kept")
    ask(alice, prompt="other")
    client = signed_in(alice)
    for _ in range(2):
        answer = client.post(
            f"/g/{generation.pk}/favourite", {"on": "1"}, headers={"accept": "application/json"}
        )
        assert answer.status_code == 204
    assert shown(client, "?liked=1") == ["kept"]
    assert shown(signed_in(boss), "?liked=1") == []
    assert client.post(f"/g/{generation.pk}/favourite", {"on": "0"})["Location"] == "/"
    assert not Favourite.objects.exists()


def test_videos_move_between_collections(alice: User) -> None:
    one, two, three = (ask(alice, prompt=f"shot {number}") for number in (1, 2, 3))
    client = signed_in(alice)
    assert "2 videos are in “Teaser”" in do(client, "collect", one, two, name=" Teaser ")
    teaser = Collection.objects.get(name="Teaser")
    assert shown(client, f"?collection={teaser.pk}") == ["shot 2", "shot 1"]
    assert "1 video is in “50% off”" in do(client, "collect", one, name="50% off", **{"from": str(teaser.pk)})
    assert shown(client, f"?collection={teaser.pk}") == ["shot 2"]
    do(client, "collect", three, into=str(teaser.pk))
    do(client, "uncollect", two, **{"from": str(teaser.pk)})
    assert shown(client, f"?collection={teaser.pk}") == ["shot 3"]
    assert "a collection of this name already" in do(client, "collect", one, name="Teaser")
    client.post(f"/collections/{teaser.pk}/rename", {"name": "Trailer"})
    assert "Trailer" in client.get(f"/?collection={teaser.pk}").content.decode()
    client.post(f"/collections/{teaser.pk}/remove")
    assert client.get(f"/?collection={teaser.pk}").status_code == 404
    assert len(shown(client)) == 3, "the pile goes, its videos stay"


def test_videos_are_tagged_found_by_it_and_untagged(alice: User, boss: User) -> None:
    one, two = ask(alice, prompt="one"), ask(alice, prompt="two")
    client = signed_in(alice)
    assert "2 videos are tagged “night, rain”." in do(client, "tag", one, two, tags="night, rain,")
    assert shown(client, "?tag=rain") == ["two", "one"]
    do(client, "untag", two, from_tag="rain")
    assert shown(client, "?tag=rain") == ["one"]
    assert shown(client, "?tag=night&q=two") == ["two"]
    many_tags = ",".join(f"t{number}" for number in range(19))
    assert "up to 20 tags" in do(client, "tag", one, tags=many_tags)
    assert set(one.tags.values_list("name", flat=True)) == {"night", "rain"}, "all or nothing"
    assert "Name a tag" in do(client, "tag", one, tags=" , ")
    assert "Name a tag" in do(signed_in(boss), "tag", one, tags="mine")


def test_a_strangers_collections_and_videos_are_not_there(alice: User, bob: User) -> None:
    hers = ask(alice, prompt="hers")
    pile = services.make_collection(user=alice, name="Secret")
    services.collect([hers], into=pile)
    client = signed_in(bob)
    assert client.get(f"/?collection={pile.pk}").status_code == 404
    for path in ("rename", "remove"):
        assert client.post(f"/collections/{pile.pk}/{path}", {"name": "Mine"}).status_code == 404
    mine = ask(bob)
    assert client.post("/many", {"verb": "collect", "ids": [mine.pk], "into": pile.pk}).status_code == 404
    assert "Nothing was chosen" in do(client, "delete", hers)
    assert (
        "None of the chosen videos is ready"
        in client.post("/many/download", {"ids": [hers.pk]}, follow=True).content.decode()
    )
    assert client.post(f"/g/{hers.pk}/favourite").status_code == 404
    assert list(pile.generations.all()) == [hers]


def test_many_are_deleted_and_brought_back(alice: User) -> None:
    busy, over, waiting = submitted(alice), ask(alice), ask(alice)
    cancel_all(over)
    client = signed_in(alice)
    page = do(client, "delete", over, waiting, busy)
    assert "2 videos deleted. They can be brought back for 7 days." in page
    assert "1 video was kept. It is still in the making." in page
    assert Generation.objects.for_user(alice).count() == 1
    assert "videos deleted" not in client.get("/").content.decode(), "the offer is made once"
    back = client.post("/many/undelete", {"ids": [over.pk, waiting.pk]}, follow=True)
    assert "2 videos are back." in back.content.decode()
    assert Generation.objects.for_user(alice).count() == 3


def test_an_admin_deletes_nothing_of_others_in_passing(alice: User, boss: User) -> None:
    generation = ask(alice)
    cancel_all(generation)
    page = do(signed_in(boss), "delete", generation)
    assert "1 video was kept. Only your own videos can be deleted here." in page


def test_it_goes_back_to_where_it_came_from_and_never_elsewhere(alice: User) -> None:
    generation = ask(alice)
    client = signed_in(alice)
    sent = {"verb": "like", "ids": [str(generation.pk)]}
    assert client.post("/many", {**sent, "next": "/?q=fox"})["Location"] == "/?q=fox"
    for elsewhere in ("//evil.example", "https://evil.example/", "javascript:1", "/\\evil.example"):
        assert client.post("/many", {**sent, "next": elsewhere})["Location"] == "/"
    assert client.post("/many", {**sent, "verb": "nonsense"}).status_code == 404
    assert client.get("/many").status_code == 405


def test_many_come_as_one_zip(alice: User, sandbox: Any, work: Any) -> None:
    films = [ask(alice, prompt=prompt) for prompt in ("A fox.", "A fox.", "一只小猫")]
    work()
    waiting = ask(alice)
    answer = signed_in(alice).post("/many/download", {"ids": [row.pk for row in (*films, waiting)]})
    data = body(answer)
    assert (answer["Content-Type"], int(answer["Content-Length"])) == ("application/zip", len(data))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert len(set(archive.namelist())) == 3, "no name covers another"
        for film in films:
            film.refresh_from_db()
            (name,) = (name for name in archive.namelist() if str(film.pk)[:8] in name)
            with film.video.file.open() as file:
                assert archive.read(name) == file.read()


def test_the_view_is_remembered(alice: User) -> None:
    ask(alice)
    client = signed_in(alice)
    assert 'class="sheet"' in client.get("/?view=sideways").content.decode()
    assert "as-list" in client.get("/?view=list").content.decode()
    assert "as-list" in client.get("/").content.decode()


def test_an_idea_runs_in_one_click(alice: User) -> None:
    client = signed_in(alice)
    form = re.search(r'<form class="idea-acts".*?</form>', client.get("/").content.decode(), re.S)
    assert form
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]+)"', form[0]))
    fields.pop("csrfmiddlewaretoken")
    client.post("/new", fields)
    made = Generation.objects.get()
    assert (made.price, made.size, made.prompt[:10]) == (15, "16:9", "Last light")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (" ", "words", "Give it a name"),
        ("x" * 61, "words", "at most 60"),
        ("Look", " \n", "no words to keep"),
        ("Look", "x" * 1001, "at most 1,000"),
        ("Lo\x00ok", "words", "cannot be kept"),
    ],
)
def test_a_preset_needs_a_name_and_words(alice: User, name: str, text: str, said: str) -> None:
    with pytest.raises(PlatformError, match=said):
        services.save_preset(user=alice, name=name, text=text)
    assert not Preset.objects.exists()
