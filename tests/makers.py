"""Plain functions that make what tests need, through the services that everybody uses."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import ledger, periods
from accounts import services as people
from accounts.models import AuditEntry, Quota, Transfer, User, Wallet
from generations import dispatch, services
from generations.models import Generation
from generations.omnimaas.reader import Reading


@transaction.atomic
def make_user(
    name: str = "alice",
    *,
    credits: int = 1_000,
    password: str = "a-long-password",
    role: str = User.Role.MEMBER,
    email: str = "",
) -> User:
    """A user with this many credits a month.

    It leaves the rows that ``provision`` leaves (a test of it compares them), and asks none of its questions:
    thousands of tests begin with somebody new.
    """
    user = User.objects.create_user(name, email, password)
    people.set_role(user, role, actor=None)
    quota = Quota.objects.create(user=user, credits=credits)
    starts_at, ends_at = periods.bounds(quota.period, timezone.now(), settings.TIME_ZONE)
    wallet = Wallet.objects.create(quota=quota, starts_at=starts_at, ends_at=ends_at)
    if credits:
        ledger.post(wallet.pk, Transfer.Kind.ALLOT, credits)
    new = {"before": {"credits": None, "period": None}, "reason": "", "wanted": 0, "moved": 0}
    told = {"user.make": {"role": role}, "quota.set": {"credits": credits, "period": quota.period, **new}}
    AuditEntry.objects.bulk_create(
        AuditEntry(action=action, subject=name, detail=detail) for action, detail in told.items()
    )
    return user


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
