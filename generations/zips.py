"""What a download is called, and many videos as one: made while it is sent, in neither memory nor disk."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from django.core.files import File
from zipstream import ZIP_STORED, ZipStream

from generations import labels
from generations.models import Generation

CHUNK = 256 * 1024


def file_name(generation: Generation) -> str:
    """The start of the prompt, so that a folder of downloads can be read, and the id's, so that none is lost."""
    words = re.sub(r"\W+", "-", generation.prompt)[:48].strip("-")
    return f"{words}-{str(generation.pk)[:8]}.mp4"


def stream(generations: Iterable[Generation]) -> ZipStream:
    """A ZIP of finished videos, as each goes out; its length is known before the first byte is read.

    Stored, not deflated: a video has no air in it.
    """
    archive = ZipStream(compress_type=ZIP_STORED, sized=True)
    for generation in generations:
        sent = labels.outgoing(generation, generation.video)
        archive.add(_chunks(sent.file), file_name(generation), size=sent.bytes)
    return archive


def _chunks(file: File[bytes]) -> Iterator[bytes]:
    """Opened when its turn comes. A file that is gone breaks the download off, so that nobody misses it."""
    with file.open() as opened:
        yield from opened.chunks(CHUNK)
