"""Our own stored films, cut and joined: the last picture of one, and one film out of several. No network.

Everything here decodes and so takes its time: tasks call it, no request does.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError
from PIL import Image

# A picture that goes back as a first frame has to have this many pixels a side.
LEAST_SIDE = 300
FRAME_QUALITY = 95
# How far before the end the search for the last picture starts; key frames may lie further back, and are found.
TAIL_SECONDS = 1
SOUND_RATE = 48_000


class BadFilm(Exception):
    """A stored file that cannot be decoded (any more)."""


def last_frame(file: Any) -> bytes:
    """The last picture of a film as JPEG, at least ``LEAST_SIDE`` a side. Raises ``BadFilm``.

    ``file`` is open, and may lie in any storage. Only the last group of pictures is decoded, however long the
    film is.
    """
    with _readable(), av.open(file, "r", format="mp4") as film:
        stream = film.streams.video[0]
        stream.thread_type = "AUTO"
        end = (stream.start_time or 0) + (stream.duration or 0)
        film.seek(max(0, end - int(TAIL_SECONDS / (stream.time_base or 1))), stream=stream)
        frame = None
        for frame in film.decode(stream):  # noqa: B007 (the last one is what is wanted)
            pass
        if frame is None:
            raise BadFilm("the film has no picture")
        picture = frame.to_image()
    if min(picture.size) < LEAST_SIDE:
        factor = LEAST_SIDE / min(picture.size)
        size = (round(picture.width * factor), round(picture.height * factor))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=FRAME_QUALITY, subsampling=0)
    return out.getvalue()


def length(path: Path) -> float:
    """Of a film, in seconds."""
    with _readable(), av.open(str(path), "r", format="mp4") as film:
        return round((film.duration or 0) / av.time_base, 3)


def join(files: Sequence[Any], target: Path) -> None:
    """Write one MP4 that plays the films one after the other. Raises ``BadFilm``.

    Films of one kind are joined as they are, without loss and within a second. Where the kinds differ, all
    are encoded anew, in the size of the first.
    """
    with _readable(), ExitStack() as opened:
        films = [opened.enter_context(av.open(file, "r", format="mp4")) for file in files]
        if len({_kind(film) for film in films}) == 1:
            _chain(films, target)
        else:
            _encode(films, target)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (FFmpegError, ValueError, IndexError) as error:
        raise BadFilm(str(error)) from error


def _kind(film: Any) -> tuple[Any, ...]:
    """What has to be equal for packets of several films to stand in one track."""
    kind: list[Any] = []
    for stream in _streams(film):
        codec = stream.codec_context
        kind += [codec.name, codec.extradata, stream.time_base]
        kind += [codec.width, codec.height, codec.pix_fmt] if stream.type == "video" else [codec.sample_rate]
    return tuple(kind)


def _streams(film: Any) -> list[Any]:
    """The picture, and the sound where there is some."""
    return [film.streams.video[0], *film.streams.audio[:1]]


def _chain(films: Sequence[Any], target: Path) -> None:
    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as out:
        tracks = [out.add_stream_from_template(stream) for stream in _streams(films[0])]
        begin = Fraction(0)
        for film in films:
            streams = _streams(film)
            end = begin
            for packet in film.demux(streams):
                if packet.dts is None:  # the demuxer's way to say "flush"
                    continue
                base = packet.time_base
                start = round(begin / base)
                shift = start - (packet.stream.start_time or 0)
                packet.pts += shift
                packet.dts += shift
                if begin and packet.stream.type == "audio" and packet.dts < start:
                    continue  # an encoder's run-up, inaudible; it would lie over the end of the film before
                end = max(end, (packet.pts + (packet.duration or 0)) * base)
                packet.stream = tracks[streams.index(packet.stream)]
                out.mux(packet)
            begin = end


def _encode(films: Sequence[Any], target: Path) -> None:
    first = films[0].streams.video[0]
    rate = Fraction(first.average_rate or 24)
    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as out:
        picture: Any = out.add_stream("libx264", rate=rate, options={"crf": "17", "preset": "veryfast"})
        picture.width, picture.height, picture.pix_fmt = first.width & ~1, first.height & ~1, "yuv420p"
        sound: Any = None
        if any(film.streams.audio for film in films):
            sound = out.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        shown = 0  # pictures so far: the clock of the whole film
        for film in films:
            begin, shown = shown, _pictures(film, picture, out, rate, shown)
            if sound is not None:
                _sound(film, sound, out, begin / rate, shown / rate)
        for track in filter(None, (picture, sound)):
            out.mux(track.encode(None))


def _pictures(film: Any, track: Any, out: Any, rate: Fraction, shown: int) -> int:
    """Encode one film's pictures at ``rate``, letterboxed into its size; the count so far."""
    source = film.streams.video[0]
    graph = av.filter.Graph()
    width, height = track.width, track.height
    steps = [
        graph.add_buffer(template=source),
        graph.add("fps", f"fps={rate}"),
        graph.add("scale", f"{width}:{height}:force_original_aspect_ratio=decrease"),
        graph.add("pad", f"{width}:{height}:-1:-1"),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ]
    for one, following in pairwise(steps):
        one.link_to(following)
    graph.configure()
    for frame in chain(film.decode(source), [None]):  # None: nothing more comes
        graph.push(frame)
        while True:
            try:
                made: Any = graph.pull()
            except (BlockingIOError, EOFError):
                break
            made.pts, made.time_base, made.pict_type = shown, 1 / rate, 0
            shown += 1
            out.mux(track.encode(made))
    return shown


def _sound(film: Any, track: Any, out: Any, begin: Fraction, end: Fraction) -> None:
    """Encode one film's sound from ``begin`` to ``end`` (seconds); what it lacks is silence."""
    at, last = round(begin * SOUND_RATE), round(end * SOUND_RATE)
    if film.streams.audio:
        film.seek(0)
        resampler = av.AudioResampler("fltp", "stereo", SOUND_RATE)
        for frame in chain(film.decode(film.streams.audio[0]), [None]):
            for made in resampler.resample(frame):
                if at >= last:
                    return
                at = _sounded(made, track, out, at)
    while at < last:
        silence: Any = av.AudioFrame(format="fltp", layout="stereo", samples=min(1024, last - at))
        silence.sample_rate = SOUND_RATE
        for plane in silence.planes:
            plane.update(bytes(plane.buffer_size))
        at = _sounded(silence, track, out, at)


def _sounded(frame: Any, track: Any, out: Any, at: int) -> int:
    frame.pts, frame.time_base = at, Fraction(1, SOUND_RATE)
    out.mux(track.encode(frame))
    return at + frame.samples
