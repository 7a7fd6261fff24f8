"""Generations as people read them: shapes, clocks, sentences. No rules here, only words."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction
from typing import NamedTuple

from django import template
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from generations import public, services
from generations.library import Wish
from generations.models import Event, Generation, Status, Video

register = template.Library()
register.filter("reason", public.reason_of)

# The shapes that the style sheet has classes for: the page's policy allows no inline style.
SHAPES = {
    "16x9": Fraction(16, 9),
    "4x3": Fraction(4, 3),
    "1x1": Fraction(1),
    "3x4": Fraction(3, 4),
    "9x16": Fraction(9, 16),
}


def video_of(generation: Generation) -> Video | None:
    """The stored video, or None: a missing one-to-one raises, and templates should not have to know."""
    return getattr(generation, "video", None)


@register.simple_tag
def sending_paused() -> services.Pause | None:
    """Why nothing is sent at the moment, for the banner of every page."""
    return services.sending_paused()


@register.filter
def shape(generation: Generation) -> str:
    """The class name of the nearest shape: the real file's, else the first picture's, else the wanted ratio's."""
    video = video_of(generation)
    if video:
        return _nearest(video.width, video.height)
    width, height = _first_frame(generation)
    if width and height:
        return _nearest(width, height)
    across, _colon, down = generation.size.partition(":")
    return _nearest(int(across), int(down)) if across.isdigit() and down.isdigit() else "16x9"


def _first_frame(generation: Generation) -> tuple[int | None, int | None]:
    """Its sides; a card brings them along, so that a page of cards asks once."""
    if hasattr(generation, "first_width"):
        return generation.first_width, generation.first_height  # type: ignore[attr-defined]
    sides = [(image.width, image.height) for image in generation.images.all() if image.position == 0]
    return sides[0] if sides else (None, None)


def _nearest(width: int, height: int) -> str:
    ratio = Fraction(width, height)
    # Nearest by factor, not by difference: 2:1 and 1:2 are equally far from a square.
    return min(SHAPES, key=lambda name: max(ratio / SHAPES[name], SHAPES[name] / ratio))


@register.filter
def on_from(wish: Wish, generation: Generation) -> str:
    """The query of the address where the library goes on after this one."""
    address = wish.address()
    return f"{address}{'&' if address else '?'}after={generation.pk}"


@register.filter
def clock(seconds: float) -> str:
    """“0:05”, “12:40”, “1:02:03”."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@register.filter
def age(moment: datetime) -> int:
    """Whole seconds since then."""
    return max(0, int((timezone.now() - moment).total_seconds()))


@register.filter
def ago(moment: datetime) -> str:
    """“3 hours ago” in one unit: in a grid nobody needs the minutes, too."""
    if timezone.now() - moment < timedelta(minutes=1):
        return _("just now")
    return _("%(time)s ago") % {"time": timesince(moment, depth=1)}


@register.filter
def label(name: str) -> str:
    """A model's name for people; its wire name where the catalogue no longer has it."""
    model = services.current_rules().model(name)
    return model.label if model else name


@register.filter
def resolution(generation: Generation) -> str:
    """“720p”, from the model and mode; the mode's own word where the catalogue no longer has it."""
    model = services.rules_of(generation.price_version).model(generation.model)
    found = [mode.resolution for mode in model.modes if mode.name == generation.mode] if model else []
    return found[0] if found else generation.mode


@register.filter
def waiting(generation: Generation) -> str:
    """What is going on with an open generation, in one sentence."""
    if generation.status == Status.UNKNOWN:
        return _in_doubt(generation)
    if generation.is_delayed:
        return _("This takes longer than usual. Nothing is lost, and we keep watching.")
    if generation.status == Status.STORING:
        return _("Made. Copying the file into our own storage.")
    if generation.status == Status.SUBMITTING:
        return _("On its way to the gateway.")
    found = services.forecast(generation)
    return _queued(found) if generation.status == Status.QUEUED else _running(found)


def _queued(found: services.Forecast) -> str:
    if found.position is None:
        return _("It starts as soon as a slot is free.")
    place = (
        _("Next in the queue")
        if found.position == 1
        else _("Number %(position)d in the queue") % {"position": found.position}
    )
    if found.paused:
        return _("%(place)s · sending is paused") % {"place": place}
    if found.at_most is None:
        return place
    return _("%(place)s · ready in %(time)s, usually") % {"place": place, "time": _span(found)}


def _running(found: services.Forecast) -> str:
    if found.at_most is None:
        return _("Most are ready within one to three minutes.")
    if found.at_most == 0:
        return _("This takes a little longer than most.")
    return _("Ready in %(time)s, usually.") % {"time": _span(found)}


@register.filter
def soon(found: services.Forecast) -> str:
    """How long it takes from now; empty before enough of the kind were made."""
    return _span(found) if found.at_most else ""


def _span(found: services.Forecast) -> str:
    """“30 to 50 seconds”, “1 to 2 minutes”, “about 3 minutes”: no more exact than our past is."""
    low, high = found.likely or 0, found.at_most or 0
    if high < 60:
        low, high = -(-low // 10) * 10, -(-high // 10) * 10
        if low in (0, high):
            return ngettext("%(most)d second", "%(most)d seconds", high) % {"most": high}
        return _("%(least)d to %(most)d seconds") % {"least": low, "most": high}
    low, high = max(1, round(low / 60)), -(-high // 60)
    if low >= high:
        return ngettext("%(most)d minute", "%(most)d minutes", high) % {"most": high}
    return _("%(least)d to %(most)d minutes") % {"least": low, "most": high}


def _in_doubt(generation: Generation) -> str:
    if generation.upstream_id:
        return _("The gateway gave no clear answer. We keep asking; your credits are held, not spent.")
    # Without an id there is nobody to ask, and time decides: see ``dispatch.DOUBT_WITHOUT_ID``.
    return _(
        "We can't tell whether the gateway took it, so it is not sent again. An admin can settle that; "
        "else your credits come back within 3 days."
    )


class Until(NamedTuple):
    """When it is deleted by itself, and whether that is near."""

    at: datetime
    is_soon: bool


@register.filter
def kept_until(generation: Generation) -> Until | None:
    """None where videos are kept for ever."""
    at = services.kept_until(generation)
    return Until(at, at - timezone.now() < services.NOTICE) if at else None


@register.filter
def sentence(event: Event) -> str:
    """One step of the history in plain words."""
    step = (event.from_status, event.to_status)
    words: dict[tuple[str, str], str] = {
        ("", Status.QUEUED): _("Created, and its price held"),
        (Status.QUEUED, Status.SUBMITTING): _("Sent to the gateway"),
        (Status.SUBMITTING, Status.QUEUED): _("Not taken this time; back in the queue"),
        (Status.SUBMITTING, Status.RUNNING): _("The gateway took it and is making it"),
        (Status.SUBMITTING, Status.FAILED): _("The gateway refused it"),
        (Status.SUBMITTING, Status.UNKNOWN): _("No clear answer from the gateway"),
        (Status.RUNNING, Status.STORING): _("Made, and charged"),
        (Status.RUNNING, Status.FAILED): _("The gateway could not make it"),
        (Status.RUNNING, Status.UNKNOWN): _("No answer for a long time; we keep asking"),
        (Status.UNKNOWN, Status.RUNNING): _("Found again: the gateway is making it"),
        (Status.UNKNOWN, Status.STORING): _("Found again, made, and charged"),
        (Status.UNKNOWN, Status.FAILED): _("Given up; the credits came back"),
        (Status.STORING, Status.SUCCEEDED): _("Stored and ready"),
        (Status.STORING, Status.FAILED): _("The finished file could not be fetched; refunded"),
        (Status.QUEUED, Status.CANCELED): _("Canceled before it was sent"),
        (Status.QUEUED, Status.UNKNOWN): _("Set aside after a restore: it may have been sent before"),
        (Status.QUEUED, Status.FAILED): _("Waited for a day without being sent"),
    }
    return words.get(step, Status(event.to_status).label.capitalize())


@register.filter
def mismatch(generation: Generation) -> str:
    """What differs between the wish and the real file, as a sentence; empty where nothing does."""
    video = video_of(generation)
    if video is None:
        return ""
    found = []
    if not generation.images.all() and _nearest(video.width, video.height) != generation.size.replace(
        ":", "x"
    ):
        found.append(
            _("you asked for %(size)s, the file is %(width)d × %(height)d")
            % {"size": generation.size, "width": video.width, "height": video.height}
        )
    if abs(video.seconds - generation.seconds) > 0.6:
        found.append(
            _("you asked for %(wanted)d seconds, the file has %(real).1f")
            % {"wanted": generation.seconds, "real": video.seconds}
        )
    if generation.sound and not video.has_audio:
        found.append(_("you asked for sound, the file is silent"))
    return "; ".join(found)
