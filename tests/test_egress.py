"""Where the platform goes when strangers name the address: only to the public internet, and never for long."""

from __future__ import annotations

import hashlib
import io
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import trustme

from kling_platform import egress
from kling_platform.errors import InvalidValue
from tests.wire import Answer, Wire, drip, hang, reply, say, wire

FLIPS = 1000
Reach = Callable[..., egress.Fetched]

# --- what is not public --------------------------------------------------------

INSIDE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.9", "192.0.0.170", "192.0.2.1",
    "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.1.1", "192.175.48.1", "198.18.0.1", "198.19.255.255",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::ffff:0:7f00:1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "100:0:0:1::1", "2001::1", "2001:0:4136:e378::1",
    "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "2620:4f:8000::1",
    "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%lo", "fec0::1", "ff02::1",
    "ff0e::1",
]  # fmt: skip
OUTSIDE = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "172.32.0.1", "223.255.255.255", "2606:4700::1111", "2a00:1450::1",
           "::ffff:8.8.8.8"]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_an_inner_address_is_not_public(address: str) -> None:
    assert not egress.is_public(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_outer_address_is_public(address: str) -> None:
    assert egress.is_public(address)


# --- a witness that nothing gets past -------------------------------------------


class Witness:
    """Sees every socket.connect of the process before the kernel does, and stops those to unknown ports."""

    def __init__(self) -> None:
        self.active = False
        self.open_ports: set[int] = set()
        self.seen: list[tuple[str, int]] = []
        sys.addaudithook(self)  # stays for the life of the process

    def __call__(self, event: str, args: tuple[object, ...]) -> None:
        if event != "socket.connect" or not self.active or not isinstance(args[1], tuple):
            return
        host, port = args[1][:2]
        self.seen.append((host, port))
        if port not in self.open_ports:
            raise ConnectionRefusedError("stopped by the witness")


WITNESS = Witness()


@pytest.fixture(autouse=True)
def witness() -> Iterator[Witness]:
    WITNESS.active, WITNESS.open_ports, WITNESS.seen = True, set(), []
    yield WITNESS
    WITNESS.active = False


class Names:
    """A name server in place of the system's: each name has its answers, taken in turn."""

    def __init__(self) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []

    def __call__(self, host: object, port: object, *args: object, **kwargs: object) -> list[object]:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name not in self.answers:
            return _system(host, port, *args, **kwargs)
        turn = self.asked.count(name)
        self.asked.append(name)
        answers = self.answers[name]
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port),
            )
            for address in answers[turn % len(answers)]
        ]


_system = socket.getaddrinfo


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names)
    return names


@pytest.fixture
def reach(settings, witness: Witness) -> Iterator[Callable[[dict[str, Answer]], Wire]]:
    """Start a server that the operator vouches for."""
    servers = []

    def start(answers: dict[str, Answer], tls: ssl.SSLContext | None = None, name: str = "127.0.0.1") -> Wire:
        server = Wire(answers, tls)
        servers.append(server)
        settings.EGRESS_ALLOW = settings.EGRESS_ALLOW | {f"{name}:{server.port}"}
        witness.open_ports.add(server.port)
        return server

    settings.EGRESS_ALLOW = frozenset()
    yield start
    for server in servers:
        server.close()


def fetch(url: str, *, seconds: float = 5, limit: int = 10_000_000, **options: object) -> bytes:
    sink = io.BytesIO()
    fetched = egress.fetch(url, sink=sink, max_bytes=limit, deadline_seconds=seconds, **options)
    assert fetched.bytes == len(sink.getvalue())
    assert fetched.sha256 == hashlib.sha256(sink.getvalue()).hexdigest()
    return sink.getvalue()


# --- hostile addresses -----------------------------------------------------------

FORMS = [
    # plain, and written so that a filter of texts would not see it
    "https://127.0.0.1/", "https://127.1/", "https://127.0.1/", "https://2130706433/", "https://0x7f000001/",
    "https://0x7f.0.0.1/", "https://0177.0.0.1/", "https://017700000001/", "https://0/", "https://0.0.0.0/",
    "https://%31%32%37.0.0.1/", "https://127.0.0.1./", "https://\uff11\uff12\uff17.0.0.1/", "https://127\u30020\u30020\u30021/",
    "https://\u2460\u2461\u2466.0.0.1/", "https://localhost/", "https://LOCALHOST./", "https://localhost:8000/",
    "https://169.254.169.254/latest/meta-data/", "https://2852039166/", "https://0xa9fea9fe/", "https://[::ffff:a9fe:a9fe]/",
    "https://[::]/", "https://[::1]/", "https://[0:0:0:0:0:0:0:1]/", "https://[::127.0.0.1]/", "https://[::ffff:127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/", "https://[fe80::1%25lo]/", "https://[fe80::1%lo]/",
    "https://[fd00:ec2::254]/", "https://10.1.2.3/", "https://192.168.0.1:443/", "https://100.100.100.200/",
    # two readings of one text
    "https://127.0.0.1\\@example.com/", "https://example.com\\@127.0.0.1/", "https://example.com@127.0.0.1/",
    "https://user:pw@example.com/", "https://example.com#@127.0.0.1/\\", "https://127.0.0.1#\\@example.com/",
    "https://127.0.0.1\t/", "https://127.0.0.1\n.example.com/", "https://127.0.0.1\0.example.com/", " https://127.0.0.1/",
    "https://127.0.0.1\u200b/", "https://127.0.0.1\u2028/", "https://example.com\r\nHost:127.0.0.1/", "https://[::1].example.com/",
    "https://[127.0.0.1]/", "https://127.0.0.1:0/", "https://127.0.0.1:99999/", "https://127.0.0.1:-1/", "https://127.0.0.1:8o/",
    # other doors
    "http://127.0.0.1/", "http://example.com/", "file:///etc/passwd", "file://127.0.0.1/etc/passwd", "ftp://127.0.0.1/",
    "gopher://127.0.0.1:6379/_INFO", "dict://127.0.0.1:11211/", "data:text/plain,x", "javascript:alert(1)",
    "unix:///run/docker.sock", "http+unix://%2Frun%2Fdocker.sock/", "//127.0.0.1/", "127.0.0.1", "https:127.0.0.1",
    "https:/127.0.0.1/", "https:///127.0.0.1/", "https://", "", "https://?@127.0.0.1/", "https://" + "a" * 64 + ".com/",
    "https://" + "a." * 1200 + "com/", "https://..../", "https://xn--/", "https://-/",
]  # fmt: skip


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


def test_only_the_named_port_of_a_host_is_allowed(reach: Reach, settings, witness: Witness) -> None:
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
def test_a_redirect_is_checked_like_the_first_address(target: str, reach: Reach, witness: Witness) -> None:
    with wire({"/": say(reply(b"secret"))}) as inner:
        witness.open_ports.add(
            inner.port
        )  # the witness would let it pass: only the session's own check stands
        server = reach({"/": say(reply(b"", "302 Found", location=target.format(port=inner.port)))})
        with pytest.raises((egress.ForbiddenAddress, egress.HttpStatus)):
            fetch(server.url())
        assert inner.requests == []
        assert {port for _host, port in witness.seen} == {server.port}


def test_two_redirects_are_followed_and_a_third_is_not(reach: Reach) -> None:
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
    reach: Reach, names: Names, authority: trustme.CA
) -> None:
    names.answers["media.example"] = [["127.0.0.1"]]
    server = reach({"/v": say(reply(b"film"))}, serving(authority, "media.example"), name="media.example")
    assert fetch(f"https://media.example:{server.port}/v?sig=%2F") == b"film"
    assert server.names == ["media.example"]
    head = server.requests[0].decode()
    assert head.startswith("GET /v?sig=%2F HTTP/1.1\r\n") and f"Host: media.example:{server.port}\r\n" in head
    assert names.asked == ["media.example"]


def test_a_certificate_for_another_name_is_refused(reach: Reach, names: Names, authority: trustme.CA) -> None:
    names.answers["media.example"] = [["127.0.0.1"]]
    server = reach(
        {"/": say(reply(b"film"))}, serving(authority, "other.example", "127.0.0.1"), name="media.example"
    )
    with pytest.raises(egress.Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(f"https://media.example:{server.port}/")
    assert server.requests == []


def test_a_certificate_of_an_unknown_authority_is_refused(
    reach: Reach, names: Names, authority: trustme.CA
) -> None:
    names.answers["media.example"] = [["127.0.0.1"]]
    server = reach({"/": say(reply(b"film"))}, serving(trustme.CA(), "media.example"), name="media.example")
    with pytest.raises(egress.Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(f"https://media.example:{server.port}/")
    assert server.requests == []


# --- size, time, type ---------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        say(reply(b"x" * 2000)),
        say(reply(b"x" * 2000, content_length="")),
        say(
            reply(b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n", content_length="", transfer_encoding="chunked")
        ),
        say(reply(b"", content_length="9" * 40)),
        drip(reply(b"", content_length=""), b"x" * 100, every=0.001),
    ],
    ids=["announced", "unannounced", "chunked", "absurd", "endless"],
)
def test_a_body_over_the_limit_is_refused(answer: Answer, reach: Reach) -> None:
    server = reach({"/": answer})
    sink = io.BytesIO()
    with pytest.raises(egress.TooLarge):
        egress.fetch(server.url(), sink=sink, max_bytes=1999, deadline_seconds=5)
    assert len(sink.getvalue()) <= 1999


def test_a_body_at_the_limit_is_whole(reach: Reach) -> None:
    chunked = reply(
        b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n", content_length="", transfer_encoding="chunked"
    )
    server = reach({"/": say(reply(b"x" * 2000)), "/chunked": say(chunked)})
    assert fetch(server.url(), limit=2000) == fetch(server.url("/chunked"), limit=2000) == b"x" * 2000


@pytest.mark.parametrize(
    "answer",
    [
        hang,
        drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        drip(reply(b"", content_length="1000000"), b"x"),
        drip(reply(b"", content_length=""), b"x"),
        drip(reply(b"", content_length="", transfer_encoding="chunked"), b"1\r\nx\r\n"),
        drip(reply(b"", content_length="", transfer_encoding="chunked"), b"1"),
    ],
    ids=["silent", "header", "continue", "body", "unannounced", "chunks", "chunk-size"],
)
def test_the_deadline_holds_however_slowly_bytes_come(answer: Answer, reach: Reach) -> None:
    server = reach({"/": answer})
    begin = time.monotonic()
    with pytest.raises((egress.TimedOut, egress.Broken)) as met:
        fetch(server.url(), seconds=0.6)
    assert time.monotonic() - begin < 5
    assert met.type is egress.TimedOut or "chunk" in str(met.value).lower() or "Length" in str(met.value)


def test_the_deadline_holds_during_the_handshake(names: Names, settings, witness: Witness) -> None:
    names.answers["mute.example"] = [["127.0.0.1"]]
    with socket.create_server(("127.0.0.1", 0)) as mute:  # accepts in the kernel, and never says a word
        port = mute.getsockname()[1]
        witness.open_ports.add(port)
        settings.EGRESS_ALLOW = frozenset({f"mute.example:{port}"})
        begin = time.monotonic()
        with pytest.raises(egress.TimedOut):
            fetch(f"https://mute.example:{port}/", seconds=0.6)
        assert time.monotonic() - begin < 5


def test_the_deadline_holds_for_a_mute_name_server(monkeypatch: pytest.MonkeyPatch, witness: Witness) -> None:
    gone = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: gone.wait(10) and [])
    begin = time.monotonic()
    with pytest.raises(egress.TimedOut, match="name server"):
        fetch("https://example.com/", seconds=0.4)
    gone.set()
    assert time.monotonic() - begin < 5 and witness.seen == []


def test_the_deadline_holds_over_redirects(reach: Reach) -> None:
    def slow(conn: socket.socket, request: bytes) -> None:
        time.sleep(0.4)
        conn.sendall(reply(b"", "302 Found", location="/"))

    begin = time.monotonic()
    with pytest.raises(egress.TimedOut):
        fetch(reach({"/": slow}).url(), seconds=0.6, max_redirects=9)
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    "data",
    [
        reply(b"x" * 500, content_length="1000"),
        reply(b"3e8\r\n" + b"x" * 500, content_length="", transfer_encoding="chunked"),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
    ],
    ids=["short", "short-chunk", "no-http", "nothing"],
)
def test_a_broken_reply_is_no_success(data: bytes, reach: Reach) -> None:
    with pytest.raises(egress.Broken):
        fetch(reach({"/": say(data)}).url())


@pytest.mark.parametrize(
    "status", ["204 No Content", "206 Partial Content", "304 Not Modified", "404 Not Found", "503 Busy"]
)
def test_any_status_but_200_is_said(status: str, reach: Reach) -> None:
    server = reach({"/": say(reply(b"page", status, retry_after="7"))})
    with pytest.raises(egress.HttpStatus) as met:
        fetch(server.url())
    assert (met.value.status, met.value.headers["Retry-After"]) == (int(status[:3]), "7")


def test_only_the_asked_types_are_read(reach: Reach) -> None:
    server = reach(
        {
            "/page": say(reply(b"<html>", content_type="text/html; charset=utf-8")),
            "/film": say(reply(b"film", content_type="Video/MP4")),
            "/bare": say(reply(b"film")),
        }
    )
    with pytest.raises(egress.WrongType, match="text/html"):
        fetch(server.url("/page"), content_types=("video/",))
    for path in ("/film", "/bare"):
        assert fetch(server.url(path), content_types=("video/",)) == b"film"


def test_nothing_is_unpacked_on_the_way(reach: Reach) -> None:
    packed = b"\x1f\x8b\x08\x00bomb"
    server = reach({"/": say(reply(packed, content_encoding="gzip"))})
    assert fetch(server.url()) == packed
    assert b"Accept-Encoding: identity\r\n" in server.requests[0]


def test_a_sink_that_fails_is_not_blamed_on_the_network(reach: Reach) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        egress.fetch(reach({"/": say(reply(b"x"))}).url(), sink=Full(), max_bytes=10, deadline_seconds=5)


def test_the_environment_names_no_proxy_and_no_password(
    reach: Reach, monkeypatch: pytest.MonkeyPatch, tmp_path, witness: Witness
) -> None:
    server = reach({"/": say(reply(b"direct"))})
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login root password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetch(server.url()) == b"direct"
    assert witness.seen == [("127.0.0.1", server.port)] and b"Authorization" not in server.requests[0]


# --- a POST, as webhooks need it -----------------------------------------------------


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_a_post_is_sent_once_and_follows_nothing(status: str, reach: Reach) -> None:
    server = reach({"/": say(reply(b"", status, location="/other")), "/other": say(reply(b"caught"))})
    with egress.exchange(
        "POST", server.url(), deadline=time.monotonic() + 5, headers={"webhook-id": "m1"}, body=b'{"a":1}'
    ) as answer:
        assert answer.status == int(status[:3])
    assert len(server.requests) == 1
    assert server.requests[0].endswith(b'\r\n\r\n{"a":1}') and b"webhook-id: m1\r\n" in server.requests[0]


def test_the_deadline_holds_while_a_large_body_is_sent(reach: Reach) -> None:
    server = reach({"/": hang})
    begin = time.monotonic()
    with (
        pytest.raises(egress.TimedOut),
        egress.exchange("POST", server.url(), deadline=time.monotonic() + 0.6, body=b"x" * 30_000_000),
    ):
        pass
    assert time.monotonic() - begin < 5


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
