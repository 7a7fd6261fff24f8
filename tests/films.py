"""Real films, made once for all tests."""

from __future__ import annotations

import functools
import tempfile

import av
from PIL import Image


@functools.cache
def film(
    width: int = 640, height: int = 360, seconds: int = 2, sound: bool = False, picture: bool = True
) -> bytes:
    """A real MP4: red, 24 frames a second."""
    out = tempfile.NamedTemporaryFile(suffix=".mp4")  # noqa: SIM115 - the index moves to the front in a second pass
    with av.open(out.name, "w", format="mp4", options={"movflags": "faststart"}) as container:
        if picture:
            video = container.add_stream("libx264", rate=24, options={"preset": "ultrafast"})
            video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        if sound:
            audio = container.add_stream("aac", rate=44100, layout="mono")
        if picture:
            for _ in range(24 * seconds):
                frame = av.VideoFrame.from_image(Image.new("RGB", (width, height), (200, 20, 20)))
                container.mux(video.encode(frame))
            container.mux(video.encode())
        if sound:
            for _ in range(44100 * seconds // 1024):
                tone = av.AudioFrame(format="fltp", layout="mono", samples=1024)
                tone.sample_rate = 44100
                tone.planes[0].update(bytes(4096))
                container.mux(audio.encode(tone))
            container.mux(audio.encode())
    with out:
        return out.read()
