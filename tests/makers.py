"""Plain functions that make what tests need, through the services that everybody uses."""

from __future__ import annotations

import uuid
from typing import Any

from accounts import services as people
from accounts.models import User
from generations import dispatch, services
from generations.models import Generation
from generations.omnimaas.reader import Reading


def make_user(name: str = "alice", *, credits: int = 1_000, **options: Any) -> User:
    """A member with this many credits a month and the password ``a-long-password``."""
    options = {"password": "a-long-password", **options}
    return people.provision(name, credits=credits, **options).user


def ask(user: User, **fields: Any) -> Generation:
    """A queued generation of the cheapest model: 15 credits."""
    request = {"model": "kling-v2-5-turbo-std", "prompt": "一只可爱的小猫", **fields}
    return services.create(user=user, request=request)


def claim_one() -> dispatch.Claim:
    """Claim the one generation that is next."""
    (claim,) = dispatch.claim(1)
    return claim


def submitted(user: User, upstream_id: str | None = None, **fields: Any) -> Generation:
    """A running generation."""
    generation = ask(user, **fields)
    claim = claim_one()
    assert claim.generation_id == generation.pk
    assert services.record_submitted(claim, upstream_id=upstream_id or f"up-{uuid.uuid4().hex}")
    generation.refresh_from_db()
    return generation


def due(generation: Generation) -> services.PollDue:
    """The generation as a poll would have claimed it."""
    generation.refresh_from_db()
    return services.PollDue(
        generation.pk, generation.upstream_id or "", generation.status, generation.submitted_at
    )


def storing(user: User, url: str = "https://cdn.example.com/v.mp4", **fields: Any) -> Generation:
    """A generation that upstream has finished."""
    generation = submitted(user, **fields)
    assert services.record_reading(due(generation), Reading("succeeded", url=url))
    generation.refresh_from_db()
    return generation
