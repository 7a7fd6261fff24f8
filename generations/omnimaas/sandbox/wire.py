"""The wire, without the network: what a request must be, and what the answers look like.

The document of the gateway says what is required; the limits of the Kling models behind it (pictures per model,
modes, sound) are refused as Kling refuses them, so that a client which forgets them is found out here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NoReturn

from .pictures import BadPicture, Picture, read

Json = dict[str, Any]
MODELS = ("kling-v2-5-turbo-std", "kling-v2-5-turbo-pro", "kling-v2-6")
RATIOS = ("16:9", "1:1", "9:16")
DURATIONS = (5, 10)
MOST_PROMPT = 2500
# The gateway lays metadata over the request after it was priced, so these really change what is made.
_OVERRIDES = ("model", "prompt", "duration", "images", "image")
_PICTURES = ("images", "image", "image_tail")


@dataclass(eq=False)
class Refusal(Exception):
    """A refusal as the gateway words it: ``{"error": {message, type, code}}``."""

    status: int
    code: str | int
    message: str
    type: str = "invalid_request_error"

    @property
    def body(self) -> Json:
        """The body to answer with."""
        return {"error": {"message": self.message, "type": self.type, "code": self.code}}


@dataclass(frozen=True)
class Order:
    """A request that was found right."""

    model: str
    mode: str
    prompt: str
    seconds: int
    ratio: str
    sound: bool = False
    pictures: tuple[Picture, ...] = ()
    negative_prompt: str = ""
    metadata: Json = field(default_factory=dict)


def refuse(message: str, code: str | int = "invalid_request") -> NoReturn:
    """Raise the 400 that says ``message``."""
    raise Refusal(400, code, message)


def parse(body: bytes) -> Json:
    """Read the body of a request: one JSON object. Raises :class:`Refusal`."""
    request = _loaded("The body", body)
    if not isinstance(request, dict):
        refuse("The body must be a JSON object.")
    return request


def metadata_of(request: Json) -> Json:
    """Return ``metadata`` as an object, whether it came as one or as a JSON string of one."""
    metadata = request.get("metadata")
    if metadata is None or metadata == "":
        return {}
    if isinstance(metadata, str):
        metadata = _loaded("metadata", metadata.encode("utf-8", "replace"))
    if not isinstance(metadata, dict):
        refuse("metadata must be a JSON object, or a string that holds one.")
    return metadata


def _loaded(name: str, text: bytes) -> Any:
    def constant(word: str) -> NoReturn:
        raise ValueError(f"{word} is not JSON")

    try:
        return json.loads(text.decode("utf-8"), parse_constant=constant)
    except (ValueError, RecursionError):
        refuse(f"{name} is not valid JSON.")


def checked(request: Json) -> Order:
    """Check a request against the document and Kling's own rules. Raises :class:`Refusal`."""
    metadata = metadata_of(request)
    request = request | {key: metadata[key] for key in _OVERRIDES if key in metadata}
    model = _one_of("model", request.get("model"), MODELS)
    prompt = _text("prompt", request.get("prompt"), required=True)
    seconds = request.get("duration", 5)
    if type(seconds) is not int or seconds not in DURATIONS:
        refuse("duration must be the integer 5 or 10.")
    ratio = _one_of("size", request.get("size", "16:9"), RATIOS)
    if "aspect_ratio" in metadata:
        ratio = _one_of("metadata.aspect_ratio", metadata["aspect_ratio"], RATIOS)
    pictures = _pictures(request, metadata)
    sound = _one_of("metadata.sound", metadata.get("sound", "off"), ("on", "off")) == "on"
    mode = _mode(model, metadata, last_frame=len(pictures) == 2, sound=sound)
    return Order(
        model=model,
        mode=mode,
        prompt=prompt,
        seconds=seconds,
        ratio=ratio,
        sound=sound,
        pictures=pictures,
        negative_prompt=_text("metadata.negative_prompt", metadata.get("negative_prompt", "")),
        metadata=_noted(metadata),
    )


def _noted(metadata: Json) -> Json:
    """What is worth remembering of metadata: no pictures, nothing endless."""
    return {
        key: value
        for key, value in list(metadata.items())[:40]
        if key not in _PICTURES and len(key) <= 80 and len(str(value)) <= MOST_PROMPT
    }


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        refuse(f"{name} must be one of {', '.join(choices)}.")
    return value


def _text(name: str, value: object, *, required: bool = False) -> str:
    if not isinstance(value, str) or (required and not value.strip()):
        refuse(f"{name} is required and must be text." if required else f"{name} must be text.")
    if len(value) > MOST_PROMPT:
        refuse(f"{name} is longer than {MOST_PROMPT} characters.")
    if any("\ud800" <= char <= "\udfff" for char in value):
        refuse(f"{name} holds half of a surrogate pair.")
    return value


def _pictures(request: Json, metadata: Json) -> tuple[Picture, ...]:
    """First and last frame: ``images``, else ``image``; ``metadata.image_tail`` is the last one too."""
    sent = request.get("images")
    if sent is not None and not isinstance(sent, list):
        refuse("images must be a list.")
    entries = list(sent or ([request["image"]] if request.get("image") else []))
    if tail := metadata.get("image_tail"):
        if not entries:
            refuse("metadata.image_tail needs a first picture.", 1201)
        entries = [entries[0], tail]
    if len(entries) > 2:
        refuse("images takes one or two pictures.")
    pictures = []
    for number, entry in enumerate(entries):
        try:
            pictures.append(read(entry))
        except BadPicture as problem:
            refuse(f"images[{number}] {problem}.", 1201)
    return tuple(pictures)


def _mode(model: str, metadata: Json, *, last_frame: bool, sound: bool) -> str:
    """Return std or pro, or refuse a combination that the model does not have (Kling's code 1201)."""
    named = model.rsplit("-", 1)[-1]
    mode = metadata.get("mode") or (named if named in ("std", "pro") else "std")
    _one_of("metadata.mode", mode, ("std", "pro"))
    if named in ("std", "pro") and mode != named:
        refuse(f"{model} has no mode {mode}.", 1201)
    if last_frame and (mode != "pro" or sound):
        refuse("A last frame needs mode pro without sound.", 1201)
    if sound and (model != "kling-v2-6" or mode != "pro"):
        refuse("Sound needs kling-v2-6 in mode pro.", 1201)
    return str(mode)


@dataclass(frozen=True)
class Standing:
    """How a generation stands at this moment, before it is put into one of the shapes below."""

    id: str
    model: str
    created_at: int
    status: str  # processing, succeeded, failed
    progress: int
    url: str = ""
    reason: str = ""


def document(now: Standing) -> Json:
    """The shape of the gateway's document; ``error`` on failure is the family's."""
    body: Json = {
        "id": now.id,
        "object": "video",
        "model": now.model,
        "created_at": now.created_at,
        "status": now.status,
        "progress": now.progress,
    }
    if now.url:
        body["url"] = now.url
    if now.status == "failed":
        body["error"] = {"message": now.reason, "code": "task_failed"}
    return body


def envelope(now: Standing, *, url_in_reason: bool = False) -> Json:
    """The family's envelope; builds of old put the URL into ``fail_reason`` (``url_in_reason``)."""
    word = {"processing": "IN_PROGRESS", "succeeded": "SUCCESS", "failed": "FAILURE"}[now.status]
    data: Json = {
        "task_id": now.id,
        "action": "generate",
        "status": word,
        "progress": f"{now.progress}%",
        "fail_reason": now.url if url_in_reason and now.url else now.reason,
        "submit_time": now.created_at,
        "quota": 150_000,
    }
    if now.url and not url_in_reason:
        data["result_url"] = now.url
    return {"code": "success", "message": "", "data": data}


def simple(now: Standing) -> Json:
    """The simple envelope that the gateway documents for another family of models."""
    error = {"message": now.reason} if now.reason else None
    data = {
        "task_id": now.id,
        "status": now.status,
        "url": now.url,
        "format": "mp4",
        "error": error,
        "metadata": None,
    }
    return {"code": "success", "data": data}


def unknown_task() -> Json:
    """The body of the 400 (not 404) about an id that is not there."""
    return {"code": "task_not_exist", "message": "task_not_exist", "data": None}
