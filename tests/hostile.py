"""Addresses that lead inside, however they are written; and a witness of every connection that is tried."""

from __future__ import annotations

import ipaddress
import itertools
import random
import socket
import sys
from collections.abc import Iterator

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


def hostile(count: int, seed: int) -> list[str]:
    """So many different addresses: the hand-written forms, and inner addresses in every writing that is read."""
    made = dict.fromkeys(itertools.chain(FORMS, *map(_writings, INSIDE)))
    others = [url for url in made if url not in FORMS]
    random.Random(seed).shuffle(others)
    return (
        [*FORMS, *others][:count]
        if count >= len(FORMS)
        else random.Random(seed).sample(FORMS + others, count)
    )


def _writings(address: str) -> Iterator[str]:
    ip = ipaddress.ip_address(address.partition("%")[0])
    path = "/v.mp4?x=1"
    if isinstance(ip, ipaddress.IPv6Address):
        for host in (f"[{address}]", f"[{ip.exploded}]", f"[{ip.compressed.upper()}]", f"[{ip}%25eth0]"):
            yield f"https://{host}{path}"
        yield f"https://example.com@[{ip}]:443{path}"
        return
    number, parts = int(ip), str(ip).split(".")
    wide = str(ip).translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)})
    hosts = (
        *(str(ip), f"{ip}.", f"{ip}:443", f"{ip}:8000", str(number), hex(number), f"0{number:o}"),
        *(".".join(map(hex, map(int, parts))), ".".join(f"0{int(part):o}" for part in parts)),
        *(f"{parts[0]}.{number & 0xFFFFFF}", f"{parts[0]}.{parts[1]}.{number & 0xFFFF}", wide),
        *(
            str(ip).replace(".", "\u3002"),
            str(ip).replace(".", "%2e"),
            f"[::ffff:{ip}]",
            f"[::{ip}]",
            f"[64:ff9b::{ip}]",
        ),
        *(
            f"example.com@{ip}",
            f"{ip}\\@example.com",
            f"example.com#@{ip}",
            f"{ip}.nip.example",
            f"{ip}%00.example.com",
        ),
    )
    for host in hosts:
        yield f"https://{host}{path}"
    yield f"http://{ip}{path}"
    yield f"HTTPS:\\\\{ip}{path}"


_system = socket.getaddrinfo


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


class Inside(Names):
    """The worst of all name servers: every name leads inside, and ``flip.example`` every other time only."""

    def __init__(self) -> None:
        super().__init__()
        self.answers["flip.example"] = [["8.8.8.8"], ["127.0.0.1"]]

    def __call__(self, host: object, port: object, *args: object, **kwargs: object) -> list[object]:
        try:
            return super().__call__(host, port, *args, **{**kwargs, "flags": socket.AI_NUMERICHOST})
        except socket.gaierror:
            return _system("127.0.0.1", port, *args, **kwargs)
