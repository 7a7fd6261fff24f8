"""What must always hold of wallets and journal, as questions to the database.

Each function returns a sentence for every breach, an empty list when all is well, and asks in one
statement, so that a platform at work raises no false alarm. They look, and never repair. Each may be
asked about a part of history alone, which keeps a look every few minutes cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from django.apps import apps
from django.db import connection
from django.db.models import (
    Case,
    CheckConstraint,
    Count,
    Exists,
    F,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Sum,
    When,
    Window,
)
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce

from accounts import triggers
from accounts.ledger import EFFECTS, Effect
from accounts.models import TopUp, Transfer, Wallet

SHOWN = 20  # of each invariant; beyond it the number alone tells enough


class Scope(NamedTuple):
    """The part of history that is looked at: wallets with their whole journal, and generations.

    ``files`` is how many files of each kind at most, picked at random, and ``days`` how many of the newest days.
    """

    wallets: Q = Q()
    generations: Q = Q()
    files: int | None = None
    days: int | None = None

    @property
    def of_wallets(self) -> QuerySet[Wallet]:
        return Wallet.objects.filter(self.wallets)

    @property
    def lines(self) -> QuerySet[Transfer]:
        return Transfer.objects.filter(wallet__in=self.of_wallets.values("pk")) if self.wallets else _LINES


_LINES = Transfer.objects.all()
ALL = Scope()


class Invariant(NamedTuple):
    """A sentence that must be true, and the question for everything that makes it false.

    ``whole`` ones read whole tables: the database itself holds what they ask, as long as its constraints stand.
    """

    name: str
    ask: Callable[[Scope], list[str]]
    whole: bool = False

    def breaches(self, scope: Scope = ALL) -> list[str]:
        """A sentence for everything in this part of history that makes it false."""
        return self.ask(scope)


def shown(breaches: Iterable[str]) -> list[str]:
    """The first breaches, and how many more there are."""
    found = list(breaches)
    more = len(found) - SHOWN
    return [*found[:SHOWN], f"and {more} more"] if more > 0 else found


def _effect(column: str, prefix: str = "") -> Case:
    """What a line of the journal does to one column of its wallet, in credits."""
    signs = {kind: getattr(effect, column) for kind, effect in EFFECTS.items() if getattr(effect, column)}
    amount: Combinable = F(f"{prefix}amount")
    return Case(
        *(When(**{f"{prefix}kind": kind}, then=amount * sign) for kind, sign in signs.items()), default=0
    )


def wallets_equal_their_journal(scope: Scope = ALL) -> list[str]:
    """Each column of a wallet is the sum of its lines, and its version their number, without a gap."""
    sums = {f"sum_{name}": Coalesce(Sum(_effect(name, "transfers__")), 0) for name in Effect._fields}
    wallets = scope.of_wallets.annotate(
        **sums, lines=Count("transfers"), last=Coalesce(Max("transfers__seq"), 0)
    ).order_by("pk")
    same = Q(version=F("lines")) & Q(version=F("last"))
    for name in Effect._fields:
        same &= Q(**{name: F(f"sum_{name}")})
    return shown(
        f"wallet {w.pk}: "
        + ", ".join(
            f"{name} {getattr(w, name)} (journal: {getattr(w, f'sum_{name}')})" for name in Effect._fields
        )
        + f"; version {w.version}, {w.lines} lines, last seq {w.last}"
        for w in wallets.filter(~same)
    )


def journal_replays(scope: Scope = ALL) -> list[str]:
    """Read in order, no line takes what is not there, and each says rightly what was available after it."""
    running = {
        f"now_{name}": Window(Sum(_effect(name)), partition_by=F("wallet_id"), order_by=F("seq").asc())
        for name in Effect._fields
    }
    wrong = ~Q(available_after=F("now_available"))
    for name in Effect._fields:
        wrong |= Q(**{f"now_{name}__lt": 0})
    lines = scope.lines.annotate(**running).filter(wrong).order_by("pk")
    return shown(
        f"wallet {line.wallet_id}, line {line.seq} ({line.kind} {line.amount}): "
        f"available after it {line.available_after}, by replay {line.now_available}"  # type: ignore[attr-defined]
        for line in lines
    )


def resolutions_fit(scope: Scope = ALL) -> list[str]:
    """A settle, release or refund has the wallet, generation and amount of an earlier reserve."""
    fits = Q(
        reservation__kind=Transfer.Kind.RESERVE,
        reservation__wallet_id=F("wallet_id"),
        reservation__generation_id=F("generation_id"),
        reservation__amount=F("amount"),
        reservation__seq__lt=F("seq"),
    )
    lines = scope.lines.filter(reservation__isnull=False).exclude(fits).order_by("pk")
    return shown(
        f"line {line.pk}: {line.kind} {line.amount} of reserve {line.reservation_id}" for line in lines
    )


def refunds_follow_charges(scope: Scope = ALL) -> list[str]:
    """Only what was charged is refunded."""
    charged = Transfer.objects.filter(kind=Transfer.Kind.SETTLE, reservation_id=OuterRef("reservation_id"))
    lines = scope.lines.filter(~Exists(charged), kind=Transfer.Kind.REFUND).order_by("pk")
    return shown(f"line {line.pk}: refund {line.amount} of reserve {line.reservation_id}" for line in lines)


def closed_wallets_are_empty(scope: Scope = ALL) -> list[str]:
    """Nothing is available in a period that is closed."""
    wallets = scope.of_wallets.filter(closed_at__isnull=False, available__gt=0).order_by("pk")
    return shown(f"wallet {w.pk}: {w.available} available" for w in wallets)


def open_wallets_carry_their_quota(scope: Scope = ALL) -> list[str]:
    """The open wallet got at least what its quota says (more, where a cut found too little to take)."""
    allotted = Coalesce(Sum("transfers__amount", filter=Q(transfers__kind=Transfer.Kind.ALLOT)), 0)
    wallets = (
        scope.of_wallets.filter(closed_at__isnull=True)
        .annotate(allotted=allotted, wanted=F("quota__credits"))
        .filter(allotted__lt=F("wanted"))
        .order_by("pk")
    )
    return shown(f"wallet {w.pk}: {w.allotted} of {w.wanted}" for w in wallets)


def top_ups_expire_what_they_have(scope: Scope = ALL) -> list[str]:
    """A top-up expires no more than it gave, and what top-ups expired is in their wallet's journal."""
    of_wallets = TopUp.objects.filter(grant__wallet__in=scope.of_wallets.values("pk"))
    wrong = of_wallets.exclude(grant__kind=Transfer.Kind.GRANT, expired__lte=F("grant__amount")).order_by(
        "pk"
    )
    found = [f"top-up {t.pk}: {t.expired} of {t.grant.amount} expired" for t in wrong.select_related("grant")]
    sums = of_wallets.order_by().values("grant__wallet").annotate(n=Sum("expired"))
    more = sums.filter(n__gt=F("grant__wallet__expired")).values_list("grant__wallet", "n")
    return shown([*found, *(f"wallet {pk}: {n} expired of top-ups alone" for pk, n in more)])


def rows_obey_checks(app: str) -> list[str]:
    """Every row of an app fulfils the CHECK constraints of its model."""
    found = []
    for model in apps.get_app_config(app).get_models():
        for constraint in model._meta.constraints:
            if isinstance(constraint, CheckConstraint):
                count = model._base_manager.exclude(constraint.condition).count()
                found += [f"{constraint.name}: {count} rows"] if count else []
    return found


def constraints_stand(app: str) -> list[str]:
    """Every constraint and unique field of an app's models is there in the database itself."""
    found = []
    with connection.cursor() as cursor:
        for model in apps.get_app_config(app).get_models():
            table = model._meta.db_table
            standing = connection.introspection.get_constraints(cursor, table)
            found += [c.name for c in model._meta.constraints if c.name not in standing]
            unique = {tuple(c["columns"]) for c in standing.values() if c["unique"] or c["primary_key"]}
            for field in model._meta.local_concrete_fields:
                if field.unique and (field.column,) not in unique:
                    found.append(f"{table}.{field.column} unique")
    return found


def triggers_stand(scope: Scope = ALL) -> list[str]:
    """Nobody has taken away what keeps journal and audit append-only."""
    return triggers.missing()


INVARIANTS = (
    Invariant("each wallet is the sum of its journal, without a gap", wallets_equal_their_journal),
    Invariant("the journal replays line by line", journal_replays),
    Invariant("charges, returns and refunds fit the credits that were held", resolutions_fit),
    Invariant("only what was charged is refunded", refunds_follow_charges),
    Invariant("closed wallets have nothing available", closed_wallets_are_empty),
    Invariant("open wallets carry their quota", open_wallets_carry_their_quota),
    Invariant("top-ups expire no more than they gave", top_ups_expire_what_they_have),
    Invariant(
        "people, quotas and wallets obey every CHECK", lambda _: rows_obey_checks("accounts"), whole=True
    ),
    Invariant("the constraints of people, quotas and wallets stand", lambda _: constraints_stand("accounts")),
    Invariant("the triggers that keep journal and audit append-only stand", triggers_stand),
)
