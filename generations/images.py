"""Pictures from users: what they sent is checked, decoded and written anew, so that only pixels go on.

A picture named by URL is never fetched by us; only the form of its address is checked.
"""

from __future__ import annotations

import binascii
import hashlib
import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _
from PIL import Image, ImageCms, ImageOps

from kling_platform import egress
from kling_platform.errors import InvalidValue

# Kling's own limits for an image: 10 MB, 300 px a side, 1:2.5 to 2.5:1.
MAX_BYTES = 10 * 1024 * 1024
MIN_SIDE = 300
MAX_RATIO = 2.5
FORMATS = ("JPEG", "PNG", "WEBP")
# Memory and time grow with what the header announces, not with the file: up to 20 bytes a pixel at the peak
# (measured: WEBP with transparency). The largest photo that a phone takes by default has 24.5 million.
MAX_PIXELS = 25_000_000
# A progressive JPEG has about ten scans; each costs a pass over the whole picture, and an empty one 12 bytes.
MAX_SCANS = 50
MAX_PROFILE_BYTES = 1024 * 1024
# The largest video has 1,920 pixels on its long side; twice that loses nothing that it could show.
SIDE_SENT = 3840
# Whichever ten megabytes upstream means. The first quality that fits is taken; 92 nearly always does.
MAX_SENT_BYTES = 10_000_000
QUALITIES = (92, 80, 65, 50)

# Pillow only warns between one and two times this cap; what it warns of is over our limit already.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)

_DATA_URI = re.compile(r"data:[\w.+-]*/?[\w.+-]*(?:;[\w.+-]+=[\w.+-]+)*;base64,", re.IGNORECASE)
# A JPEG's next marker; FF00 and the restart markers are part of a scan's data.
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
# One picture at a time in a process: a burst of the largest ones makes others wait, and never fills the memory.
_decoding = threading.Lock()


@dataclass(frozen=True)
class PreparedImage:
    """A picture that we wrote ourselves: upright, one frame, no metadata; sides in pixels, sha256 in hex."""

    data: bytes
    content_type: str
    width: int
    height: int
    sha256: str


def is_url(value: str) -> bool:
    """Whether an `images` entry is an address, rather than the picture itself."""
    return value[:8].lower().startswith(("http://", "https://"))


def check_image_url(value: str, *, param: str = "images") -> None:
    """Refuse an address that upstream could not use, by its form alone; raises InvalidValue."""
    egress.check_url_form(value, param=param, schemes=("http", "https"))


def decode(value: str, *, param: str = "images") -> bytes:
    """The bytes behind raw base64 or a data URI, by the letter of RFC 4648; raises InvalidValue."""
    if found := _DATA_URI.match(value):
        value = value[found.end() :]
    if len(value) > (MAX_BYTES + 2) // 3 * 4:
        raise _too_large(param)
    try:
        if len(value) % 4:  # strict mode lets padding pass where none is due
            raise binascii.Error
        return binascii.a2b_base64(value.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise InvalidValue(
            _(
                "This is neither an http(s) address nor base64. "
                "Send base64 without line breaks, in the standard alphabet and with its padding, or a data URI."
            ),
            param=param,
        ) from None


def prepare(data: bytes, *, param: str = "images") -> PreparedImage:
    """Check a picture against Kling's limits and encode it anew as JPEG; raises InvalidValue.

    Nothing of the input but its pixels survives: no EXIF, no profile, nothing hidden before, in or behind it.
    Transparency becomes white, further frames are dropped, large pictures shrink to `SIDE_SENT`.
    """
    if not data:
        raise InvalidValue(_("This picture is empty. Choose another file."), param=param)
    if len(data) > MAX_BYTES:
        raise _too_large(param)
    with _decoding:
        with _readable(param):
            Image.open(io.BytesIO(data), formats=FORMATS).verify()
            image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)  # verify() spoils an image
        _check_size(image, param)
        if image.format in ("JPEG", "MPO") and _scans(data) > MAX_SCANS:
            raise _unreadable(param)
        with _readable(param):
            return _encode(_flatten(_upright(image)), param)


@contextmanager
def _readable(param: str) -> Iterator[None]:
    """Whatever a decoder raises over hostile bytes is one finding: this is no picture that we can read."""
    try:
        yield
    except InvalidValue:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels(param) from None
    except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, struct.error and more
        raise _unreadable(param) from error


def _check_size(image: Image.Image, param: str) -> None:
    """Hold the announced sides against the limits, before a single pixel is decoded."""
    width, height = image.size
    size = {"width": width, "height": height}
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(param)
    if min(width, height) < MIN_SIDE:
        raise InvalidValue(
            _(
                "This picture has %(width)d × %(height)d pixels; each side needs at least 300. Use a larger one."
            )
            % size,
            param=param,
        )
    if max(width, height) > MAX_RATIO * min(width, height):
        raise InvalidValue(
            _(
                "This picture has %(width)d × %(height)d pixels; one side may be at most 2.5 times the other. "
                "Crop it."
            )
            % size,
            param=param,
        )


def _scans(data: bytes) -> int:
    """How many scans a JPEG has: from marker to marker up to its end, over what any segment may hide."""
    scans, at = 0, 2
    while (marker := _MARKER.search(data, at)) and marker[1] != b"\xd9":
        scans += marker[1] == b"\xda"
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return scans


def _upright(image: Image.Image) -> Image.Image:
    """The first frame, decoded, turned as its camera says, in 8 bits a channel."""
    image.draft("RGB", (SIDE_SENT, SIDE_SENT))  # JPEG only: decodes at 1/2, 1/4, 1/8 where that is enough
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):  # 16 bits of gray, which convert() would cut off at 255
        image = image.convert("I").point(lambda value: value / 256).convert("L")
        image.info.pop("transparency", None)  # a gray of the old scale
    return image


def _flatten(image: Image.Image) -> Image.Image:
    """Three 8-bit channels in sRGB, on white where it was transparent."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image.thumbnail((SIDE_SENT, SIDE_SENT))
        ground = Image.new("RGB", image.size, "white")
        ground.paste(image, mask=image.getchannel("A"))
        ground.info = image.info
        return _to_srgb(ground)
    if image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    image.thumbnail((SIDE_SENT, SIDE_SENT))
    return _to_srgb(image)


def _to_srgb(image: Image.Image) -> Image.Image:
    """Apply the colour profile, if there is a sound one: it will not travel along, and phones use wide ones."""
    profile = image.info.get("icc_profile", b"")
    if 0 < len(profile) <= MAX_PROFILE_BYTES:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            done = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            return done or image
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a profile that does not fit the picture: shown as most programs would, without it
    return image.convert("RGB")


def _encode(image: Image.Image, param: str) -> PreparedImage:
    """Write the pixels as JPEG, and nothing else."""
    bare = Image.new("RGB", image.size)  # `info` of the source would be written along
    bare.paste(image)
    for quality in QUALITIES:
        out = io.BytesIO()
        bare.save(out, "JPEG", quality=quality, optimize=True)
        if out.tell() <= MAX_SENT_BYTES:
            data = out.getvalue()
            return PreparedImage(data, "image/jpeg", *bare.size, hashlib.sha256(data).hexdigest())
    raise _too_large(param)


def _too_large(param: str) -> InvalidValue:
    return InvalidValue(
        _("This picture is larger than 10 MB. Use a smaller one, or save it as JPEG."), param=param
    )


def _too_many_pixels(param: str) -> InvalidValue:
    return InvalidValue(
        _("This picture has more than 25 million pixels. Scale it down, for example to 3,840 a side."),
        param=param,
    )


def _unreadable(param: str) -> InvalidValue:
    return InvalidValue(
        _(
            "This picture cannot be read. Send a whole JPEG, PNG or WEBP; other formats have to be converted first."
        ),
        param=param,
    )
