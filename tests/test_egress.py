"""Where the platform goes when strangers name the address: only to the public internet, and never for long."""

from __future__ import annotations

import io
import socket
import ssl
from collections.abc import Iterator

import pytest
import trustme

from kling_platform import egress
from kling_platform.errors import InvalidValue
from tests.hostile import FORMS, INSIDE, WITNESS, Names, Witness
from tests.wire import Start, Wire, reply, say, vouched, wire

FLIPS = 1000

# --- what is not public --------------------------------------------------------

OUTSIDE = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "172.32.0.1", "223.255.255.255", "2606:4700::1111", "2a00:1450::1",
           "::ffff:8.8.8.8"]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_an_inner_address_is_not_public(address: str) -> None:
    assert not egress.is_public(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_outer_address_is_public(address: str) -> None:
    assert egress.is_public(address)


# --- a witness that nothing gets past -------------------------------------------


@pytest.fixture(autouse=True)
def witness() -> Iterator[Witness]:
    WITNESS.active, WITNESS.open_ports, WITNESS.seen = True, set(), []
    yield WITNESS
    WITNESS.active = False


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names)
    return names


@pytest.fixture
def reach(settings, witness: Witness) -> Iterator[Start]:
    """Start a server that the operator vouches for."""
    with vouched(settings) as start:

        def known(*args, **kwargs) -> Wire:
            server = start(*args, **kwargs)
            witness.open_ports.add(server.port)
            return server

        yield known


def fetch(url: str, **options: int) -> bytes:
    sink = io.BytesIO()
    egress.fetch(url, sink=sink, max_bytes=1000, deadline_seconds=5, **options)
    return sink.getvalue()


# --- hostile addresses -----------------------------------------------------------


@pytest.mark.parametrize("url", FORMS, ids=ascii)
def test_a_hostile_form_reaches_nothing(url: str, witness: Witness, settings) -> None:
    settings.EGRESS_ALLOW = frozenset()
    with pytest.raises((egress.ForbiddenAddress, egress.Unreachable)):
        fetch(url)
    assert witness.seen == []


def test_a_name_with_any_inner_address_reaches_nothing(names: Names, witness: Witness) -> None:
    for inner in INSIDE:
        for answer in ([inner], ["8.8.8.8", inner], [inner, "8.8.8.8"]):
            names.answers["evil.example"] = [answer]
            with pytest.raises(egress.ForbiddenAddress):
                fetch("https://evil.example/")
    assert witness.seen == []


def test_a_name_that_changes_its_answer_reaches_nothing_inside(names: Names, witness: Witness) -> None:
    names.answers["flip.example"] = [["8.8.8.8"], ["127.0.0.1"]]
    refused = 0
    for number in range(FLIPS):
        with pytest.raises((egress.ForbiddenAddress, egress.Unreachable)) as met:
            fetch("https://flip.example/")
        refused += met.type is egress.ForbiddenAddress
        assert len(names.asked) == number + 1  # asked once: no second answer can differ
    assert refused == FLIPS // 2
    assert witness.seen == [("8.8.8.8", 443)] * (FLIPS // 2)


def test_every_public_address_is_tried_and_few_enough(names: Names, witness: Witness) -> None:
    names.answers["many.example"] = [[f"8.8.8.{last}" for last in range(1, 100)]]
    with pytest.raises(egress.Unreachable):
        fetch("https://many.example/")
    assert witness.seen == [(f"8.8.8.{last}", 443) for last in range(1, 5)]


def test_only_the_named_port_of_a_host_is_allowed(reach: Start, settings, witness: Witness) -> None:
    server, other = reach({"/": say(reply(b"hello"))}), reach({"/": say(reply(b"secret"))})
    settings.EGRESS_ALLOW = frozenset({server.authority})
    assert fetch(server.url()) == b"hello"
    with pytest.raises(egress.ForbiddenAddress, match="EGRESS_ALLOW"):
        fetch(other.url())
    with pytest.raises(egress.ForbiddenAddress):
        fetch(f"https://{other.authority}/")
    assert other.requests == [] and len(witness.seen) == 1


# --- redirects ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1:{port}/", "https://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "//localhost:{port}/", "file:///etc/passwd",
     "http://example.com/", "https://10.0.0.1/", "https://u:p@8.8.8.8/", "http://[bad", "\\\\127.0.0.1:{port}/"],
)  # fmt: skip
def test_a_redirect_is_checked_like_the_first_address(target: str, reach: Start, witness: Witness) -> None:
    with wire({"/": say(reply(b"secret"))}) as inner:
        witness.open_ports.add(
            inner.port
        )  # the witness would let it pass: only the session's own check stands
        server = reach({"/": say(reply(b"", "302 Found", location=target.format(port=inner.port)))})
        with pytest.raises((egress.ForbiddenAddress, egress.HttpStatus)):
            fetch(server.url())
        assert inner.requests == []
        assert {port for _host, port in witness.seen} == {server.port}


def test_two_redirects_are_followed_and_a_third_is_not(reach: Start) -> None:
    answers = {f"/{n}": say(reply(b"", "302 Found", location=f"{n - 1}?x=1")) for n in (1, 2, 3)}
    server = reach({**answers, "/0": say(reply(b"here"))})
    assert fetch(server.url("/2")) == b"here"
    with pytest.raises(egress.TooManyRedirects):
        fetch(server.url("/3"))
    with pytest.raises(egress.TooManyRedirects):
        fetch(server.url("/1"), max_redirects=0)


# --- names and certificates --------------------------------------------------------


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[trustme.CA]:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    egress._tls.cache_clear()
    yield ca
    egress._tls.cache_clear()


def serving(ca: trustme.CA, *hosts: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*hosts).configure_cert(context)
    return context


def test_the_checked_address_is_asked_under_its_own_name(
    reach: Start, names: Names, authority: trustme.CA
) -> None:
    names.answers["media.example"] = [["127.0.0.1"]]
    server = reach({"/v": say(reply(b"film"))}, serving(authority, "media.example"), name="media.example")
    assert fetch(f"https://media.example:{server.port}/v?sig=%2F") == b"film"
    assert server.names == ["media.example"]
    head = server.requests[0].decode()
    assert head.startswith("GET /v?sig=%2F HTTP/1.1\r\n") and f"Host: media.example:{server.port}\r\n" in head
    assert names.asked == ["media.example"]


def test_a_certificate_for_another_name_is_refused(reach: Start, names: Names, authority: trustme.CA) -> None:
    names.answers["media.example"] = [["127.0.0.1"]]
    server = reach(
        {"/": say(reply(b"film"))}, serving(authority, "other.example", "127.0.0.1"), name="media.example"
    )
    with pytest.raises(egress.Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(f"https://media.example:{server.port}/")
    assert server.requests == []


def test_a_certificate_of_an_unknown_authority_is_refused(
    reach: Start, names: Names, authority: trustme.CA
) -> None:
    names.answers["media.example"] = [["127.0.0.1"]]
    server = reach({"/": say(reply(b"film"))}, serving(trustme.CA(), "media.example"), name="media.example")
    with pytest.raises(egress.Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(f"https://media.example:{server.port}/")
    assert server.requests == []


# --- what doors check ----------------------------------------------------------------


def test_a_door_learns_what_is_wrong_with_an_address() -> None:
    assert egress.check_url_form("https://example.com/hook?x=1").host == "example.com"
    for url, says in [
        ("http://example.com/", "not encrypted"), ("https://a:b@example.com/", "user name"), ("nonsense", "complete"),
        ("https://e.com/a b", "space"), ("https://e.com/a\\b", "backslash"), ("https://e.com/" + "a" * 2048, "2,048"),
    ]:  # fmt: skip
        with pytest.raises(InvalidValue, match=says) as refused:
            egress.check_url_form(url, param="endpoint")
        assert refused.value.param == "endpoint"
