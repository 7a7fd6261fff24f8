"""The one guarded HTTP session: the way to every address that a user or upstream names.

What such an address may do to us is decided in three places. `check_url_form` reads it once, by the
same parser that the connection uses. The name is then resolved once, every answer has to be public, and
the connection goes to the address that was checked, not to the name again (a second answer could differ:
DNS rebinding). Each redirect starts from the top.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
import unicodedata
from collections.abc import Container, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urljoin

from certifi import where as certificates
from django.conf import settings
from django.utils.translation import gettext_lazy as _
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationParseError, ReadTimeoutError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Url, parse_url

from kling_platform.errors import InvalidValue

MAX_URL_LENGTH = 2048
PORTS = {"http": 80, "https": 443}
REDIRECTS = frozenset({301, 302, 303, 307, 308})
CHUNK = 64 * 1024
# For one address to answer (TCP and TLS together), and for one read; the deadline of the whole stands above both.
CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0
MAX_ADDRESSES = 4
USER_AGENT = "kling-platform"

# IANA's special-purpose registries, written out: what `ipaddress` calls private differs between versions of
# Python and lets NAT64, 6to4, multicast and others through. IPv6 is public only inside 2000::/3.
PUBLIC = tuple(map(ipaddress.ip_network, ("0.0.0.0/0", "2000::/3")))
SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24"),
            *("192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
            *("224.0.0.0/4", "240.0.0.0/4"),
            *("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
        ),
    )
)


class EgressError(Exception):
    """The exchange did not come to a good end. Its kinds say what the caller may do."""


class ForbiddenAddress(EgressError):
    """The address, or one that it redirects to, is none that we may reach."""


class Unreachable(EgressError):
    """Nothing was sent: no such name, no connection, or no valid certificate. Trying later may help."""


class Broken(EgressError):
    """The connection broke, or the reply was no HTTP or shorter than announced. Trying later may help."""


class TimedOut(EgressError):
    """Not done at the deadline, however slowly bytes kept coming. Trying later may help."""


class TooLarge(EgressError):
    """The body is over the limit."""


class WrongType(EgressError):
    """The reply's Content-Type is none of those asked for."""


class TooManyRedirects(EgressError):
    """One redirect more than allowed."""


class HttpStatus(EgressError):
    """The server answered, and not with success."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.headers = headers


@dataclass(frozen=True)
class Fetched:
    """A finished download; ``sha256`` (hex) and ``bytes`` are of what was written to the sink."""

    status: int
    headers: Mapping[str, str]
    bytes: int
    sha256: str


def check_url_form(url: str, *, param: str = "url", schemes: Container[str] = ("https",)) -> Url:
    """Read an address from outside; nothing is looked up. Raises InvalidValue that says what is wrong.

    Stricter than a browser where parsers are known to disagree (``http://127.0.0.1\\@example.com/``).
    """
    if len(url) > MAX_URL_LENGTH:
        raise InvalidValue(_("This address is longer than 2,048 characters. Use a shorter one."), param=param)
    if any(char == "\\" or unicodedata.category(char)[0] in "CZ" for char in url):
        raise InvalidValue(
            _("This address contains a space, a backslash or an invisible character. Percent-encode it."),
            param=param,
        )
    try:
        where = parse_url(url)
    except LocationParseError:
        where = Url()
    if where.scheme not in PORTS or not where.host or where.port == 0:
        raise InvalidValue(
            _("This is not a complete web address such as https://example.com/file."), param=param
        )
    if where.scheme not in schemes:
        raise InvalidValue(
            _("This address is not encrypted. Use one that begins with https://."), param=param
        )
    if where.auth is not None:
        raise InvalidValue(_("This address contains a user name or password. Use one without."), param=param)
    return where


def check_target(url: str, *, param: str = "url") -> Url:
    """An address that we shall call later, by its form and, where it is a literal one, by where it leads.

    Nothing is looked up: a name is judged each time it is called. EGRESS_ALLOW vouches for http and for inner
    addresses. Raises InvalidValue.
    """
    where = check_url_form(url, param=param, schemes=("http", "https"))
    if _allowed(where):
        return where
    check_url_form(url, param=param)
    literal = _literal(where.host or "")
    if literal and not is_public(literal):
        raise InvalidValue(
            _("This address leads into a private network. Use one that the internet can reach."), param=param
        )
    return where


def _literal(host: str) -> str:
    """The IP address that a host is, however it is written (``127.1``, ``0x7f000001``, ``[::1]``), or ""."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(host.strip("[]").rstrip(".")))
    with contextlib.suppress(OSError):
        return socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))
    return ""


def is_public(address: str) -> bool:
    """Whether this IP address belongs to the public internet, and to nothing that leads back inside."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return any(ip in network for network in PUBLIC) and not any(ip in network for network in SPECIAL)


def fetch(
    url: str,
    *,
    sink: BinaryIO,
    max_bytes: int,
    deadline_seconds: float,
    max_redirects: int = 2,
    content_types: tuple[str, ...] = (),
) -> Fetched:
    """Download ``url`` into ``sink``; raises an EgressError, and OSError only if the sink does.

    ``deadline_seconds`` holds for everything, redirects and slow drips included. ``content_types`` are
    prefixes, empty for any; a reply that names no type passes. A body is held against its announced length;
    whether one without a length is whole, only its reader can tell. What stands in the sink after an error
    is the caller's to discard.
    """
    deadline = time.monotonic() + deadline_seconds
    for _hop in range(max_redirects + 1):
        with exchange("GET", url, deadline=deadline) as reply:
            if reply.status in REDIRECTS and "location" in reply.headers:
                url = _onward(url, reply.headers["location"])
                continue
            if reply.status != 200:
                raise HttpStatus(reply.status, reply.headers)
            named = reply.headers.get("content-type", "").lower()
            if content_types and named and not named.startswith(content_types):
                raise WrongType(f"Content-Type {named[:80]}")
            size, digest = _drain(reply, sink, max_bytes, deadline)
            return Fetched(reply.status, reply.headers, size, digest)
    raise TooManyRedirects(f"more than {max_redirects} redirects")


@contextlib.contextmanager
def exchange(
    method: str,
    url: str,
    *,
    deadline: float,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Iterator[BaseHTTPResponse]:
    """One request on a connection of its own, no redirect followed; yields the reply, its body still unread.

    ``deadline`` is on the monotonic clock; then the socket is shut down under whoever still waits, because
    a timeout of the socket starts anew with every byte. Redirects come back as what they are: a POST that
    follows one could reach somebody else.
    """
    where = _read(url)
    with contextlib.closing(_connect(where, deadline)) as connection:
        sock = connection.sock  # kept: the connection forgets it once the reply says "close"
        watch = threading.Timer(_left(deadline), _cut, [sock])
        watch.daemon = True
        watch.start()
        sent = {"Host": where.netloc or "", "User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        try:
            try:
                connection.request(
                    method,
                    where.request_uri,
                    body=body,
                    headers={**sent, **(headers or {})},
                    preload_content=False,
                    decode_content=False,
                )
                reply = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise _named(error, deadline) from error
            try:
                with contextlib.closing(reply):
                    yield reply
            except HTTPError as error:  # from reading the body
                raise _named(error, deadline) from error
        finally:
            watch.cancel()


def _drain(reply: BaseHTTPResponse, sink: BinaryIO, max_bytes: int, deadline: float) -> tuple[int, str]:
    """Copy the body, raw, into the sink; how many bytes, and their SHA-256."""
    announced = reply.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:18]) > max_bytes:
        raise TooLarge(f"{announced[:18]} bytes announced, {max_bytes} allowed")
    size, digest = 0, hashlib.sha256()
    while chunk := reply.read(CHUNK):
        size += len(chunk)
        if size > max_bytes:
            raise TooLarge(f"more than {max_bytes} bytes")
        digest.update(chunk)
        sink.write(chunk)
    _left(deadline)  # a body without a length that we cut ourselves ends like a whole one
    return size, digest.hexdigest()


def _onward(url: str, location: str) -> str:
    """Where a redirect leads; its form is checked when it is followed."""
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise ForbiddenAddress(f"a redirect to {location[:200]!r}") from error


def _read(url: str) -> Url:
    """The parts of an address whose form we accept; plain http only for the hosts of EGRESS_ALLOW."""
    try:
        where = check_url_form(url, schemes=("http", "https"))
    except InvalidValue as error:
        raise ForbiddenAddress(str(error)) from error
    if where.scheme != "https" and not _allowed(where):
        raise ForbiddenAddress(f"{where.netloc}: plain http; EGRESS_ALLOW does not name it")
    return where


def _allowed(where: Url) -> bool:
    """Whether the operator vouches for this host and port."""
    named = f"{where.host}:{where.port or PORTS[where.scheme or 'https']}"
    return named in {entry.lower() for entry in settings.EGRESS_ALLOW}


def _connect(where: Url, deadline: float) -> HTTPConnection:
    """A connection to one of the host's addresses, all of them checked before the first is tried."""
    assert where.host and where.scheme  # noqa: S101 - for the type checker: the form was checked
    host, port = where.host.strip("[]"), where.port or PORTS[where.scheme]
    addresses = _resolve(host, port, _left(deadline))
    if not _allowed(where) and not all(map(is_public, addresses)):
        raise ForbiddenAddress(f"{where.netloc} leads to an address that is not public")
    trouble: Exception | None = None
    for address in addresses[:MAX_ADDRESSES]:
        patience = min(CONNECT_SECONDS, _left(deadline))
        connection: HTTPConnection
        if where.scheme == "https":  # SNI and the certificate's check go by the name, not by the address
            connection = HTTPSConnection(
                address, port, timeout=patience, ssl_context=_tls(), server_hostname=host.rstrip(".")
            )
        else:
            connection = HTTPConnection(address, port, timeout=patience)
        try:
            connection.connect()
        except (OSError, HTTPError) as error:
            connection.close()
            trouble = error
        else:
            connection.timeout = READ_SECONDS
            return connection
    _left(deadline)
    raise Unreachable(f"{where.netloc}: {trouble}") from trouble


def _resolve(host: str, port: int, seconds: float) -> list[str]:
    """Every address of a name, asked once. In a thread, because the system's resolver knows no deadline."""
    answer: Future[list[str]] = Future()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:  # ValueError: a label that IDNA refuses
            answer.set_exception(Unreachable(f"{host}: {error}"))
        else:
            answer.set_result([str(entry[4][0]) for entry in found])

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.result(timeout=min(CONNECT_SECONDS, seconds))
    except TimeoutError:
        raise TimedOut(f"{host}: no answer from the name server") from None


@functools.cache
def _tls() -> ssl.SSLContext:
    """The system's authorities and the shipped ones, so that a bare container can check a certificate too."""
    context = ssl.create_default_context()
    context.load_verify_locations(certificates())
    return context


def _left(deadline: float) -> float:
    """Seconds until the deadline; raises TimedOut when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimedOut("not done at the deadline")
    return left


def _cut(sock: socket.socket) -> None:
    """End every wait on this socket, from another thread."""
    with contextlib.suppress(OSError):
        # The plain one: an SSLSocket's own drops its TLS state while another thread may be reading.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _named(error: Exception, deadline: float) -> EgressError:
    """What a failure after connecting means."""
    if isinstance(error, (TimeoutError, ReadTimeoutError)) or time.monotonic() >= deadline:
        return TimedOut("not done at the deadline, or silent for too long")
    return Broken(f"{type(error).__name__}: {error}")
