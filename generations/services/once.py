"""A call that makes something is sent twice, and makes it once.

By a key of the caller's: its row is inserted in the transaction that makes the thing, so of many who send
it at once one makes it, and the others wait for its commit and get the same answer. Refusals keep nothing.
A client that has no key, and says that it sends again, is known by who it is and what it asks for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import IntegrityError
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from accounts.models import User, Wallet
from generations.models import Generation, KeptAnswer
from kling_platform.errors import PlatformError

# A client that was away over a weekend still gets its answer.
KEPT = timedelta(days=3)
RETRIED_WITHIN = timedelta(minutes=10)


class KeyReused(PlatformError):
    """The key belongs to another request (422)."""

    code = "idempotency_key_reused"
    status = 422


class Taken(Exception):
    """Somebody else has made it, and has committed. Only ``make_once`` hears of it."""


@dataclass(frozen=True)
class Once:
    """Who asks for what, under which key; ``answer`` says of the thing made what its door says.

    Without a key, ``retried`` is whether the client says that it has sent this before.
    """

    user: User
    digest: str
    answer: Callable[[Any], dict[str, Any]]
    key: str = ""
    retried: bool = False


@dataclass(frozen=True)
class Answered:
    """An answer as JSON can say it; ``replayed`` when nothing was made for it."""

    answer: dict[str, Any]
    replayed: bool


def make_once(once: Once, make: Callable[[], Any]) -> Answered:
    """What ``make`` makes, or the answer that was given before.

    ``make`` hands ``once`` to the service, whose transaction begins with ``take``. The kept answer is looked
    for only when that did not work, so a first call costs one row more and no question; and whatever would
    be refused by now (a quota that is spent, a rule that has changed) is answered as it was then.
    """
    if once.retried and not once.key and (answer := _same_lately(once)):
        return Answered(answer, replayed=True)
    try:
        return Answered(once.answer(make()), replayed=False)
    except (Taken, PlatformError):
        if (answer := _kept(once)) is None:
            raise
        return Answered(answer, replayed=True)


def take(once: Once | None, made: Any) -> None:
    """Claim the key for ``made``. To be called first in the transaction that makes it.

    Raises ``Taken`` when the key has an answer, after having waited for whoever was just making it.
    """
    if once is None:
        return
    if once.key:
        try:
            answer = json.dumps(once.answer(made))
            KeptAnswer.objects.create(user=once.user, key=once.key, digest=once.digest, answer=answer)
        except IntegrityError as error:
            raise Taken from error
    elif once.retried:
        # The first try may be at work still: it holds the wallet from its reservation to its commit.
        wallets = Wallet.objects.filter(quota__user=once.user, closed_at__isnull=True).order_by("pk")
        list(wallets.select_for_update(no_key=True, of=("self",)).values_list("pk"))
        if _same_lately(once):
            raise Taken


def forget_answers() -> int:
    """Let go of the keys whose time is over. Returns how many."""
    return KeptAnswer.objects.filter(created_at__lt=Now() - KEPT).delete()[0]


def digest_of(request: Any) -> str:
    """The same for the same request, whatever the order of its fields; files count by their bytes."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), default=_name_of_bytes)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _name_of_bytes(value: Any) -> dict[str, str]:
    return {"sha256": hashlib.sha256(value).hexdigest()}


def _kept(once: Once) -> dict[str, Any] | None:
    """The answer of before, if there is one; ``KeyReused`` when it was to something else."""
    if not once.key:
        return _same_lately(once) if once.retried else None
    kept = KeptAnswer.objects.filter(user=once.user, key=once.key).first()
    if kept is None:
        return None
    if kept.digest != once.digest:
        raise KeyReused(
            _(
                "This Idempotency-Key belongs to another request, so nothing was made and nothing was charged. "
                "Send a new key with what is new."
            ),
            param="Idempotency-Key",
        )
    answer: dict[str, Any] = json.loads(kept.answer)
    return answer


def _same_lately(once: Once) -> dict[str, Any] | None:
    """The answer about what this user asked for in the same words a few minutes ago."""
    same = Generation.objects.owned_by(once.user).filter(
        request_digest=once.digest, created_at__gte=Now() - RETRIED_WITHIN
    )
    found = same.newest_first().first()
    return once.answer(found) if found else None
