"""The bytes of a video: for a key, and for a signed link that lives a day."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import time_machine

from accounts.models import User
from accounts.services import set_active
from generations import services
from generations.models import Generation
from tests.api import FILM, GENERATIONS, Api, error, finished
from tests.makers import ask

pytestmark = pytest.mark.django_db

DAY = 24 * 3600


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def path_of(generation: Generation) -> str:
    return f"{GENERATIONS}/{generation.pk}/content"


def link(key: str, generation: Generation) -> str:
    """The path and query of a fresh link."""
    url = Api(key).get(f"{GENERATIONS}/{generation.pk}").json()["url"]
    return url.removeprefix("http://127.0.0.1:8000")


# --- the bytes --------------------------------------------------------------------


def test_a_key_fetches_the_whole_file(alice: User, alice_key: str) -> None:
    generation = finished(alice)
    answer = Api(alice_key).get(path_of(generation))
    assert (answer.status_code, body(answer)) == (200, FILM)
    assert answer["Content-Type"] == "video/mp4"
    assert answer["Content-Length"] == str(len(FILM))
    assert answer["Accept-Ranges"] == "bytes"
    assert answer["ETag"] == f'"{"a" * 64}"'
    assert answer["Content-Disposition"] == f'inline; filename="{generation.pk}.mp4"'
    assert "private" in answer["Cache-Control"]


@pytest.mark.parametrize("by_link", [True, False])
def test_a_range_is_206(alice: User, alice_key: str, by_link: bool) -> None:
    generation = finished(alice)
    api, path = (Api(), link(alice_key, generation)) if by_link else (Api(alice_key), path_of(generation))
    answer = api.get(path, headers={"range": "bytes=100-199"})
    assert (answer.status_code, body(answer)) == (206, FILM[100:200])
    assert answer["Content-Range"] == f"bytes 100-199/{len(FILM)}"
    assert body(api.get(path, headers={"range": "bytes=-10"})) == FILM[-10:]
    assert api.get(path, headers={"range": f"bytes={len(FILM)}-"}).status_code == 416


@pytest.mark.parametrize("by_link", [True, False])
def test_head_tells_the_length_and_sends_nothing(alice: User, alice_key: str, by_link: bool) -> None:
    generation = finished(alice)
    api, path = (Api(), link(alice_key, generation)) if by_link else (Api(alice_key), path_of(generation))
    answer = api.send("HEAD", path)
    assert (answer.status_code, answer["Content-Length"], body(answer)) == (200, str(len(FILM)), b"")


def test_what_one_has_is_not_sent_again(alice: User, alice_key: str) -> None:
    answer = Api(alice_key).get(path_of(finished(alice)), headers={"if-none-match": f'"{"a" * 64}"'})
    assert (answer.status_code, body(answer)) == (304, b"")


def test_a_video_in_the_making_is_409(alice: User, alice_key: str) -> None:
    answer = Api(alice_key).get(path_of(ask(alice)))
    assert (answer.status_code, error(answer)["code"]) == (409, "wrong_state")
    assert "still in the making" in error(answer)["message"]


def test_a_video_that_never_came_is_409(alice: User, alice_key: str) -> None:
    answer = Api(alice_key).get(path_of(services.cancel(ask(alice), actor=alice)))
    assert answer.status_code == 409
    assert "no video" in error(answer)["message"]


def test_a_lost_file_is_404_and_no_bug(alice: User, alice_key: str) -> None:
    generation = finished(alice)
    generation.video.file.storage.delete(generation.video.file.name)
    assert Api(alice_key).get(path_of(generation)).status_code == 404


# --- links ------------------------------------------------------------------------


def test_a_link_is_for_this_platform_lasts_a_day_and_ends_with_its_signature(
    alice: User, alice_key: str, settings: Any
) -> None:
    settings.PUBLIC_URL = "https://kling.example.com"
    generation = finished(alice)
    url = Api(alice_key).get(f"{GENERATIONS}/{generation.pk}").json()["url"]
    assert url.startswith(f"https://kling.example.com{path_of(generation)}?")
    query = parse_qsl(urlsplit(url).query)
    assert [name for name, _value in query] == ["expires", "sig"]
    assert abs(int(query[0][1]) - time.time() - DAY) < 60
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", query[1][1])


def test_a_link_needs_no_key(alice: User, alice_key: str) -> None:
    assert body(Api().get(link(alice_key, finished(alice)))) == FILM


def test_a_link_may_be_played_on_any_page_and_a_keys_answer_may_not(alice: User, alice_key: str) -> None:
    generation = finished(alice)
    by_link, by_key = Api().get(link(alice_key, generation)), Api(alice_key).get(path_of(generation))
    assert by_link["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert by_key["Cross-Origin-Resource-Policy"] == "same-origin"


def test_a_link_is_fresh_on_every_read_and_the_old_one_lives_on(alice: User, alice_key: str) -> None:
    generation = finished(alice)
    with time_machine.travel(time.time(), tick=False) as clock:
        first = link(alice_key, generation)
        clock.shift(3600)
        assert link(alice_key, generation) != first
        assert Api().get(first).status_code == 200


def test_a_link_dies_after_a_day(alice: User, alice_key: str) -> None:
    generation = finished(alice)
    with time_machine.travel(time.time(), tick=False) as clock:
        old = link(alice_key, generation)
        clock.shift(DAY - 1)
        assert Api().get(old).status_code == 200
        clock.shift(2)
        answer = Api().get(old)
        assert (answer.status_code, error(answer)["code"]) == (403, "link_expired")


def test_a_link_dies_with_the_video_and_comes_back_with_it(alice: User, alice_key: str) -> None:
    generation = finished(alice)
    url = link(alice_key, generation)
    services.delete(generation, actor=alice)
    assert Api().get(url).status_code == 404
    services.undelete(generation.pk, user=alice)
    assert Api().get(url).status_code == 200


def test_a_link_dies_with_its_owners_account(alice: User, alice_key: str) -> None:
    url = link(alice_key, finished(alice))
    set_active(alice, False, actor=None)
    answer = Api().get(url)
    assert (answer.status_code, error(answer)["code"]) == (403, "suspended")


def test_a_link_dies_with_the_secret_key(alice: User, alice_key: str, settings: Any) -> None:
    url = link(alice_key, finished(alice))
    settings.SECRET_KEY = "another"
    assert Api().get(url).status_code == 403


def test_a_link_opens_one_video_only(alice: User, alice_key: str) -> None:
    one, other = finished(alice), finished(alice)
    query = link(alice_key, one).partition("?")[2]
    answer = Api().get(f"{path_of(other)}?{query}")
    assert (answer.status_code, error(answer)["code"]) == (403, "invalid_link")


def changed(url: str) -> dict[str, str]:
    path, _mark, query = url.partition("?")
    expires, sig = (part.partition("=")[2] for part in query.split("&"))
    later = str(int(expires) + 1)
    return {
        "later": f"{path}?expires={later}&sig={sig}",
        "much later": f"{path}?expires=99999999999&sig={sig}",
        "no end": f"{path}?sig={sig}",
        "empty end": f"{path}?expires=&sig={sig}",
        "another end": f"{path}?expires={expires}&sig={sig}&expires={later}",
        "a sign": f"{path}?expires=+{expires}&sig={sig}",
        "a zero": f"{path}?expires=0{expires}&sig={sig}",
        "other digits": f"{path}?expires={expires.translate({48 + n: 0x660 + n for n in range(10)})}&sig={sig}",
        "empty": f"{path}?expires={expires}&sig=",
        "shorter": f"{path}?expires={expires}&sig={sig[:-1]}",
        "longer": f"{path}?expires={expires}&sig={sig}A",
        "padded": f"{path}?expires={expires}&sig={sig}=",
        "one letter": f"{path}?expires={expires}&sig={'A' if sig[0] != 'A' else 'B'}{sig[1:]}",
        "not ascii": f"{path}?expires={expires}&sig=%E7%AD%BE",
        "not text": f"{path}?expires={expires}&sig=%ff%00",
        "twice": f"{path}?expires={expires}&sig={sig}&sig=x",
    }


@pytest.mark.parametrize("change", changed("/?expires=1&sig=x"))
def test_a_changed_link_opens_nothing(alice: User, alice_key: str, change: str) -> None:
    answer = Api().get(changed(link(alice_key, finished(alice)))[change])
    assert (answer.status_code, error(answer)["code"]) == (403, "invalid_link")


def test_a_bad_link_comes_through_with_a_good_key(alice: User, alice_key: str) -> None:
    """Clients that always send their key keep working with yesterday's link."""
    generation = finished(alice)
    url = f"{path_of(generation)}?expires=1700000000&sig=x"
    assert Api(alice_key).get(url).status_code == 200
    assert Api("nonsense").get(url).status_code == 401


def test_a_good_link_works_whatever_key_is_sent_along(alice: User, alice_key: str, bob_key: str) -> None:
    url = link(alice_key, finished(alice))
    assert Api(bob_key).get(url).status_code == 200


def test_a_link_opens_nothing_but_the_bytes(alice: User, alice_key: str) -> None:
    generation = finished(alice)
    query = link(alice_key, generation).partition("?")[2]
    assert Api().get(f"{GENERATIONS}/{generation.pk}?{query}").status_code == 401
    assert Api().post(f"{path_of(generation)}?{query}").status_code == 405
