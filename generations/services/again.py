"""Once more, but different: variations, other models, and going on from the last picture."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.files.storage import default_storage
from django.db import transaction
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from accounts import quotas
from accounts.models import User, Wallet
from generations import catalogue
from generations.models import Derivation, Generation, InputImage, Status, Video
from generations.services.access import rules_for
from generations.services.catalogues import current_rules
from generations.services.once import Once, Taken, take
from generations.services.requests import create, recipe_request
from kling_platform.errors import InvalidValue, PlatformError, WrongState

# Eight of the longest and dearest are 800 credits: more than that is a plan, not a click.
VARIATIONS = range(2, 9)


@dataclass(frozen=True)
class Alternative:
    """The same prompt on another model or in another quality. ``price`` in credits.

    ``loses_sound``: the original has sound, and this one can't.
    """

    model: str
    mode: str
    price: int
    price_version: str
    loses_sound: bool = False

    @property
    def key(self) -> str:
        return f"{self.model}/{self.mode}"


def check_affordable(user: User, price: int) -> None:
    """Refuse what costs more than any paying wallet has left, before a part of it is made.

    Holds nothing: of two who ask at once the later is refused when it pays.
    """
    wallets = quotas.paying_wallets(user=user)
    left = Wallet.objects.filter(pk__in=wallets).values_list("pk", "available")
    short = min(((available, pk) for pk, available in left if available < price), default=None)
    if short:
        raise quotas.refusal(short[1], wallets[short[1]], price)


def create_all(
    *,
    user: User,
    requests: Sequence[Mapping[str, Any]],
    derived_from: Generation,
    derivation: str,
    once: Once | None = None,
) -> list[Generation]:
    """All of them or none. ``once`` belongs to a call that may come twice, and comes through ``make_once``."""
    made: list[Generation] = []
    lost: list[str] = []
    try:
        with transaction.atomic():
            try:
                for request in requests:
                    made.append(
                        create(user=user, request=request, derived_from=derived_from, derivation=derivation)
                    )
                with transaction.atomic():  # or nothing could be asked about the files
                    take(once, made)
            except (PlatformError, Taken):
                files = InputImage.objects.filter(generation__in=made).exclude(file="")
                lost = list(files.values_list("file", flat=True))
                raise
    except (PlatformError, Taken):
        for name in lost:  # their rows are undone
            default_storage.delete(name)
        raise
    return made


def vary(generation: Generation, *, user: User, count: int, once: Once | None = None) -> list[Generation]:
    """The same recipe ``count`` times more, at today's price: all or none. The model rolls its dice anew."""
    if count not in VARIATIONS:
        raise InvalidValue(
            _("Make %(least)d to %(most)d variations at once.")
            % {"least": VARIATIONS[0], "most": VARIATIONS[-1]},
            param="count",
        )
    request, rules = recipe_request(generation), current_rules()
    check_affordable(user, catalogue.price(catalogue.validate(request, rules), rules) * count)
    return create_all(
        user=user,
        requests=[request] * count,
        derived_from=generation,
        derivation=Derivation.VARIATION,
        once=once,
    )


def alternatives(generation: Generation, *, user: User) -> list[Alternative]:
    """Every other model and quality that the catalogue allows this recipe on to this user, in its order."""
    request, rules = _without_files(generation), rules_for(user)
    found = []
    for model in rules.offered:
        for mode in model.modes:
            if (model.name, mode.name) == (generation.model, generation.mode):
                continue
            for sound in (True, False) if generation.sound else (False,):
                try:
                    recipe = catalogue.validate(_on(request, model, mode.name, sound=sound), rules)
                except InvalidValue:
                    continue
                loses_sound = generation.sound and not sound
                price = catalogue.price(recipe, rules)
                found.append(Alternative(model.name, mode.name, price, rules.version, loses_sound))
                break
    return found


def on_models(
    generation: Generation, *, user: User, keys: Sequence[str], once: Once | None = None
) -> list[Generation]:
    """The same recipe on each of these alternatives (``Alternative.key``): all or none."""
    known = {alternative.key: alternative for alternative in alternatives(generation, user=user)}
    if not keys or any(key not in known for key in keys):
        raise InvalidValue(_("Choose one or more of the other models."), param="models")
    chosen = [known[key] for key in dict.fromkeys(keys)]
    check_affordable(user, sum(alternative.price for alternative in chosen))
    request, rules = recipe_request(generation), current_rules()
    requests = [
        _on(request, model, one.mode, sound=generation.sound and not one.loses_sound)
        for one in chosen
        if (model := rules.model(one.model))
    ]
    return create_all(
        user=user, requests=requests, derived_from=generation, derivation=Derivation.MODEL, once=once
    )


def _without_files(generation: Generation) -> dict[str, Any]:
    """``recipe_request`` for questions about rules and price: pictures are counted, not read."""
    return recipe_request(generation, pictures=[b"-"] * len(generation.images.all()))


def _on(request: Mapping[str, Any], model: catalogue.Model, mode: str, *, sound: bool) -> dict[str, Any]:
    metadata = {key: value for key, value in request["metadata"].items() if key not in ("mode", "sound")}
    if len(model.modes) > 1:
        metadata["mode"] = mode
    if sound:
        metadata["sound"] = "on"
    return {**request, "model": model.name, "metadata": metadata}


def want_last_frame(generation: Generation) -> bool:
    """Whether the last picture is there; where it is not, a task goes and takes it.

    Not done in the request: the file may lie in a storage elsewhere, and decoding takes a request's whole
    patience (a quarter of a second where the film is local and 1080p).
    """
    if generation.status != Status.SUCCEEDED:
        raise WrongState(_("There is no last picture yet: it goes on from there once the video is ready."))
    if generation.video.last_frame:
        return True
    async_task("generations.film_tasks.take_last_frame", str(generation.pk))
    return False


def record_last_frame(generation_id: uuid.UUID, name: str) -> bool:
    """The last picture is in storage under this name. False for the second who took it."""
    return Video.objects.filter(pk=generation_id, last_frame="").update(last_frame=name) == 1
