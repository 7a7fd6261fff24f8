"""The form of the catalogue: rules as fields, and fields as rules. What makes sense is judged by ``rulebook``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Team
from generations.catalogue import Mode, Model, Rules
from kling_platform.errors import InvalidValue


class ModelForm(forms.Form):
    """One model; left without a name it is not there."""

    name = forms.CharField(required=False, label=gettext_lazy("Name at the gateway"), max_length=60)
    label = forms.CharField(required=False, label=gettext_lazy("Name for people"), max_length=60)
    enabled = forms.BooleanField(required=False, label=gettext_lazy("Offered"))
    seconds = forms.CharField(required=False, label=gettext_lazy("Lengths in seconds"))
    sizes = forms.CharField(required=False, label=gettext_lazy("Ratios"))
    teams = forms.TypedMultipleChoiceField(
        required=False,
        label=gettext_lazy("Only for the people of"),
        coerce=int,
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(Any, self.fields["teams"]).choices = Team.objects.order_by("name").values_list("pk", "name")


class ModeForm(forms.Form):
    """One quality of a model; left without a name it is not there."""

    name = forms.CharField(required=False, label=gettext_lazy("Mode"), max_length=8)
    resolution = forms.CharField(required=False, label=gettext_lazy("Resolution"), max_length=20)
    per_second = forms.IntegerField(required=False, label=gettext_lazy("Credits a second"), min_value=1)
    per_second_sound = forms.IntegerField(
        required=False,
        label=gettext_lazy("With sound"),
        min_value=1,
        help_text=gettext_lazy("empty: no sound"),
    )
    last_frame = forms.BooleanField(required=False, label=gettext_lazy("Last frame"))


class RulesForm(forms.Form):
    """What holds for all models, and when and why the change begins."""

    prompt_characters = forms.IntegerField(label=gettext_lazy("Longest prompt, in characters"), min_value=1)
    metadata_keys = forms.CharField(required=False, label=gettext_lazy("Keys that metadata may have"))
    effective_from = forms.DateTimeField(
        required=False,
        label=gettext_lazy("In force from"),
        help_text=gettext_lazy("Empty: at once."),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    note = forms.CharField(required=False, label=gettext_lazy("Why"), max_length=200)


@dataclass
class ModelPart:
    """A model's fields with those of its modes; the last mode is empty, for a new one."""

    form: ModelForm
    modes: list[ModeForm]
    error: str = ""


class CatalogueForm:
    """All of it. It has a place for each model of ``rules``, for one mode more in each, and for a new model."""

    def __init__(self, rules: Rules, data: Mapping[str, Any] | None = None) -> None:
        self.base = rules
        initial = {
            "prompt_characters": rules.prompt_characters,
            "metadata_keys": ", ".join(rules.metadata_keys),
        }
        self.rules = RulesForm(data, initial=initial, label_suffix="")
        self.parts = [_part(place, model, data) for place, model in enumerate([*rules.models, None])]
        self.error = ""

    def is_valid(self) -> bool:
        """Whether every field can be read; asks all of them, so that all errors are shown at once."""
        forms_ = [self.rules, *(form for part in self.parts for form in (part.form, *part.modes))]
        return not [form for form in forms_ if not form.is_valid()]

    def to_rules(self) -> Rules:
        """What was typed. Raises ``InvalidValue`` for a length that is no number."""
        models = tuple(model for part in self.parts if (model := _model(part)) is not None)
        fields = self.rules.cleaned_data
        return replace(
            self.base,
            models=models,
            prompt_characters=fields["prompt_characters"],
            metadata_keys=tuple(_listed(fields["metadata_keys"])),
        )

    def show(self, refusal: InvalidValue) -> None:
        """Put a refusal beside the model that it names, or above everything."""
        name = (refusal.param or "").partition("/")[0]
        for part in self.parts:
            if part.form.cleaned_data.get("name") == name and name:
                part.error = str(refusal)
                return
        self.error = str(refusal)


def _part(place: int, model: Model | None, data: Mapping[str, Any] | None) -> ModelPart:
    initial: dict[str, Any] = {"enabled": True, "sizes": "16:9, 1:1, 9:16", "seconds": "5, 10"}
    if model is not None:
        initial = {"name": model.name, "label": model.label, "enabled": model.enabled, "teams": model.teams}
        initial |= {"seconds": ", ".join(map(str, model.seconds)), "sizes": ", ".join(model.sizes)}
    modes: list[Mode | None] = [*(model.modes if model else ()), None]
    return ModelPart(
        ModelForm(data, initial=initial, prefix=f"m{place}", label_suffix=""),
        [
            ModeForm(data, initial=vars(mode) if mode else {}, prefix=f"m{place}-{number}", label_suffix="")
            for number, mode in enumerate(modes)
        ],
    )


def _model(part: ModelPart) -> Model | None:
    fields = part.form.cleaned_data
    if not fields["name"].strip():
        return None
    return Model(
        name=fields["name"].strip(),
        label=fields["label"].strip(),
        enabled=fields["enabled"],
        teams=tuple(sorted(fields["teams"])),
        seconds=tuple(_numbers(fields["seconds"], fields["name"])),
        sizes=tuple(_listed(fields["sizes"])),
        modes=tuple(_modes(part)),
    )


def _modes(part: ModelPart) -> Iterator[Mode]:
    for form in part.modes:
        fields = form.cleaned_data
        if fields["name"].strip():
            yield Mode(
                name=fields["name"].strip(),
                resolution=fields["resolution"].strip(),
                per_second=fields["per_second"] or 0,
                per_second_sound=fields["per_second_sound"],
                last_frame=fields["last_frame"],
            )


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.replace("，", ",").split(",") if part.strip()]


def _numbers(text: str, param: str) -> Iterator[int]:
    for part in _listed(text):
        if not (part.isascii() and part.isdigit() and len(part) < 6):
            raise InvalidValue(
                _("A length is a whole number of seconds: “%(text)s” is none.") % {"text": part[:20]},
                param=param,
            )
        yield int(part)
