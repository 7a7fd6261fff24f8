"""The composer's form: it reads what was typed into a request of the wire. The rules are the catalogue's."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from generations import catalogue
from generations.models import Derivation
from kling_platform.errors import PlatformError

# By position: the first and the last picture of a video.
FRAMES = ("first", "last")

# Fields of the wire, as a refusal names them, and where the form shows it.
SHOWN_AT = {
    "duration": "seconds",
    "image": "images",
    "metadata.mode": "mode",
    "metadata.sound": "sound",
    "metadata.negative_prompt": "negative_prompt",
    "metadata.image_tail": "images",
    "visibility": "team",
}


class ComposerForm(forms.Form):
    """Everything is optional here, so that the one judge of a request is the catalogue."""

    # Of one showing of the form: sent twice, it makes one.
    nonce = forms.UUIDField(required=False)
    prompt = forms.CharField(required=False, strip=False)
    # For whom: the name of a team, or nothing. Asked of those who are in one.
    team = forms.CharField(required=False)
    shared = forms.BooleanField(required=False)
    negative_prompt = forms.CharField(required=False)
    model = forms.CharField(required=False)
    mode = forms.CharField(required=False)
    seconds = forms.CharField(required=False)
    size = forms.CharField(required=False)
    sound = forms.BooleanField(required=False)
    first_file = forms.FileField(required=False)
    first_url = forms.CharField(required=False)
    # A picture of an earlier generation, used again.
    first_kept = forms.UUIDField(required=False)
    last_file = forms.FileField(required=False)
    last_url = forms.CharField(required=False)
    last_kept = forms.UUIDField(required=False)
    # The earlier generation that this one is a change of, or goes on from.
    edits = forms.UUIDField(required=False)
    continues = forms.UUIDField(required=False)
    # Never sent: the place where what concerns both pictures is said.
    images = forms.CharField(required=False)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        for frame in FRAMES:
            if data.get(f"{frame}_file") and data.get(f"{frame}_url"):
                self.add_error(f"{frame}_url", _("A file and an address: keep one of them."))
        if self._has("last") and not self._has("first"):
            self.add_error("images", _("A last frame needs a first one. Add it, or move this picture there."))
        return data

    def _has(self, frame: str) -> bool:
        return any(self.cleaned_data.get(f"{frame}_{source}") for source in ("file", "url", "kept"))

    def origin(self) -> tuple[uuid.UUID | None, str]:
        """What this is made from, and how; it goes on from a video only as long as its last picture is kept."""
        data = self.cleaned_data
        kept = not data["first_file"] and not data["first_url"] and data["first_kept"]
        if data["continues"] and data["continues"] == kept:
            return data["continues"], Derivation.CONTINUATION
        return data["edits"], Derivation.EDIT

    def to_request(self, kept: dict[str, bytes | None]) -> dict[str, Any]:
        """The request as the wire's fields; what was left empty is left out. Pictures are bytes or a URL.

        ``kept`` are the bytes behind ``first_kept`` and ``last_kept``: a file or an address goes before them.
        """
        data = self.cleaned_data
        metadata = {"negative_prompt": data["negative_prompt"], "mode": data["mode"]}
        if data["sound"]:
            metadata["sound"] = "on"
        metadata = {key: value for key, value in metadata.items() if value}
        images = [picture for frame in FRAMES if (picture := self._picture(frame) or kept[frame])]
        request = {
            "prompt": data["prompt"].replace("\r\n", "\n"),
            "model": data["model"],
            "duration": data["seconds"],
            "size": data["size"],
            "images": images,
            "metadata": metadata,
        }
        if "team" in self.data:
            request["visibility"] = "team" if data["shared"] and data["team"] else "private"
        asked = {key: value for key, value in request.items() if value or key == "prompt"}
        return asked | ({"team": data["team"]} if "team" in self.data else {})

    def _picture(self, frame: str) -> bytes | str | None:
        file = self.cleaned_data.get(f"{frame}_file")
        if file:
            file.seek(0)
            return file.read()
        return (self.cleaned_data.get(f"{frame}_url") or "").strip() or None

    def show(self, refusal: PlatformError) -> None:
        """Put a refusal of the service beside the field that it names."""
        name = SHOWN_AT.get(refusal.param or "", refusal.param)
        self.add_error(name if name in self.fields else None, str(refusal))


def options(rules: catalogue.Rules) -> dict[str, Any]:
    """The choices of the composer, from the catalogue: all lengths, ratios and qualities that any model has."""
    models = catalogue.offer(rules)["models"]
    modes = {mode["name"]: mode["resolution"] for model in models for mode in model["modes"]}
    sizes = dict.fromkeys(size for model in models for size in model["sizes"])
    return {
        "models": [
            {
                "name": model["name"],
                "label": model["label"],
                "resolutions": " · ".join(dict.fromkeys(mode["resolution"] for mode in model["modes"])),
                "abilities": _abilities(model),
            }
            for model in models
        ],
        "modes": [{"name": name, "resolution": resolution} for name, resolution in modes.items()],
        "seconds": list(dict.fromkeys(number for model in models for number in model["seconds"])),
        "sizes": [{"value": size, "slug": size.replace(":", "x")} for size in sizes],
    }


def _abilities(model: dict[str, Any]) -> str:
    cheapest = min(mode["credits_per_second"] for mode in model["modes"]) * min(model["seconds"])
    said = [str(_("from %(credits)d credits")) % {"credits": cheapest}]
    if any(mode["last_frame"] for mode in model["modes"]):
        said.append(str(_("last frame")))
    if any(mode["sound"] for mode in model["modes"]):
        said.append(str(_("sound")))
    return " · ".join(said)


def texts() -> dict[str, str]:
    """What the composer's script says; ``%s`` is where it puts a value."""
    return {
        name: str(text)
        for name, text in {
            "price": _("%s credits"),
            "after": _("%s credits left after it"),
            "short": _("%s credits missing. Take a cheaper option, or ask for more."),
            "askMore": _("Ask for more"),
            "askFirst": _("Ask for a quota"),
            "noQuota": _("You have no quota yet."),
            "onlyOther": _("%s makes %s only."),
            "modeForLast": _("A last frame needs %s, so the quality was raised."),
            "modeForSound": _("Sound needs %s, so the quality was raised."),
            "noLast": _("A last frame needs a model that can end on a picture: %s."),
            "noSound": _("Sound needs %s."),
            "soundOrLast": _("A last frame and sound do not go together. Remove the last frame for sound."),
            "ratioFromPicture": _("The first frame decides the ratio."),
            "type": _("This is no JPEG, PNG or WEBP picture."),
            "bytes": _("This picture is larger than 10 MB. Save it smaller."),
            "small": _("This picture is %s pixels; each side needs at least 300."),
            "narrow": _("This picture is %s; the most is 2.5 times as long as wide, either way."),
            "unreadable": _("Your browser cannot read this picture. Save it again as JPEG or PNG."),
            "switchTo": _("Switch to %s"),
            "removeLast": _("Remove the last frame"),
            "moveToFirst": _("Make it the first frame"),
            "cropIt": _("Crop it"),
            "firstMissing": _("A last frame needs a first one. Add it, or move this picture there."),
            "empty": _("Describe the video in words: the prompt is empty."),
            "broken": _(
                "The connection broke before the answer came. Your words and pictures are still here, and "
                "however often you send them, one video is made and paid."
            ),
            "offline": _(
                "There is no connection. Your words and pictures are still here; they are sent as soon as it is "
                "back, and one video is made and paid."
            ),
            "again": _("Try again"),
            "signedOut": _(
                "You were signed out meanwhile. Sign in again: your draft is kept and will be back."
            ),
            "signIn": _("Sign in"),
            "unkeptWords": _("This browser keeps no drafts: a reload loses it."),
            "unkeptPictures": _("A reload will keep the words, not the pictures."),
        }.items()
    }
