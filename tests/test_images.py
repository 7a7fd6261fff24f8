"""Pictures from strangers: what goes on is pixels that we wrote, within Kling's limits, and nothing else."""

from __future__ import annotations

import base64
import functools
import io
import random
import struct
import time
import zlib
from collections.abc import Callable

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from generations import images
from kling_platform.errors import InvalidValue
from tests.sizes import FULL

PAYLOAD = b"<script>alert('polyglot')</script>PK\x03\x04" + b"MARKER-7f3a" * 4
SEED = 20261123
# As in production, where importing `images` sets it for the process; pytest begins each test with its own filters.
pytestmark = pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def picture(width: int = 400, height: int = 300, mode: str = "RGB") -> Image.Image:
    """Red on the left, blue on the right: turned or recoloured pictures are told apart."""
    image = Image.new("RGB", (width, height), (220, 30, 30))
    image.paste((30, 30, 220), (width // 2, 0, width, height))
    return image.convert(mode)


def opened(prepared: images.PreparedImage) -> Image.Image:
    image = Image.open(io.BytesIO(prepared.data), formats=("JPEG",))
    image.load()
    return image


def refusal(data: bytes) -> str:
    with pytest.raises(InvalidValue) as refused:
        images.prepare(data)
    assert refused.value.param == "images"
    return str(refused.value)


def png_of(width: int, height: int, *, depth: int = 8, colour: int = 2, rows: bytes | None = None) -> bytes:
    """A PNG whose header says what we like, whatever stands in it."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(rows if rows is not None else b"\0" * 1000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


# --- what is welcome ---------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG"), ("L", "PNG"), ("1", "PNG"), ("P", "PNG"),
        ("RGBA", "PNG"), ("LA", "PNG"), ("I;16", "PNG"), ("RGB", "WEBP"), ("RGBA", "WEBP"),
    ],
)  # fmt: skip
def test_every_mode_becomes_a_plain_jpeg(mode: str, kind: str) -> None:
    source = picture().convert("L") if mode == "I;16" else picture(mode=mode)
    if mode == "I;16":
        source = Image.frombytes(
            "I;16", source.size, b"".join(struct.pack("<H", v * 257) for v in source.tobytes())
        )
    prepared = images.prepare(encoded(source, kind))
    assert (prepared.content_type, prepared.width, prepared.height) == ("image/jpeg", 400, 300)
    shown = opened(prepared)
    assert (shown.mode, shown.size) == ("RGB", (400, 300))
    assert not shown.getexif() and set(shown.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    if mode in (
        "L",
        "LA",
        "I;16",
        "1",
    ):  # red is 0.3 bright, blue 0.1: neither may have been cut off at white
        assert max(shown.getpixel((50, 150))) < 160 or mode == "1"
    else:
        assert shown.getpixel((50, 150))[0] > 190 and shown.getpixel((350, 150))[2] > 190


def test_a_photo_taken_on_its_side_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise to show
    exif[0x010F] = "SECRET-CAMERA"
    prepared = images.prepare(encoded(picture(), "JPEG", exif=exif))
    assert (prepared.width, prepared.height) == (300, 400)
    assert opened(prepared).getpixel((150, 50))[0] > 190  # what was left is on top
    assert b"SECRET-CAMERA" not in prepared.data


def test_transparency_turns_white() -> None:
    glass = Image.new("RGBA", (400, 300), (0, 0, 0, 0))
    palette = Image.new("P", (400, 300), 3)
    palette.putpalette(bytes(range(256)) * 3)
    keyed = encoded(Image.new("RGB", (400, 300), (1, 2, 3)), "PNG", transparency=(1, 2, 3))
    gray = encoded(Image.new("I;16", (400, 300), 60000), "PNG", transparency=60000)
    for data in (
        encoded(glass, "PNG"),
        encoded(glass, "WEBP"),
        encoded(palette, "PNG", transparency=3),
        keyed,
        gray,
    ):
        assert min(opened(images.prepare(data)).getpixel((200, 150))) > 225


def test_only_the_first_frame_of_a_moving_picture_goes_on() -> None:
    frames = [Image.new("RGB", (400, 300), colour) for colour in ("red", "lime", "blue")]
    for kind in ("PNG", "WEBP"):
        moving = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
        red, green, blue = opened(images.prepare(moving)).getpixel((200, 150))
        assert red > 230 and green < 30 and blue < 30


def test_a_colour_profile_is_applied_and_dropped() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for icc in (
        srgb,
        profile,
        b"not a profile at all" * 20,
    ):  # the second does not fit RGB, the third is none
        shown = opened(images.prepare(encoded(picture(), "PNG", icc_profile=icc)))
        assert "icc_profile" not in shown.info and shown.getpixel((50, 150))[0] > 190


def test_a_large_photo_shrinks_and_fits() -> None:
    noise = Image.effect_noise((3900, 3900), 120)
    prepared = images.prepare(encoded(noise, "JPEG", quality=20))
    assert (prepared.width, prepared.height) == (3840, 3840)
    assert len(prepared.data) <= images.MAX_SENT_BYTES


def test_the_limits_themselves_are_allowed() -> None:
    for size in ((300, 300), (750, 300), (300, 750), (5000, 5000)):
        assert images.prepare(encoded(Image.new("L", size), "PNG")).width in (size[0], 3840)


def test_the_same_picture_has_the_same_checksum() -> None:
    one, two = (images.prepare(encoded(picture(), "PNG")) for _ in range(2))
    assert one.sha256 == two.sha256 and len(one.sha256) == 64


# --- what is not -------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"\0" * (images.MAX_BYTES + 1), "larger than 10 MB"),
        (encoded(Image.new("RGB", (299, 400)), "PNG"), "299 × 400"),
        (encoded(Image.new("RGB", (760, 303)), "JPEG"), "2.5 times"),
        (encoded(Image.new("RGB", (303, 760)), "WEBP"), "2.5 times"),
        (encoded(Image.new("1", (5001, 5000)), "PNG"), "25 million"),
        (png_of(100_000, 100_000), "25 million"),
        (png_of(2**31 - 1, 2**31 - 1), "25 million"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='400' height='400'/>", "cannot be read"),
        (encoded(picture(), "GIF"), "JPEG, PNG or WEBP"),
        (encoded(picture(), "TIFF"), "JPEG, PNG or WEBP"),
        (encoded(picture(), "BMP"), "JPEG, PNG or WEBP"),
        (encoded(picture(), "ICO", sizes=[(256, 256)]), "cannot be read"),
        (encoded(picture(), "PDF"), "cannot be read"),
        (encoded(picture(), "JPEG")[:2000], "cannot be read"),
        (encoded(picture(), "PNG")[:-40], "cannot be read"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "cannot be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 400 400\n", "cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_refusal_says_what_is_wrong(data: bytes, says: str) -> None:
    assert says in refusal(data)


def test_a_bomb_of_20_kb_is_refused_before_it_is_decoded() -> None:
    bomb = png_of(13_000, 13_000, depth=1, colour=0, rows=b"\0" * (13_000 // 8 + 1) * 13_000)
    assert len(bomb) < 21_000
    begin = time.thread_time()
    assert "25 million" in refusal(bomb)
    assert time.thread_time() - begin < 0.5


def test_a_jpeg_of_a_thousand_scans_is_refused_before_it_is_decoded() -> None:
    whole = encoded(Image.new("RGB", (4900, 4900), (9, 80, 200)), "JPEG", progressive=True)
    scan = whole[whole.rfind(b"\xff\xda") : -2]
    begin = time.thread_time()
    assert "cannot be read" in refusal(whole[:-2] + scan * 1000 + b"\xff\xd9")
    assert time.thread_time() - begin < 0.5


def test_scans_in_a_thumbnail_or_behind_the_end_do_not_count() -> None:
    hidden = b"\xff\xda\0\x02" * 60
    exif = Image.Exif()
    exif[0x010E] = "x" * 100
    whole = encoded(picture(), "JPEG", progressive=True, exif=exif, comment=hidden)
    assert images.prepare(whole + hidden).width == 400


# --- R16 ---------------------------------------------------------------------

Hostile = Callable[[random.Random], bytes]


@functools.cache
def _noise(kind: str) -> bytes:
    return encoded(Image.frombytes("RGB", (320, 310), random.Random(SEED).randbytes(320 * 310 * 3)), kind)


def _sound(rng: random.Random) -> bytes:
    return _noise(rng.choice(["JPEG", "PNG", "WEBP"]))


def _truncated(rng: random.Random) -> bytes:
    data = _sound(rng)
    return data[: rng.randrange(1, len(data) - 64)]


def _flipped(rng: random.Random) -> bytes:
    data = bytearray(_sound(rng))
    for _ in range(rng.randrange(1, 60)):
        data[rng.randrange(min(len(data), 4000))] = rng.randrange(256)
    return bytes(data)


def _polyglot(rng: random.Random) -> bytes:
    data = _sound(rng)
    if data.startswith(b"\xff\xd8"):
        comment = b"\xff\xfe" + struct.pack(">H", len(PAYLOAD) + 2) + PAYLOAD
        return data[:2] + comment + data[2:] + PAYLOAD
    return data + PAYLOAD


def _textual(rng: random.Random) -> bytes:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", PAYLOAD.decode("latin-1"), zip=rng.random() < 0.5)
    notes.add_itxt("XML:com.adobe.xmp", PAYLOAD.decode("latin-1"))
    exif = Image.Exif()
    exif[0x0112] = rng.randrange(0, 12)
    exif[0x010E] = PAYLOAD.decode("latin-1")
    return encoded(picture(), "PNG", pnginfo=notes, exif=exif, icc_profile=PAYLOAD)


def _bomb(rng: random.Random) -> bytes:
    side = rng.choice([5_100, 16_000, 65_500, 2**31 - 1])
    depth, colour = rng.choice([(1, 0), (8, 2), (16, 6), (8, 3)])
    return png_of(side, rng.randrange(5_001, side + 1), depth=depth, colour=colour)


@functools.cache
def _text_bomb(rng: random.Random) -> bytes:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("a", "\0" * 30_000_000, zip=True)
    return encoded(picture(), "PNG", pnginfo=notes)


def _small(rng: random.Random) -> bytes:
    return encoded(
        Image.new("RGB", (rng.randrange(1, 300), rng.randrange(1, 700))), rng.choice(["PNG", "JPEG"])
    )


def _narrow(rng: random.Random) -> bytes:
    side = rng.randrange(300, 400)
    size = (side, int(side * rng.uniform(2.52, 12)))
    return encoded(Image.new("L", size if rng.random() < 0.5 else size[::-1]), "PNG")


def _foreign(rng: random.Random) -> bytes:
    return encoded(
        picture(), rng.choice(["GIF", "TIFF", "BMP", "PPM", "TGA", "PCX", "ICNS", "JPEG2000", "DDS"])
    )


def _masked(rng: random.Random) -> bytes:
    """A foreign file behind a familiar beginning."""
    head = rng.choice([b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x24\0\0\0WEBP"])
    return head + rng.choice([_foreign(rng), b"<svg/>", PAYLOAD, rng.randbytes(5000)])


def _lying_header(rng: random.Random) -> bytes:
    data = bytearray(encoded(picture(), "PNG"))
    struct.pack_into(">II", data, 16, rng.randrange(300, 4900), rng.randrange(300, 4900))
    struct.pack_into(">I", data, 29, zlib.crc32(bytes(data[12:29])))
    return bytes(data)


FAMILIES: list[Hostile] = [
    _truncated, _flipped, _flipped, _polyglot, _textual, _bomb, _text_bomb, _small, _narrow, _foreign, _masked,
    _lying_header,
]  # fmt: skip


def test_of_hostile_pictures_none_is_over_the_limits() -> None:
    print("seed", SEED)
    rng = random.Random(SEED)
    accepted, many = 0, 300 if FULL else 60
    for number in range(many):
        family = FAMILIES[number % len(FAMILIES)]
        data = family(rng)
        try:
            prepared = images.prepare(data)
        except InvalidValue as refused:
            assert refused.param == "images" and str(refused)
            assert family not in (_polyglot,), f"{number}: a sound picture was refused"
            continue
        accepted += 1
        assert family not in (_truncated, _bomb, _small, _narrow, _foreign, _masked), (
            f"{number}: {family.__name__}"
        )
        shown = opened(prepared)
        width, height = shown.size
        assert shown.size == (prepared.width, prepared.height)
        assert min(width, height) >= 300 and max(width, height) <= 2.5 * min(width, height)
        assert width * height <= images.MAX_PIXELS and len(prepared.data) <= images.MAX_SENT_BYTES
        assert b"MARKER-7f3a" not in prepared.data and b"<script" not in prepared.data
        assert "icc_profile" not in shown.info and not shown.getexif()
    assert accepted >= many // 6  # polyglots, notes and some flips hold real pictures: cleaned, not refused


# --- how a picture may arrive -------------------------------------------------


def test_base64_and_data_uris_are_the_same_bytes() -> None:
    data = encoded(picture(), "PNG")
    text = base64.b64encode(data).decode()
    spellings = (
        "",
        "data:image/png;base64,",
        "DATA:image/jpeg;Base64,",
        "data:;base64,",
        "data:image/png;a=b;base64,",
    )
    assert {images.decode(prefix + text) for prefix in spellings} == {data}


@pytest.mark.parametrize(
    "value",
    [
        "", "hello world", "AAA", "AAAA=", "AA=A", "AAAA\nAAAA", " AAAA", "AAAA ", "_-8=", "ＡＡＡＡ", "AAAA\ud800",
        "\0", "data:image/png,AAAA", "data:image/png;base64", "data:text/html;base64,<b>", "ftp://a.b/c.png", "====",
    ],
)  # fmt: skip
def test_crooked_base64_is_refused(value: str) -> None:
    if value == "":
        assert images.decode(value) == b""  # prepare() says that it is empty
        return
    with pytest.raises(InvalidValue) as refused:
        images.decode(value, param="image")
    assert refused.value.param == "image" and "base64" in str(refused.value)


def test_too_much_base64_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(InvalidValue, match="10 MB"):
        images.decode("A" * (images.MAX_BYTES * 4 // 3 + 8))


@pytest.mark.parametrize(
    "value", ["http://example.com/a.jpg", "HTTPS://example.com:8443/a?b=%20", "https://bücher.example/ü"]
)
def test_an_address_of_good_form_passes_unfetched(value: str) -> None:
    assert images.is_url(value)
    images.check_image_url(value)


@pytest.mark.parametrize(
    "value",
    [
        "https://", "https:///a.jpg", "http://user@example.com/a", "http://user:pw@example.com/a", "http://:@example.com/",
        "http://127.0.0.1\\@example.com/", "https://example.com/a b", "https://example.com/\n", "https://exa\0mple.com/",
        "https://example.com/\u202egpj.a", "https://example.com/\ud800", "https://example.com:99999/", "https://[::1/",
        "https://example.com:0/", "https://example.com/" + "a" * 2048, "https://\uff11\uff12\uff17.0.0.1/",
        "ftp://example.com/", "javascript:alert(1)", "//example.com/", "example.com/a.jpg", "file:///etc/passwd", "",
    ],
)  # fmt: skip
def test_an_address_of_bad_form_is_refused(value: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        images.check_image_url(value)
    assert refused.value.param == "images" and str(refused.value).endswith(".")


def test_pictures_and_addresses_are_told_apart() -> None:
    assert not any(
        map(images.is_url, ["", "AAAA", "data:image/png;base64,AAAA", "ftp://x/", "httpx", "https:/x"])
    )
