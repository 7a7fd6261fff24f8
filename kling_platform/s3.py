"""Files in a bucket (``STORAGE=s3://bucket/prefix``): Amazon S3, MinIO, or whatever speaks the same.

Credentials, region and endpoint come from the usual AWS_* variables. Nobody gets an address of the bucket:
every byte goes through a view that asks who you are, so a reader here fetches what is read, and no more.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files import File
from storages.backends.s3 import S3Storage

BUFFER = 256 * 1024


@contextlib.contextmanager
def _as_os_errors(name: str) -> Iterator[None]:
    """What a disk would raise: FileNotFoundError for what is not there, OSError for a bucket that fails."""
    try:
        yield
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            raise FileNotFoundError(f"{name} is not in the bucket") from error
        raise OSError(f"the bucket refused {name}: {error}") from error
    except BotoCoreError as error:
        raise OSError(f"the bucket could not be asked for {name}: {error}") from error


class Bucket(S3Storage):
    """Django's storage in a bucket; fails as a disk does."""

    def get_default_settings(self) -> dict[str, Any]:
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        config = Config(
            # Others than Amazon seldom have a name for each bucket, or the newer checksums.
            s3={"addressing_style": "path" if endpoint else "auto"},
            signature_version="s3v4",
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=5,
            read_timeout=30,
            retries={"max_attempts": 3, "mode": "standard"},
        )
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return super().get_default_settings() | {
            "endpoint_url": endpoint,
            "region_name": region,
            "client_config": config,
            "default_acl": None,
            "file_overwrite": True,  # names are made by us, and a second try replaces the first
        }

    def _open(self, name: str, mode: str = "rb") -> File:
        if mode != "rb":
            raise ValueError("files in the bucket are written whole, by save()")
        return File(io.BufferedReader(_Reader(self, name), BUFFER), name)

    def body(self, name: str, start: int) -> Any:
        """The stream of an object from this byte on."""
        with _as_os_errors(name):
            key = self._normalize_name(name)
            return self.bucket.Object(key).get(Range=f"bytes={start}-")["Body"]

    def _save(self, name: str, content: Any) -> str:
        with _as_os_errors(name):
            return super()._save(name, content)

    def delete(self, name: str) -> None:
        with _as_os_errors(name):
            super().delete(name)

    def exists(self, name: str) -> bool:
        with _as_os_errors(name):
            return super().exists(name)

    def size(self, name: str) -> int:
        with _as_os_errors(name):
            return super().size(name)


class _Reader(io.RawIOBase):
    """A file in the bucket, read from where one stands; going elsewhere asks the bucket anew."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket, self._name = bucket, name
        self._at = 0
        self._body: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        target = (self._bucket.size(self._name) if base is None else base) + offset
        if target != self._at:
            self._let_go()
            self._at = target
        return target

    def readinto(self, buffer: Any) -> int:
        if self._body is None:
            if self._at and self._at >= self._bucket.size(self._name):
                return 0
            self._body = self._bucket.body(self._name, self._at)
        with _as_os_errors(self._name):
            data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._let_go()
        super().close()

    def _let_go(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
