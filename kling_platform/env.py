"""Typed readers of the environment. A bad value ends the start with one clear line."""

from __future__ import annotations

import os
import re
import urllib.parse
import zoneinfo
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


def text(name: str, default: str = "", *, choices: tuple[str, ...] = ()) -> str:
    """The variable, stripped; one of ``choices`` if any are given."""
    value = os.environ.get(name, default).strip()
    if choices and value not in choices:
        raise ImproperlyConfigured(f"{name}={value!r}: expected one of {', '.join(choices)}.")
    return value


def flag(name: str, default: bool) -> bool:
    """1/0, true/false, yes/no, on/off."""
    value = os.environ.get(name, "1" if default else "0").strip().lower()
    if value not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name}={value!r}: expected 1 or 0.")
    return value in TRUE


def number(name: str, default: int, *, least: int = 0, most: int = 10**9) -> int:
    """A whole number between ``least`` and ``most``, both included."""
    value = os.environ.get(name, "").strip() or str(default)
    try:
        parsed = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={value!r}: expected a whole number.") from None
    if not least <= parsed <= most:
        raise ImproperlyConfigured(f"{name}={value}: expected a number from {least} to {most}.")
    return parsed


def names(name: str, default: str = "") -> list[str]:
    """A list separated by commas, empty parts dropped."""
    return [part.strip() for part in os.environ.get(name, default).split(",") if part.strip()]


def folder(name: str, default: Path) -> Path:
    """A folder, made if need be, as an absolute path."""
    path = Path(text(name) or default).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name}={str(path)!r} cannot be made ({error.strerror}): name a folder that can be written to."
        ) from None
    return path


def zone(name: str, default: str) -> str:
    """A time zone of the IANA database."""
    value = text(name, default)
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ImproperlyConfigured(f"{name}={value!r}: expected a time zone such as Asia/Shanghai.") from None
    return value


def endpoints(name: str) -> frozenset[str]:
    """``host:port`` pairs; an IPv6 address in brackets."""
    found = names(name)
    for value in found:
        if not re.fullmatch(r"([\w.-]+|\[[0-9a-fA-F:.]+\]):\d{1,5}", value):
            raise ImproperlyConfigured(f"{name}: {value!r} is not host:port.")
    return frozenset(found)


def url(name: str, default: str) -> str:
    """An http(s) address without a trailing slash, user, query or fragment."""
    value = text(name, default).rstrip("/")
    parts = _split(name, value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        shown = name if "@" in value else f"{name}={value!r}"  # a password stands before it
        raise ImproperlyConfigured(f"{shown}: expected an address such as https://example.com.")
    return value


def _split(name: str, value: str) -> urllib.parse.SplitResult:
    """The parts of an address whose port is a number; it may hold a password, so it is never shown."""
    try:
        parts = urllib.parse.urlsplit(value)
        _ = parts.port
    except ValueError:  # its text repeats what it took for the port: a password, where that has a slash in it
        raise ImproperlyConfigured(
            f"{name} is no address. In a password write / as %2F, ? as %3F, # as %23 and @ as %40."
        ) from None
    return parts


def database(name: str, fallback: Path) -> dict[str, Any]:
    """``postgresql://user:password@host:port/name?option=value`` or ``sqlite:///path`` for Django.

    A socket folder goes into the query: ``postgresql:///name?host=/run/postgresql``.
    """
    value = text(name)
    if not value:
        return sqlite(fallback)
    parts = _split(name, value)
    path = urllib.parse.unquote(parts.path)
    if parts.scheme == "sqlite" and path.strip("/"):
        return sqlite(Path(path[1:] if path.startswith("//") or not parts.netloc else path))
    if parts.scheme not in ("postgres", "postgresql") or not path.strip("/"):
        raise ImproperlyConfigured(f"{name}: expected postgresql://user:password@host:5432/name.")
    options = dict(urllib.parse.parse_qsl(parts.query))
    host = options.pop("host", parts.hostname or "")
    port = options.pop("port", str(parts.port or ""))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": path.lstrip("/"),
        "USER": urllib.parse.unquote(parts.username or options.pop("user", "")),
        "PASSWORD": urllib.parse.unquote(parts.password or ""),
        "HOST": host,
        "PORT": port,
        "CONN_MAX_AGE": None,  # a persistent connection is worth 11 ms a request
        "CONN_HEALTH_CHECKS": True,  # PostgreSQL restarts; the web must not notice for long
        "OPTIONS": {
            "connect_timeout": 5,
            "options": "-c statement_timeout=30000",
            "prepare_threshold": 0,  # for ``kling_platform.prepared``: Django's own cursors never prepare
            **options,
        },
    }


def sqlite(path: Path) -> dict[str, Any]:
    """The embedded default: WAL, IMMEDIATE and a long wait, so that web and worker never lock each other out."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
        },
        "TEST": {"NAME": str(path.with_name("test.sqlite3"))},  # a file: the worker is another process
    }


def email(name: str) -> dict[str, Any]:
    """Django's mail settings from ``smtp://user:password@host:587?tls=1&from=team@example.com``; console if empty."""
    value = text(name)
    if not value:
        return {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}
    parts = _split(name, value)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ImproperlyConfigured(f"{name}: expected smtp://user:password@host:587?tls=1.")
    options = dict(urllib.parse.parse_qsl(parts.query))
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or (465 if parts.scheme == "smtps" else 25),
        "EMAIL_HOST_USER": urllib.parse.unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": urllib.parse.unquote(parts.password or ""),
        "EMAIL_USE_SSL": parts.scheme == "smtps",
        "EMAIL_USE_TLS": options.get("tls") == "1",
        "EMAIL_TIMEOUT": 20,
        **({"DEFAULT_FROM_EMAIL": options["from"]} if "from" in options else {}),
    }


def storage(name: str) -> dict[str, Any]:
    """Django's storage: ``local``, or ``s3://bucket`` with a folder in it if need be; see ``kling_platform.s3``."""
    value = text(name, "local")
    if value == "local":
        return {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    found = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([\w./-]*))?", value)
    if found is None:
        raise ImproperlyConfigured(f"{name}={value!r}: expected local or s3://bucket.")
    return {
        "BACKEND": "kling_platform.s3.Bucket",
        "OPTIONS": {"bucket_name": found[1], "location": (found[2] or "").strip("/")},
    }
