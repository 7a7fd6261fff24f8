"""The only writer of wallets and of their journal.

Every movement is one call of ``post()``: a guarded UPDATE of the wallet, then one line of the journal
whose ``seq`` is the wallet's new version. The caller holds the transaction, so a movement is part of
whatever it belongs to; outside of one ``post()`` refuses. Amounts are whole credits.

Wallets are always taken in the order of their ids, so two callers cannot wait for each other.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, Sum
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import TopUp, Transfer, User, Wallet
from kling_platform import prepared
from kling_platform.errors import WrongState

Kind = Transfer.Kind


class Effect(NamedTuple):
    """How one credit of a transfer changes the columns of its wallet."""

    granted: int = 0
    available: int = 0
    reserved: int = 0
    spent: int = 0
    expired: int = 0


EFFECTS: dict[str, Effect] = {
    Kind.ALLOT: Effect(granted=+1, available=+1),
    Kind.GRANT: Effect(granted=+1, available=+1),
    Kind.ADJUST: Effect(granted=+1, available=+1),
    Kind.RESERVE: Effect(available=-1, reserved=+1),
    Kind.SETTLE: Effect(reserved=-1, spent=+1),
    Kind.RELEASE: Effect(reserved=-1, available=+1),
    Kind.REFUND: Effect(spent=-1, available=+1),
    Kind.EXPIRE: Effect(available=-1, expired=+1),
}
# What begins something new, and so needs a period that is still open.
BEGINNINGS = frozenset({Kind.ALLOT, Kind.GRANT, Kind.ADJUST, Kind.RESERVE})


class CannotPay(Exception):
    """A movement's guard did not hold: the wallet has less than the amount, or is closed. Nothing was written."""

    def __init__(self, wallet_id: int) -> None:
        super().__init__(wallet_id)
        self.wallet_id = wallet_id


class AlreadyResolved(WrongState):
    """A reservation is settled or released once, and refunded at most once."""

    code = "already_resolved"

    def __init__(self) -> None:
        super().__init__(_("These credits have been charged or returned already; nothing was changed."))


def post(
    wallet_id: int,
    kind: str,
    amount: int,
    *,
    generation_id: uuid.UUID | None = None,
    reservation_id: int | None = None,
    reason: str = "",
    actor: User | None = None,
) -> Transfer:
    """Move ``amount`` credits and write the line.

    Raises ``CannotPay`` where a column would go below zero, or where a closed wallet would begin anew.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError(
            "wallet and journal change in one transaction or not at all"
        )
    version, available = _move(wallet_id, kind, amount)
    line = Transfer(
        wallet_id=wallet_id,
        seq=version,
        kind=kind,
        amount=amount,
        available_after=available,
        generation_id=generation_id,
        reservation_id=reservation_id,
        reason=reason[:200],
        actor=actor,
    )
    prepared.insert(line)
    return line


class Part(NamedTuple):
    """One line of a movement that is made of many."""

    amount: int
    generation_id: uuid.UUID
    reservation_id: int | None = None


def post_all(wallet_id: int, kind: str, parts: Sequence[Part]) -> None:
    """What ``post`` does, for many lines of one kind: two statements, however many they are."""
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError(
            "wallet and journal change in one transaction or not at all"
        )
    total = sum(part.amount for part in parts)
    version, available = _move(wallet_id, kind, total, lines=len(parts))
    seq, available = version - len(parts), available - EFFECTS[kind].available * total
    lines = []
    for part in parts:
        seq, available = seq + 1, available + EFFECTS[kind].available * part.amount
        lines.append(
            Transfer(
                wallet_id=wallet_id,
                seq=seq,
                kind=kind,
                amount=part.amount,
                available_after=available,
                generation_id=part.generation_id,
                reservation_id=part.reservation_id,
            )
        )
    Transfer.objects.bulk_create(lines)


def _move(wallet_id: int, kind: str, amount: int, *, lines: int = 1) -> tuple[int, int]:
    """The guarded UPDATE; (version, available) after it. In SQL, because the ORM knows no RETURNING yet.

    It works on PostgreSQL and SQLite alike, and saves the paying request a round trip for each wallet.
    """
    deltas = {name: sign * amount for name, sign in EFFECTS[kind]._asdict().items() if sign and amount}
    changes = [f"version = version + {lines:d}", *(f"{name} = {name} + %s" for name in deltas)]
    least = {name: -delta for name, delta in deltas.items() if delta < 0}
    guards = ["id = %s", *(f"{name} >= %s" for name in least)]
    if kind in BEGINNINGS:
        guards.append("closed_at IS NULL")
    statement = (
        f"UPDATE accounts_wallet SET {', '.join(changes)} WHERE {' AND '.join(guards)} "  # noqa: S608
        "RETURNING version, available"
    )
    moved = prepared.every(statement, [*deltas.values(), wallet_id, *least.values()])
    if not moved:
        raise CannotPay(wallet_id)
    version, available = moved[0]
    return version, available


# No savepoint: whoever cannot pay gives up the whole transaction in which he wanted to.
@transaction.atomic(savepoint=False)
def reserve(wallet_ids: Iterable[int], amount: int, *, generation_id: uuid.UUID) -> None:
    """Hold ``amount`` in every wallet, or in none: then ``CannotPay`` names the one that has too little."""
    for wallet_id in sorted(wallet_ids):
        post(wallet_id, Kind.RESERVE, amount, generation_id=generation_id)


@transaction.atomic(savepoint=False)
def reserve_all(wallet_ids: Iterable[int], parts: Sequence[Part]) -> None:
    """Hold every part in every wallet, or nothing: then ``CannotPay`` names the wallet that has too little."""
    for wallet_id in sorted(wallet_ids):
        post_all(wallet_id, Kind.RESERVE, parts)


def tightest(wallet_ids: Iterable[int]) -> Wallet:
    """The one with the least left of these wallets; all are locked until the transaction's end."""
    wallets = Wallet.objects.filter(pk__in=list(wallet_ids)).order_by("pk").select_for_update(no_key=True)
    return min(wallets, key=lambda wallet: wallet.available)


@transaction.atomic
def release_all(generation_ids: Collection[uuid.UUID]) -> None:
    """Return what is held for many generations at once. Raises ``AlreadyResolved``, and then returns nothing."""
    held = Transfer.objects.filter(generation_id__in=generation_ids, kind=Kind.RESERVE)
    by_wallet = groupby(held.order_by("wallet_id", "pk"), key=lambda line: line.wallet_id)
    for wallet_id, lines in by_wallet:
        returned = list(lines)
        parts = [Part(line.amount, line.generation_id, line.pk) for line in returned if line.generation_id]
        try:
            with transaction.atomic():
                post_all(wallet_id, Kind.RELEASE, parts)
        except (IntegrityError, CannotPay) as error:
            raise AlreadyResolved from error
        expire_if_over(wallet_id, held=[line.seq for line in returned])


@transaction.atomic
def settle(generation_id: uuid.UUID) -> int:
    """Charge what is held for a generation. Returns the number of wallets; raises ``AlreadyResolved``."""
    return _resolve(generation_id, Kind.SETTLE)


@transaction.atomic
def release(generation_id: uuid.UUID, *, reason: str = "") -> int:
    """Return what is held for a generation. Returns the number of wallets; raises ``AlreadyResolved``."""
    return _resolve(generation_id, Kind.RELEASE, reason=reason)


@transaction.atomic
def refund(generation_id: uuid.UUID) -> int:
    """Give back what was charged for a generation. Raises ``AlreadyResolved`` the second time."""
    settled = Transfer.objects.filter(generation_id=generation_id, kind=Kind.SETTLE)
    if not settled.exists():
        raise AlreadyResolved
    return _resolve(generation_id, Kind.REFUND)


def _resolve(generation_id: uuid.UUID, kind: str, *, reason: str = "") -> int:
    reservations = list(
        Transfer.objects.filter(generation_id=generation_id, kind=Kind.RESERVE).order_by("wallet_id")
    )
    for reservation in reservations:
        try:
            with transaction.atomic():
                post(
                    reservation.wallet_id,
                    kind,
                    reservation.amount,
                    generation_id=generation_id,
                    reservation_id=reservation.pk,
                    reason=reason,
                )
        except (IntegrityError, CannotPay) as error:
            # The unique index is the judge: whoever wrote the line first has resolved it.
            if Transfer.objects.filter(reservation=reservation).exists():
                raise AlreadyResolved from error
            raise
        if kind != Kind.SETTLE:
            expire_if_over(reservation.wallet_id, held=[reservation.seq])
    return len(reservations)


def expire(wallet_id: int) -> int:
    """Move everything available to expired. Returns the credits moved."""
    available = (
        Wallet.objects.select_for_update(no_key=True).values_list("available", flat=True).get(pk=wallet_id)
    )
    if available:
        post(wallet_id, Kind.EXPIRE, available)
    return available


def expire_if_over(wallet_id: int, *, held: Sequence[int]) -> None:
    """Credits that come back into a period that is over, or to a top-up that is, expire there.

    ``held`` are the lines, by their ``seq``, that had held them. As at every touch, what is over by now ends.
    """
    of_a_top_up = TopUp.objects.filter(
        Q(last_seq__gte=min(held), grant__seq__lt=max(held)) | Q(last_seq__isnull=True, ends_at__lte=Now()),
        grant__wallet=OuterRef("pk"),
    )
    closed, over, late = (
        Wallet.objects.filter(pk=wallet_id)
        .annotate(over=Q(ends_at__isnull=False, ends_at__lte=Now()), late=Exists(of_a_top_up))
        .values_list("closed_at", "over", "late")
        .get()
    )
    if closed:
        expire(wallet_id)
    elif over:
        close(wallet_id)
    elif late:
        lapse(wallet_id)


@transaction.atomic
def close(wallet_id: int) -> None:
    """End a wallet's period: nothing new is reserved in it, what is left expires, what is held stays held."""
    if Wallet.objects.filter(pk=wallet_id, closed_at__isnull=True).update(closed_at=Now()) == 1:
        lapse(wallet_id)
        expire(wallet_id)


@transaction.atomic
def lapse(wallet_id: int) -> int:
    """Expire what is unused of the wallet's top-ups whose time is over. Returns the credits moved.

    Called again it finds nothing more, unless what had used a top-up came back meanwhile.
    """
    version, available = (
        Wallet.objects.select_for_update(no_key=True).values_list("version", "available").get(pk=wallet_id)
    )
    rows = TopUp.objects.filter(grant__wallet=wallet_id)
    rows.filter(last_seq__isnull=True, ends_at__lte=Now()).update(last_seq=version)
    top_ups = list(rows.select_related("grant").order_by("pk"))
    rest, left = unused(wallet_id, top_ups), available
    for top_up in top_ups:
        due = min(rest[top_up.pk] - top_up.expired, left) if top_up.last_seq is not None else 0
        if due > 0:
            post(wallet_id, Kind.EXPIRE, due, reason=top_up.grant.reason)
            TopUp.objects.filter(pk=top_up.pk).update(expired=top_up.expired + due)
            left -= due
    return available - left


def unused(wallet_id: int, top_ups: Sequence[TopUp]) -> dict[int, int]:
    """By id of the top-up, which are all of one wallet, how many of its credits nothing was made with.

    Each line that holds credits, and that did not give them back, uses the top-ups of its time: those that end
    sooner first.
    """
    rest = {top_up.pk: top_up.grant.amount for top_up in top_ups}
    if not top_ups:
        return rest
    back = Transfer.objects.filter(reservation=OuterRef("pk"))
    holds = Transfer.objects.filter(
        ~Exists(back.filter(kind=Kind.RELEASE)),
        ~Exists(back.filter(kind=Kind.REFUND)),
        wallet=wallet_id,
        kind=Kind.RESERVE,
        seq__gt=min(top_up.grant.seq for top_up in top_ups),
    )
    soonest_first = sorted(top_ups, key=lambda top_up: (top_up.ends_at, top_up.pk))
    for seq, amount in holds.order_by("seq").values_list("seq", "amount").iterator():
        for top_up in soonest_first:
            if top_up.grant.seq < seq and (top_up.last_seq is None or seq <= top_up.last_seq):
                part = min(rest[top_up.pk], amount)
                rest[top_up.pk] -= part
                amount -= part
    return rest


def grant(wallet_id: int, amount: int, *, reason: str, actor: User | None) -> Transfer:
    """Add credits once, for this period."""
    return post(wallet_id, Kind.GRANT, amount, reason=reason, actor=actor)


def top_up(wallet_id: int, amount: int, *, ends_at: datetime, reason: str, actor: User | None) -> TopUp:
    """Add credits once, until a moment; see ``TopUp`` for what is theirs then."""
    line = grant(wallet_id, amount, reason=reason, actor=actor)
    return TopUp.objects.create(grant=line, ends_at=ends_at)


class Moved(NamedTuple):
    """Credits that a change asked for and that it could move: a cut takes at most what is available."""

    wanted: int
    moved: int


@transaction.atomic
def adjust(wallet_id: int, amount: int, *, reason: str, actor: User | None) -> Moved:
    """Correct a wallet by ``amount``."""
    return _move_within_reach(wallet_id, Kind.ADJUST, lambda: amount, reason=reason, actor=actor)


@transaction.atomic
def allot(wallet_id: int, credits: int, *, reason: str = "", actor: User | None = None) -> Moved:
    """Bring the quota's own part of a wallet to ``credits``, whatever was granted or corrected besides."""

    def difference() -> int:
        lines = Transfer.objects.filter(wallet_id=wallet_id, kind=Kind.ALLOT)
        return credits - (lines.aggregate(n=Sum("amount"))["n"] or 0)

    return _move_within_reach(wallet_id, Kind.ALLOT, difference, reason=reason, actor=actor)


def _move_within_reach(
    wallet_id: int, kind: str, amount: Callable[[], int], *, reason: str, actor: User | None
) -> Moved:
    available = (
        Wallet.objects.select_for_update(no_key=True).values_list("available", flat=True).get(pk=wallet_id)
    )
    wanted = amount()  # read under the lock
    moved = max(wanted, -available)
    if moved:
        post(wallet_id, kind, moved, reason=reason, actor=actor)
    return Moved(wanted, moved)
