"""Links for people outside: who makes, opens and revokes them, and what ends them. All that is dead looks the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from accounts import rates
from accounts import services as people
from accounts.models import AuditEntry, Team, User
from generations import services
from generations.models import Generation, ShareLink
from kling_platform.errors import Forbidden, InvalidValue, WrongState
from tests.api import FILM, finished
from tests.conftest import person
from tests.makers import ask
from tests.portal import signed_in
from tests.test_manage_access import addresses as all_addresses

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


@pytest.fixture
def film(alice: User, boss: User) -> Team:
    team = people.make_team("Film", actor=boss)
    people.add_member(team, alice, actor=boss)
    return team


@pytest.fixture
def link(alice: User, film: Team) -> ShareLink:
    video = finished(alice, team="Film", prompt="a secret recipe")
    return services.make_link(video, actor=alice, title="Cut 3")


def path_of(link: ShareLink) -> str:
    return f"/s/{link.token()}"


def test_it_shows_the_video_and_nobody(link: ShareLink, alice: User, settings: Any) -> None:
    answer = Client().get(path_of(link))
    page = answer.content.decode()
    assert answer.status_code == 200 and "Cut 3" in page
    for secret in ("alice", "a secret recipe", str(link.generation_id), "Film", "kling-v2"):
        assert secret not in page
    assert "noindex" in answer["X-Robots-Tag"] and '<meta name="robots" content="noindex' in page
    assert not answer.cookies, "nobody is followed"
    assert b"Disallow: /" in Client().get("/robots.txt").content


def test_it_plays_from_anywhere_and_is_kept_only_where_that_is_allowed(link: ShareLink, alice: User) -> None:
    part = Client().get(f"{path_of(link)}/video", headers={"range": "bytes=100-199"})
    assert (part.status_code, b"".join(part), part["Cache-Control"]) == (
        206,
        FILM[100:200],
        "private, no-cache",
    )
    assert Client().get(f"{path_of(link)}/poster").status_code == 200
    assert Client().get(f"{path_of(link)}/video?download=1").status_code == 404
    assert "?download=1" not in Client().get(path_of(link)).content.decode()
    kept = services.make_link(link.generation, actor=alice, downloads=True, title="Cut 3")
    answer = Client().get(f"{path_of(kept)}/video?download=1")
    assert answer["Content-Disposition"] == 'attachment; filename="Cut 3.mp4"'


def test_its_owner_reads_it_again_and_sees_that_it_was_opened(link: ShareLink, alice: User) -> None:
    Client().get(path_of(link))
    Client().head(path_of(link))
    link.refresh_from_db()
    assert link.opened == 1 and link.last_seen_at is not None
    for page in (f"/g/{link.generation_id}", "/links"):
        text = signed_in(alice).get(page).content.decode()
        assert path_of(link) in text and "opened 1 time" in text


def test_nothing_in_the_database_opens_it(link: ShareLink, settings: Any) -> None:
    stored = ShareLink.objects.filter(pk=link.pk).values().get()
    assert len(link.token()) == 32
    for value in stored.values():
        assert Client().get(f"/s/{value}").status_code == 404
    old = path_of(link)
    settings.SECRET_KEY = "another"
    assert not link.is_readable
    assert Client().get(old).status_code == 200, "what was given out goes on"


def team_rule(**rules: bool) -> Callable[[ShareLink], None]:
    return lambda link: Team.objects.update(**rules) and None


def suspend(link: ShareLink) -> None:
    people.set_active(link.generation.user, False, actor=None)


def let_end(link: ShareLink) -> None:
    past = timezone.now() - timedelta(seconds=1)
    ShareLink.objects.update(created_at=past - timedelta(days=1), expires_at=past)


ENDS: dict[str, Callable[[ShareLink], Any]] = {
    "revoked": lambda link: services.revoke_link(link, actor=link.maker),
    "over": let_end,
    "its video deleted": lambda link: services.delete(link.generation, actor=link.maker),
    "its owner suspended": suspend,
    "its team does not share": team_rule(sharing=False),
    "its team makes no links": team_rule(share_links=False),
}


@pytest.mark.parametrize("why", ENDS)
def test_whatever_ended_it_strangers_see_the_same(link: ShareLink, why: str) -> None:
    before = link.opened
    ENDS[why](link)
    wrong = Client().get("/s/" + "A" * 32)
    for part in ("", "/video", "/poster", "/video?download=1"):
        dead = Client().get(path_of(link) + part)
        assert (dead.status_code, dead.content) == (404, wrong.content)
        assert {**dead.headers} == {**wrong.headers}
    link.refresh_from_db()
    assert link.opened == before


def test_the_platform_may_make_none(link: ShareLink, settings: Any) -> None:
    settings.SHARE_LINKS = False
    assert Client().get(path_of(link)).status_code == 404
    with pytest.raises(Forbidden, match="This platform"):
        services.make_link(finished(link.maker, team=None), actor=link.maker)


def test_what_comes_back_opens_again_but_for_what_was_revoked(link: ShareLink, alice: User) -> None:
    services.delete(link.generation, actor=alice)
    services.undelete(link.generation_id, user=alice)
    assert Client().get(path_of(link)).status_code == 200
    services.revoke_link(link, actor=alice)
    services.revoke_link(link, actor=alice)
    assert Client().get(path_of(link)).status_code == 404
    assert list(AuditEntry.objects.filter(action__startswith="link.").values_list("action", flat=True)) == [
        "link.revoke",
        "link.make",
    ]


def test_guessing_is_slowed_and_slows_nobody_else(link: ShareLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MINUTE", 10 * rates.MINUTE)  # on a slow machine too no miss is forgiven yet
    guesser = Client(REMOTE_ADDR="2001:db8::1")
    statuses = [guesser.get(f"/s/{number}").status_code for number in range(rates.MISSES_PER_MINUTE + 1)]
    assert statuses[:-1] == [404] * rates.MISSES_PER_MINUTE and statuses[-1] == 429
    refused = Client(REMOTE_ADDR="2001:db8::2").get(path_of(link))
    assert (refused.status_code, refused.has_header("Retry-After")) == (429, True), (
        "one network is one guesser"
    )
    assert Client(REMOTE_ADDR="2001:db8:1::1").get(path_of(link)).status_code == 200


@pytest.mark.parametrize(
    ("wish", "refusal"),
    [({"days": 8}, InvalidValue), ({"title": "x" * 121}, InvalidValue), ({"title": "\x00"}, InvalidValue)],
)
def test_a_wish_that_makes_no_sense_is_refused(
    link: ShareLink, alice: User, wish: dict[str, Any], refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        services.make_link(link.generation, actor=alice, **wish)


def test_only_what_is_ready_and_allowed_gets_a_link(link: ShareLink, alice: User, settings: Any) -> None:
    with pytest.raises(WrongState):
        services.make_link(ask(alice), actor=alice)
    Team.objects.update(share_links=False)
    fresh = Generation.objects.get(pk=link.generation_id)
    with pytest.raises(Forbidden, match="Film makes no links"):
        services.make_link(fresh, actor=alice)
    page = signed_in(alice).get(f"/g/{fresh.pk}").content.decode()
    assert "Make the link" not in page and "let none of them open" in page


# --- who may do what ----------------------------------------------------------

ROLES = ("nobody", "stranger", "owner", "teammate", "manager", "foreign", "finance", "admin")


class Line(NamedTuple):
    """One address with a method; ``answers`` are the statuses in the order of ROLES."""

    method: str
    path: str
    answers: str
    sent: dict[str, Any] = {}


OWNERS = "302 404 302 404 404 404 404 404"
ANYBODY = "200 200 200 200 200 200 200 200"
LINES = [
    Line("GET", "/s/{token}", ANYBODY),
    Line("GET", "/s/{token}/video", ANYBODY),
    Line("GET", "/s/{token}/poster", ANYBODY),
    Line("GET", "/links", "302 200 200 200 200 200 200 200"),
    Line("POST", "/links/{link}/revoke", OWNERS),
    Line("POST", "/g/{video}/links", OWNERS, {"days": 7}),
    Line("POST", "/g/{video}/share", OWNERS, {"team": "{team}"}),
    Line("POST", "/g/{video}/unshare", OWNERS),
]


@pytest.mark.parametrize("role", ROLES)
def test_every_door_is_open_to_whom_it_should_be(
    link: ShareLink, film: Team, alice: User, boss: User, role: str
) -> None:
    other = people.make_team("Other", actor=boss)
    made = {
        "stranger": person("stranger"),
        "owner": alice,
        "teammate": person("teammate"),
        "manager": person("manager", role="manager"),
        "foreign": person("foreign", role="manager"),
        "finance": person("finance", role="finance"),
        "admin": boss,
    }
    for name, team in (("teammate", film), ("manager", film), ("foreign", other)):
        people.add_member(team, made[name], actor=boss)
    ids = {"token": link.token(), "link": link.pk, "video": link.generation_id, "team": film.pk}
    client = signed_in(made[role]) if role in made else Client()
    got = {}
    for line in LINES:
        path, sent = line.path.format(**ids), {k: str(v).format(**ids) for k, v in line.sent.items()}
        before = AuditEntry.objects.count()
        answer = client.get(path) if line.method == "GET" else client.post(path, sent)
        got[line.path] = answer.status_code
        if role != "owner":
            assert AuditEntry.objects.count() == before
            assert link.token() not in answer.content.decode() if line.path == "/links" else True
        ShareLink.objects.update(revoked_at=None)
    assert got == {line.path: int(line.answers.split()[ROLES.index(role)]) for line in LINES}


def test_every_address_has_its_line() -> None:
    about_sharing = re.compile(r"/(s|links)(/|$)|/g/{}/(links|.*share)")
    ours = set(filter(about_sharing.match, all_addresses(get_resolver().url_patterns)))
    assert {re.sub(r"{\w+}", "{}", line.path) for line in LINES} == ours


def test_a_manager_sees_and_ends_the_links_to_the_teams_videos(
    link: ShareLink, film: Team, alice: User, boss: User
) -> None:
    manager = person("manager", role="manager")
    people.add_member(film, manager, actor=boss)
    own = services.make_link(finished(alice, team=None), actor=alice, title="Holiday")
    page = signed_in(manager).get("/manage/links").content.decode()
    assert "Cut 3" in page and "Holiday" not in page and link.token() not in page
    everything = signed_in(boss).get("/manage/links").content.decode()
    assert "Cut 3" in everything and "Holiday" in everything
    signed_in(manager).post(f"/manage/links/{link.pk}/revoke")
    assert Client().get(path_of(link)).status_code == 404
    assert signed_in(manager).post(f"/manage/links/{own.pk}/revoke").status_code == 404
    assert ShareLink.objects.filter(revoked_at=None).count() == 1
