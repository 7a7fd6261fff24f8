"""Lists in the words of the wire. ``generations.public`` has the generation itself, ``serializers`` declares both."""

from __future__ import annotations

from typing import Any

from accounts.models import ApiKey, User
from generations import catalogue, services
from generations.api.history import Page
from generations.api.pages import as_list
from generations.public import as_video


def as_page(page: Page) -> dict[str, Any]:
    """A page of a list; ``last_id`` is the ``after`` of the next one."""
    data = [as_video(generation) for generation in page.rows]
    return as_list(data, has_more=page.has_more, last_id=str(page.stopped_at) if page.stopped_at else None)


def as_models(user: User, key: ApiKey) -> dict[str, Any]:
    """Rules and prices of the models that may be used with this key, in the shape of an OpenAI list of models."""
    rules = catalogue.offer(services.rules_for(user, api_key=key))
    data = [
        {"id": model["name"], "object": "model", "created": 0, "owned_by": "kling"}
        | {name: model[name] for name in ("label", "seconds", "sizes", "modes")}
        for model in rules["models"]
    ]
    limits = {name: rules[name] for name in ("version", "prompt_characters", "images")}
    return {"object": "list", "data": data} | limits
