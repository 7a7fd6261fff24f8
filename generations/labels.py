"""The label “made by AI” in a video's own metadata, put there while the file goes out.

China's measures of 2025-09-01 and GB 45438-2025 ask for it: a JSON text under the key ``AIGC``. It stands where
``ffmpeg -movflags use_metadata_tags -metadata AIGC=…`` and every reader of such keys look: in a ``meta`` box of the
kind ``mdta`` (QuickTime File Format, “Metadata”), inside of ``moov``.

The stored file stays as it came, and there is no second one: its index (some kilobytes) is read, the box is put at
its end, and the places of the frames that lie behind it are moved on (ISO/IEC 14496-12, ``stco`` and ``co64``);
every other byte goes out as it is. So a team's rule holds at once for all it has, costs no room, and a range, a ZIP
or a bucket need no copy made before. No request decodes or encodes anything.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import uuid
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

from django.conf import settings
from django.core.files import File
from django.db.models.fields.files import FieldFile

from generations.models import Generation, Video

KEY = b"AIGC"
# “1” says: this is generated (2: maybe, 3: it looks so).
GENERATED = "1"
# An index is some kilobytes; one beyond this is left alone.
MOST_INDEX = 32 * 1024 * 1024
MOST_BOXES = 1_000
# What an index may have that points into the file by ways which are not followed here, or has a ``meta`` already.
LEFT_ALONE = (b"mvex", b"cmov", b"meta")
# The way from ``moov`` to the tables of where the frames lie, and how wide their numbers are.
PATH = (b"trak", b"mdia", b"minf", b"stbl")
TABLES = {b"stco": "I", b"co64": "Q"}


class Unreadable(ValueError):
    """An index that is not as it should be."""


class Outgoing(NamedTuple):
    """A file as it leaves by any door; ``etag`` is a checksum of the content."""

    file: FieldFile | LabelledFile
    etag: str
    bytes: int


def is_labelled(generation: Generation) -> bool:
    """Whether the rules that bind this video ask for the label: its team's, or the platform's for all others."""
    team = generation.team
    return team.labelled if team is not None else settings.AI_LABEL


def outgoing(generation: Generation, video: Video) -> Outgoing:
    """The video of a generation as anybody gets it."""
    return labelled(
        video.file, of=generation.pk, sha256=video.sha256, size=video.bytes, wanted=is_labelled(generation)
    )


def labelled(file: FieldFile, *, of: uuid.UUID, sha256: str, size: int, wanted: bool = True) -> Outgoing:
    """A stored film with the label in it, or as it is. ``sha256`` and ``size`` are those of the stored file."""
    if not wanted:
        return Outgoing(file, sha256, size)
    box = _meta(text_of(of, sha256).encode())
    mark = hashlib.sha256(box).hexdigest()[:16]
    return Outgoing(LabelledFile(file, size, box), f"{sha256}-{mark}", size + len(box))


def text_of(of: uuid.UUID, sha256: str) -> str:
    """The label's JSON. We both had it made and hand it on; the first reserved field holds the checksum of the
    file as it was made, by which anybody can prove what belongs to the label."""
    who = settings.AI_LABEL_PRODUCER
    label = {
        "Label": GENERATED,
        "ContentProducer": who,
        "ProduceID": str(of),
        "ReservedCode1": sha256,
        "ContentPropagator": who,
        "PropagateID": str(of),
        "ReservedCode2": "",
    }
    return json.dumps(label, ensure_ascii=False, separators=(",", ":"))


class LabelledFile(File):
    """A stored film and the box that goes into it, for whatever serves files: sized, opened when it is sent."""

    def __init__(self, stored: FieldFile, size: int, box: bytes) -> None:
        super().__init__(None, stored.name)
        self._stored, self._box = stored, box
        self.size = size + len(box)

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> LabelledFile:
        """From the start, whatever was read before."""
        source = self._stored.storage.open(self.name or "", "rb")
        try:
            pieces = _pieces(source, self.size - len(self._box), self._box)
        except BaseException:
            source.close()
            raise
        self.file = io.BufferedReader(_Stitched(source, pieces), 256 * 1024)
        return self


class Piece(NamedTuple):
    """A part of what goes out: ``length`` bytes of the stored file from ``start`` on, or ``data`` instead."""

    start: int
    length: int
    data: bytes = b""


def _pieces(source: IO[bytes] | File[Any], size: int, box: bytes) -> list[Piece]:
    """What to send of the stored file, and what between. It grows by the length of the box in every case."""
    try:
        start, moov = _index(source, size)
    except Unreadable:
        return _with_tail(size, box)
    if KEY in moov:  # whoever made it has labelled it, and that label stays the only one
        return _with_tail(size, _box(b"free", bytes(len(box) - 8)))
    end = start + len(moov)
    try:
        if any(name in LEFT_ALONE for _at, _end, name in _children(moov, 8, len(moov))):
            return _with_tail(size, box)
        _move_on(moov, beyond=end, by=len(box))
    except (Unreadable, struct.error):
        return _with_tail(size, box)
    moov[0:4] = struct.pack(">I", len(moov) + len(box))
    return [Piece(0, start), Piece(0, len(moov) + len(box), bytes(moov) + box), Piece(end, size - end)]


def _with_tail(size: int, box: bytes) -> list[Piece]:
    """At the end of the file, which may have a ``meta`` of its own: nothing in it has to move."""
    return [Piece(0, size), Piece(0, len(box), box)]


def _index(source: IO[bytes] | File[Any], size: int) -> tuple[int, bytearray]:
    """Where ``moov`` begins, and itself."""
    at = 0
    for _ in range(MOST_BOXES):
        source.seek(at)
        head = source.read(16)
        if len(head) < 8:
            break
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        if name == b"moov":
            if not 8 <= length <= min(MOST_INDEX, size - at):
                break
            source.seek(at)
            moov = bytearray(source.read(length))
            if len(moov) != length:
                break
            return at, moov
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:
            break
        at += length
    raise Unreadable("no index that could be read")


def _children(data: bytearray, start: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    """Start of the content, end and name of each box between two places."""
    at = start
    while at + 8 <= end:
        length = int.from_bytes(data[at : at + 4], "big")
        if not 8 <= length <= end - at:
            raise Unreadable("a box is longer than what holds it")
        yield at + 8, at + length, bytes(data[at + 4 : at + 8])
        at += length


def _move_on(moov: bytearray, *, beyond: int, by: int) -> None:
    """Add ``by`` to the places of all frames that lie at ``beyond`` or after it."""
    found = [(8, len(moov), b"moov")]
    for wanted in PATH:
        found = [box for outer in found for box in _children(moov, *outer[:2]) if box[2] == wanted]
    for at, end, name in (box for outer in found for box in _children(moov, *outer[:2])):
        if name in (b"saio", b"senc"):
            raise Unreadable("encrypted")
        if name in TABLES:
            count = int.from_bytes(moov[at + 4 : at + 8], "big")
            table = struct.Struct(f">{count}{TABLES[name]}") if count < MOST_INDEX else None
            if table is None or at + 8 + table.size > end:
                raise Unreadable("a table is longer than its box")
            places = table.unpack_from(moov, at + 8)
            table.pack_into(moov, at + 8, *(place + by if place >= beyond else place for place in places))


def _meta(text: bytes) -> bytes:
    """The box with one key and one text."""
    key = _box(b"mdta", KEY)
    value = _box(b"data", struct.pack(">II", 1, 0) + text)  # 1: UTF-8; 0: no language said
    return _box(
        b"meta",
        struct.pack(">I", 0)
        + _box(b"hdlr", struct.pack(">II4s12sB", 0, 0, b"mdta", b"", 0))
        + _box(b"keys", struct.pack(">II", 0, 1) + key)
        + _box(b"ilst", _box(struct.pack(">I", 1), value)),
    )


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


class _Stitched(io.RawIOBase):
    """Pieces of a stored file and of memory as one file, read from where one stands."""

    def __init__(self, source: IO[bytes] | File[Any], pieces: list[Piece]) -> None:
        self._source, self._pieces, self._at = source, pieces, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        size = sum(piece.length for piece in self._pieces)
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        before = 0
        for piece in self._pieces:
            inside = self._at - before
            if inside < piece.length:
                data = self._read(piece, inside, min(len(buffer), piece.length - inside))
                buffer[: len(data)] = data
                self._at += len(data)
                return len(data)
            before += piece.length
        return 0

    def _read(self, piece: Piece, inside: int, length: int) -> bytes:
        if piece.data:
            return piece.data[inside : inside + length]
        self._source.seek(piece.start + inside)
        return self._source.read(length)

    def close(self) -> None:
        self._source.close()
        super().close()
