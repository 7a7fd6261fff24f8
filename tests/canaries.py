"""Secrets that sing: each is planted where people and programs put it, and may be heard only where it belongs."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from django.db import connection
from django.test import Client
from django_q.models import OrmQ
from django_q.signing import SignedPackage


class Cage:
    """The secrets by name, and every place where one was heard that should not have been."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.heard: list[str] = []
        self.answers = 0

    def keep(self, name: str, secret: str) -> str:
        assert name not in self.secrets and len(secret) >= 12, name
        self.secrets[name] = secret
        return secret

    def listen(self, place: str, text: str | bytes, *, but: tuple[str, ...] = ()) -> None:
        """Note every secret in a text, plain or as addresses, reprs and Basic authentication write it."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        for name, secret in self.secrets.items():
            if name not in but and any(form in text for form in forms(secret)):
                self.heard.append(f"{name} in {place}")

    def database(self, belongs: dict[str, tuple[str, ...]]) -> None:
        """Every column of every table; ``belongs`` says where ("table.column") a secret is kept on purpose."""
        tables = connection.introspection.table_names()
        with connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
                columns = [column[0] for column in cursor.description]
                for row in cursor.fetchall():
                    for column, value in zip(columns, row, strict=True):
                        self.listen(
                            f"{table}.{column}", as_text(value), but=belongs.get(f"{table}.{column}", ())
                        )
        for task in OrmQ.objects.all():
            self.listen("a queued task", str(SignedPackage.loads(task.payload)))

    def caller(self) -> Caller:
        return Caller(self)


class Caller(Client):
    """A browser or program whose every answer is listened to: status line, headers, cookies aside, and body."""

    def __init__(self, cage: Cage) -> None:
        super().__init__(raise_request_exception=False)
        self.cage = cage
        self.may_hear: tuple[str, ...] = ()

    def request(self, **request: Any) -> Any:
        answer = super().request(**request)
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        place = f"the answer to {request['REQUEST_METHOD']} {request['PATH_INFO'][:60]}"
        self.cage.answers += 1
        self.cage.listen(place, f"{answer.headers}".encode() + body, but=self.may_hear)
        return answer


def forms(secret: str) -> Iterator[str]:
    yield secret
    yield from {quote(secret, safe=""), repr(secret)[1:-1]} - {secret}
    yield base64.b64encode(secret.encode()).decode().rstrip("=")


def as_text(value: Any) -> str:
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("latin-1")
    return str(value)
