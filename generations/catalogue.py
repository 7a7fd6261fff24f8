"""What can be asked for, and what it costs: one value that drives form, API, price and documents.

``BUILT_IN`` are Kling's rules per model (its public API pages), until an admin publishes others: the services
tell which rules are in force. All functions here are pure. 1 credit is a tenth of a unit of Kling's price
list, so 720p costs 3 credits a second, 1080p 5, and 1080p with sound 10.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from kling_platform.errors import InvalidValue
from kling_platform.text import check_text, read_json


@dataclass(frozen=True)
class Mode:
    """One quality of a model. ``per_second`` and ``per_second_sound`` are credits; None: no sound."""

    name: str
    resolution: str
    per_second: int
    last_frame: bool = False
    per_second_sound: int | None = None


@dataclass(frozen=True)
class Model:
    """One model; its modes are ordered from cheap to dear, and the cheapest that fits is taken.

    One that is switched off is offered nowhere and refused, and still names what was made with it. ``teams`` are
    ids: their people alone may ask for it; none: everybody.
    """

    name: str
    label: str
    modes: tuple[Mode, ...]
    seconds: tuple[int, ...] = (5, 10)
    sizes: tuple[str, ...] = ("16:9", "1:1", "9:16")
    enabled: bool = True
    teams: tuple[int, ...] = ()

    @property
    def last_frame(self) -> bool:
        return any(mode.last_frame for mode in self.modes)


@dataclass(frozen=True)
class Rules:
    """The whole catalogue. ``version`` is frozen on each generation beside its price."""

    version: str
    models: tuple[Model, ...]
    prompt_characters: int = 2_500
    images: int = 2
    # Upstream merges metadata over the request *after* pricing, so an unknown key may cost money.
    metadata_keys: tuple[str, ...] = (
        "negative_prompt",
        "cfg_scale",
        "camera_control",
        "image_tail",
        "mode",
        "sound",
        "watermark_info",
    )

    def model(self, name: str) -> Model | None:
        """The model of this name, switched on or off."""
        return next((model for model in self.models if model.name == name), None)

    @property
    def offered(self) -> tuple[Model, ...]:
        """The models that may be asked for."""
        return tuple(model for model in self.models if model.enabled)

    def with_last_frame(self) -> list[str]:
        """Who can end on a picture, in the words of the wire: a model, or a model and its mode."""
        return self._able(lambda mode: mode.last_frame)

    def with_sound(self) -> list[str]:
        """Who makes sound, in the same words."""
        return self._able(lambda mode: mode.per_second_sound is not None)

    def _able(self, can: Callable[[Mode], bool]) -> list[str]:
        return [
            model.name if all(map(can, model.modes)) else f"{model.name} ({mode.name})"
            for model in self.offered
            for mode in model.modes
            if can(mode)
        ]


BUILT_IN = Rules(
    version="2026-11",
    models=(
        Model("kling-v2-5-turbo-std", "Kling 2.5 Turbo Standard", (Mode("std", "720p", 3),)),
        Model("kling-v2-5-turbo-pro", "Kling 2.5 Turbo Pro", (Mode("pro", "1080p", 5, last_frame=True),)),
        Model(
            "kling-v2-6",
            "Kling 2.6",
            (
                Mode("std", "720p", 3),
                Mode("pro", "1080p", 5, last_frame=True, per_second_sound=10),
            ),
        ),
    ),
)


@dataclass(frozen=True)
class Recipe:
    """A request that the rules allow, every default filled in. ``images`` are URLs, base64 texts or bytes."""

    model: str
    prompt: str
    seconds: int
    size: str
    mode: str
    sound: bool
    images: tuple[str | bytes, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)


FIELDS = ("model", "prompt", "duration", "size", "images", "image", "metadata")


def validate(request: Mapping[str, Any], rules: Rules) -> Recipe:
    """The recipe that a request of the gateway's wire stands for.

    Raises ``InvalidValue`` whose ``param`` names the field and whose message names the way out.
    Pictures are counted and typed here; their bytes are looked at by ``images``.
    """
    for name in request:
        if name not in FIELDS:
            raise InvalidValue(
                _("There is no field “%(name)s”. Fields: %(known)s.")
                % {"name": str(name)[:60], "known": ", ".join(FIELDS)},
                param=str(name)[:60],
            )
    model = _model(request.get("model"), rules)
    metadata = _metadata(request.get("metadata"), rules)
    prompt = _prompt(request.get("prompt"), rules)
    seconds = _seconds(request.get("duration"), model)
    size = _size(request.get("size"), model)
    images = _images(request, metadata, rules)
    sound = _sound(metadata.pop("sound", None))
    mode = _mode(metadata.pop("mode", None), model, rules, last_frame=len(images) > 1, sound=sound)
    return Recipe(
        model=model.name,
        prompt=prompt,
        seconds=seconds,
        size=size,
        mode=mode.name,
        sound=sound,
        images=images,
        metadata=metadata,
    )


def credits_for(model: str, mode: str, *, seconds: int, sound: bool, rules: Rules) -> int:
    """Price in whole credits. ``KeyError`` for a model or mode that the rules do not offer."""
    found = rules.model(model)
    chosen = next((m for m in found.modes if m.name == mode), None) if found and found.enabled else None
    if chosen is None:
        raise KeyError(f"{model}/{mode}")
    per_second = chosen.per_second_sound if sound else chosen.per_second
    if per_second is None:
        raise KeyError(f"{model}/{mode} with sound")
    return per_second * seconds


def price(recipe: Recipe, rules: Rules) -> int:
    """Price of a recipe in whole credits."""
    return credits_for(recipe.model, recipe.mode, seconds=recipe.seconds, sound=recipe.sound, rules=rules)


def pixels(resolution: str, size: str) -> tuple[int, int] | None:
    """Width and height that a quality (720p) and a ratio come to: as many pixels in any ratio as in 16:9.

    None for a quality whose name does not say it.
    """
    if not re.fullmatch(r"[1-9][0-9]{2,3}p", resolution):
        return None
    across, down = (int(part) for part in size.split(":"))
    height = int(resolution.removesuffix("p"))
    area = height * height * 16 / 9
    width = math.sqrt(area * across / down)
    return round(width / 2) * 2, round(width * down / across / 2) * 2


def offer(rules: Rules) -> dict[str, Any]:
    """What may be asked for, as plain data: for the composer and for ``GET /v1/models``."""
    return {
        "version": rules.version,
        "prompt_characters": rules.prompt_characters,
        "images": rules.images,
        "models": [
            {
                "name": model.name,
                "label": model.label,
                "seconds": list(model.seconds),
                "sizes": list(model.sizes),
                "modes": [
                    {
                        "name": mode.name,
                        "resolution": mode.resolution,
                        "last_frame": mode.last_frame,
                        "sound": mode.per_second_sound is not None,
                        "credits_per_second": mode.per_second,
                        "credits_per_second_with_sound": mode.per_second_sound,
                    }
                    for mode in model.modes
                ],
            }
            for model in rules.offered
        ],
    }


def _model(value: Any, rules: Rules) -> Model:
    known = {"known": ", ".join(model.name for model in rules.offered)}
    model = rules.model(value) if isinstance(value, str) else None
    if model is None:
        raise InvalidValue(_("Choose one of these models: %(known)s.") % known, param="model")
    if not model.enabled:
        text = _("%(model)s is switched off here. Choose one of these models: %(known)s.")
        raise InvalidValue(text % {"model": model.name, **known}, param="model")
    return model


def _prompt(value: Any, rules: Rules) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidValue(_("Describe the video in words: the prompt is empty."), param="prompt")
    check_text(value, param="prompt")
    if len(value) > rules.prompt_characters:
        raise InvalidValue(
            _("The prompt has %(length)d characters; %(most)d is the most.")
            % {"length": len(value), "most": rules.prompt_characters},
            param="prompt",
        )
    return value


def _seconds(value: Any, model: Model) -> int:
    if value is None:
        return model.seconds[0]
    number = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}", value) else value
    if isinstance(number, bool) or not isinstance(number, int) or number not in model.seconds:
        raise InvalidValue(
            _("%(model)s makes videos of %(seconds)s seconds.")
            % {"model": model.name, "seconds": _or(model.seconds)},
            param="duration",
        )
    return number


def _size(value: Any, model: Model) -> str:
    if value is None:
        return model.sizes[0]
    if isinstance(value, str):
        if value in model.sizes:
            return value
        pixels = re.fullmatch(r"([1-9][0-9]{1,4})[xX*]([1-9][0-9]{1,4})", value)
        for size in model.sizes if pixels else ():
            across, down = (int(part) for part in size.split(":"))
            if pixels and int(pixels[1]) * down == int(pixels[2]) * across:
                return size
    raise InvalidValue(
        _("A size is %(sizes)s, or pixels of such a ratio, 1280x720 for example.")
        % {"sizes": _or(model.sizes)},
        param="size",
    )


def _metadata(value: Any, rules: Rules) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, str):
        value = read_json(value, param="metadata") if value.strip() else {}
    if not isinstance(value, dict):
        raise InvalidValue(_("metadata is a JSON object, or a string that holds one."), param="metadata")
    for key, item in value.items():
        if key not in rules.metadata_keys:
            raise InvalidValue(
                _("metadata may not set “%(key)s”. Allowed: %(known)s.")
                % {"key": key[:60], "known": ", ".join(rules.metadata_keys)},
                param=f"metadata.{key[:60]}",
            )
        _check_metadata_item(key, item, rules)
    return dict(value)


def _check_metadata_item(key: str, item: Any, rules: Rules) -> None:
    fits = {
        "negative_prompt": lambda: isinstance(item, str) and len(item) <= rules.prompt_characters,
        "cfg_scale": lambda: isinstance(item, int | float) and not isinstance(item, bool) and 0 <= item <= 1,
        "camera_control": lambda: isinstance(item, dict) and len(str(item)) <= 2_000,
        "watermark_info": lambda: isinstance(item, dict) and len(str(item)) <= 2_000,
        "image_tail": lambda: isinstance(item, str),
        "mode": lambda: isinstance(item, str),
        "sound": lambda: item in ("on", "off"),
    }
    if key in fits and not fits[key]():
        expected = {
            "negative_prompt": _("a text of up to %(most)d characters") % {"most": rules.prompt_characters},
            "cfg_scale": _("a number from 0 to 1"),
            "sound": _("“on” or “off”"),
            "mode": _("“std” or “pro”"),
            "image_tail": _("a picture's URL or base64"),
        }.get(key, _("a small JSON object"))
        raise InvalidValue(
            _("metadata.%(key)s is %(expected)s.") % {"key": key, "expected": expected},
            param=f"metadata.{key}",
        )
    if isinstance(item, str):
        check_text(item, param=f"metadata.{key}")


def _images(request: Mapping[str, Any], metadata: dict[str, Any], rules: Rules) -> tuple[str | bytes, ...]:
    """First and last frame, from ``images``, ``image`` (the first) and ``metadata.image_tail`` (the second)."""
    images = request.get("images")
    if images is None:
        images = []
    if not isinstance(images, list | tuple) or not all(isinstance(i, str | bytes) and i for i in images):
        raise InvalidValue(_("images is a list of URLs or base64 texts."), param="images")
    images = list(images)
    first, tail = request.get("image"), metadata.pop("image_tail", None)
    if first is not None:
        if not isinstance(first, str | bytes) or not first:
            raise InvalidValue(_("image is a URL or a base64 text."), param="image")
        if images and images[0] != first:
            raise InvalidValue(_("image and images name different first frames: send one."), param="image")
        images = images or [first]
    if tail:
        if not images:
            raise InvalidValue(
                _("A last frame needs a first one: send it in images."), param="metadata.image_tail"
            )
        if len(images) > 1 and images[1] != tail:
            raise InvalidValue(
                _("images and metadata.image_tail name different last frames: send one."),
                param="metadata.image_tail",
            )
        images = [images[0], tail, *images[2:]]
    if len(images) > rules.images:
        raise InvalidValue(
            _("Send at most %(most)d pictures: the first frame and the last.") % {"most": rules.images},
            param="images",
        )
    for image in images:
        if isinstance(image, str):
            check_text(image, param="images")
    return tuple(images)


def _sound(value: Any) -> bool:
    return value == "on"


def _mode(name: Any, model: Model, rules: Rules, *, last_frame: bool, sound: bool) -> Mode:
    """The mode that was named, else the cheapest that allows what was asked for."""
    if name is not None and name not in [mode.name for mode in model.modes]:
        raise InvalidValue(
            _("%(model)s has the mode %(modes)s.")
            % {"model": model.name, "modes": _or([mode.name for mode in model.modes])},
            param="metadata.mode",
        )
    candidates = [mode for mode in model.modes if name in (None, mode.name)]
    if sound:
        candidates = [mode for mode in candidates if mode.per_second_sound is not None]
        if not candidates:
            raise InvalidValue(
                _("Sound needs %(able)s. Switch to it, or turn sound off.")
                % {"able": _or(rules.with_sound())},
                param="metadata.sound",
            )
    if last_frame:
        if sound:
            raise InvalidValue(
                _("A last frame and sound do not go together. Remove one of them."), param="metadata.sound"
            )
        candidates = [mode for mode in candidates if mode.last_frame]
        if not candidates:
            raise InvalidValue(
                _("A last frame needs %(able)s. Switch to it, or send one picture only.")
                % {"able": _or(rules.with_last_frame())},
                param="images",
            )
    return candidates[0]


def _or(values: Iterable[object]) -> str:
    *most, last = [str(value) for value in values] or [_("nothing that is offered here")]
    return _("%(most)s or %(last)s") % {"most": ", ".join(most), "last": last} if most else last
