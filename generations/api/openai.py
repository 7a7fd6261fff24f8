"""OpenAI's Videos shape, to and from our own words: what its SDKs send, and every key that they read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from generations import catalogue, public, services
from generations.models import Generation, Status
from kling_platform.errors import InvalidValue, PlatformError

COLUMNS = (*public.COLUMNS, "prompt", "mode", "price_version", "next_check_at")
PIXELS = ("video__width", "video__height")
OURS = ("team", "visibility", "tags")  # of the platform, as on the gateway's wire
FIELDS = ("model", "prompt", "seconds", "size", "input_reference", "images", "metadata", *OURS)

QUEUED, IN_PROGRESS, COMPLETED, FAILED = "queued", "in_progress", "completed", "failed"


def status_of(generation: Generation) -> str:
    """Its state in one of the four words of OpenAI's clients."""
    if generation.status == Status.QUEUED:
        return QUEUED
    return {public.SUCCEEDED: COMPLETED, public.FAILED: FAILED}.get(
        public.outward(generation.status), IN_PROGRESS
    )


def as_openai(generation: Generation) -> dict[str, Any]:
    """One generation with all the keys of the SDK's ``Video``, null where there is nothing to say."""
    status, end = status_of(generation), generation.finished_at
    return {
        "id": str(generation.pk),
        "object": "video",
        "model": generation.model,
        "status": status,
        "progress": public.progress_of(generation),
        "created_at": int(generation.created_at.timestamp()),
        "completed_at": int(end.timestamp()) if end and status == COMPLETED else None,
        "expires_at": None,
        "prompt": generation.prompt,
        "seconds": str(generation.seconds),
        "size": _pixels(generation),
        "remixed_from_video_id": None,
        "error": public.error_of(generation) if status == FAILED else None,
    }


def _pixels(generation: Generation) -> str:
    """Of the real film once it is there; until then what its quality and ratio come to."""
    if generation.status == Status.SUCCEEDED:
        return f"{generation.video.width}x{generation.video.height}"
    model = services.rules_of(generation.price_version).model(generation.model)
    mode = next((mode for mode in model.modes if mode.name == generation.mode), None) if model else None
    sides = catalogue.pixels(mode.resolution, generation.size) if mode else None
    return f"{sides[0]}x{sides[1]}" if sides else generation.size


def poll_after(seconds: float) -> dict[str, str]:
    """When the SDK's ``poll()`` should ask again; without it, it asks every second."""
    return {"OpenAI-Poll-After-Ms": str(round(seconds * 1000))}


# --- requests -------------------------------------------------------------------


def to_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """The same request in the fields of our own wire; ``InvalidValue`` where a field cannot be one of them."""
    for name in body:
        if name not in FIELDS:
            raise InvalidValue(
                _("There is no field “%(name)s”. Fields: %(known)s.")
                % {"name": str(name)[:60], "known": ", ".join(FIELDS)},
                param=str(name)[:60],
            )
    request = dict(body)
    if "seconds" in request:
        request["duration"] = request.pop("seconds")
    if "input_reference" in request:
        if "images" in request:
            raise InvalidValue(
                _("input_reference and images both name the first frame: send one."), param="input_reference"
            )
        request["images"] = [_reference(request.pop("input_reference"))]
    if isinstance(request.get("metadata"), dict):
        request["metadata"] = _numbers(request["metadata"])
    return request


def _reference(value: Any) -> str | bytes:
    """A file, or an object that names a picture by its address; the address alone does, too."""
    if isinstance(value, dict) and set(value) == {"image_url"}:
        value = value["image_url"]
    if isinstance(value, str | bytes) and value:
        return value
    raise InvalidValue(
        _(
            "input_reference is a picture: a file, or {“image_url”: …} with an http(s) address or a data URI. "
            "Nothing is kept under a file_id here."
        ),
        param="input_reference",
    )


def _numbers(metadata: dict[str, Any]) -> dict[str, Any]:
    """A form has texts only; the one number among the options is read as such."""
    scale = metadata.get("cfg_scale")
    if isinstance(scale, str) and re.fullmatch(r"[01](\.[0-9]{1,6})?", scale):
        return metadata | {"cfg_scale": float(scale)}
    return metadata


def named_as_sent(refusal: PlatformError, body: Mapping[str, Any]) -> PlatformError:
    """The same refusal; it names the field as this caller has called it."""
    if refusal.param == "duration" and "seconds" in body:
        refusal.param = "seconds"
    elif refusal.param == "images" and "input_reference" in body:
        refusal.param = "input_reference"
    return refusal
