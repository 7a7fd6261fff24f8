"""Many generations in one call: all checked first, priced together, made in one transaction.

A batch of any size is made with one guarded movement of each wallet that pays, and a handful of statements for
its rows; see ``tests/test_batches.py`` for the bound.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Count, Q, Sum
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import ledger, quotas
from accounts.models import ApiKey, Team, User, Wallet
from generations import lifecycle
from generations.models import Batch, Event, Generation, InputImage, Status, Tag
from generations.services import key_limits, teams
from generations.services.catalogues import current_rules
from generations.services.once import Once, take
from generations.services.requests import Frame, drafted, image_rows, kept_files
from generations.services.tags import read_tags, tags_of
from generations.services.wakeups import wake_dispatch
from kling_platform.errors import InvalidValue, PlatformError, Suspended, WrongState
from kling_platform.text import check_text

MOST_LINES = 200
# Pictures that are sent along are drawn anew, which takes a moment each; addresses are as many as one likes.
MOST_FILES = 20
HOLDING = (Status.QUEUED, Status.SUBMITTING, Status.RUNNING, Status.UNKNOWN)
CHARGED = (Status.STORING, Status.SUCCEEDED)
NOBODY_NAMED: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Line:
    """One request of a batch; ``number`` counts from 1, or is the line of a table that it begins on.

    ``place`` is what a refusal of the whole calls it. ``error`` is what the reader already found wrong.
    """

    number: int
    place: str
    request: Mapping[str, Any]
    error: PlatformError | None = None


@dataclass
class Draft:
    """A line that may be made."""

    line: Line
    generation: Generation
    frames: list[Frame]
    tags: list[str]


@dataclass
class Checked:
    """What became of the lines before anything is written."""

    team: Team | None
    drafts: list[Draft] = field(default_factory=list)
    refusals: list[tuple[Line, PlatformError]] = field(default_factory=list)

    @property
    def price(self) -> int:
        return sum(draft.generation.price for draft in self.drafts)

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The refusals as they are kept and answered, in the order of the lines."""
        lines = sorted(self.refusals, key=lambda refused: refused[0].number)
        return [
            {"line": line.number, "code": error.code, "message": str(error), "param": error.param}
            for line, error in lines
        ]


@dataclass(frozen=True)
class BatchQuote:
    """What a batch would cost, who would pay, and what stands against it."""

    checked: Checked
    balances: list[quotas.Balance]
    refusal: PlatformError | None


def batches_with_counts(rows: Any) -> Any:
    """Each batch with ``n_<status>`` of its generations, and ``held`` and ``charged`` credits; no question more."""
    counts = {f"n_{s.value}": Count("generations", filter=Q(generations__status=s)) for s in Status}
    sums = {
        name: Coalesce(Sum("generations__price", filter=Q(generations__status__in=states)), 0)
        for name, states in (("held", HOLDING), ("charged", CHARGED))
    }
    return rows.annotate(**counts, **sums)


def check_batch(
    *, user: User, api_key: ApiKey | None, lines: Sequence[Line], for_whom: Mapping[str, Any]
) -> Checked:
    """Look at every line as a single call would; nothing is written.

    ``for_whom`` has the fields of ``teams.audience_of``: one team for the whole batch, so one set of wallets.
    """
    if not user.is_active:
        raise Suspended(_("This account is suspended. Ask an admin."))
    if not 1 <= len(lines) <= MOST_LINES:
        raise InvalidValue(
            _("A batch has 1 to %(most)d requests; this one has %(count)d. Nothing was made.")
            % {"most": MOST_LINES, "count": len(lines)},
            param="requests",
        )
    audience, rules = teams.audience_of(user, for_whom), current_rules()
    checked, files = Checked(audience.team), 0
    for line in lines:
        try:
            if line.error is not None:
                raise line.error
            request = dict(line.request)
            if said := next((name for name in teams.OURS if name in request), None):
                raise InvalidValue(_("Say %(name)s once, for the whole batch.") % {"name": said}, param=said)
            tags = read_tags(request.pop("tags", None))
            generation, frames = drafted(
                user=user, request=request, api_key=api_key, rules=rules, audience=audience
            )
            files += sum(frame.file is not None for frame in frames)
            if files > MOST_FILES:
                raise InvalidValue(
                    _("A batch carries up to %(most)d pictures itself. Send the others as addresses.")
                    % {"most": MOST_FILES},
                    param="images",
                )
            checked.drafts.append(Draft(line, generation, frames, tags))
        except PlatformError as error:
            checked.refusals.append((line, error))
    return checked


def quote_batch(
    *, user: User, api_key: ApiKey | None, lines: Sequence[Line], for_whom: Mapping[str, Any] = NOBODY_NAMED
) -> BatchQuote:
    """The same check and the same wallets as the real call; nothing is made."""
    checked = check_batch(user=user, api_key=api_key, lines=lines, for_whom=for_whom)
    balances: list[quotas.Balance] = []
    refusal: PlatformError | None = None
    try:
        paying = quotas.paying_wallets(user=user, team=checked.team, api_key=api_key)
        wallets = Wallet.objects.in_bulk(paying)
        balances = [quotas.Balance(quota, wallets[pk]) for pk, quota in paying.items()]
        short = [pk for pk in paying if wallets[pk].available < checked.price]
        if short:
            refusal = quotas.refusal(short[0], paying[short[0]], checked.price)
    except PlatformError as error:
        refusal = error
    return BatchQuote(checked, balances, refusal)


def create_batch(
    *,
    user: User,
    lines: Sequence[Line],
    mode: str = Batch.Mode.ALL_OR_NOTHING,
    name: str = "",
    stop_at_failure_rate: float | None = None,
    for_whom: Mapping[str, Any] = NOBODY_NAMED,
    api_key: ApiKey | None = None,
    once: Once | None = None,
) -> Batch:
    """Queue the batch and hold its price, or raise a ``PlatformError`` and change nothing.

    All or nothing: one bad line, or too few credits for the whole, refuses it. Best effort: what passes and can
    be paid, in the order of the lines, is made, and ``refused`` lists the rest.
    """
    batch = Batch(
        user=user,
        api_key=api_key,
        mode=_mode(mode),
        name=_name(name),
        stop_at_failure_rate=_rate(stop_at_failure_rate),
        asked=len(lines),
    )
    checked = check_batch(user=user, api_key=api_key, lines=lines, for_whom=for_whom)
    if checked.refusals and (mode == Batch.Mode.ALL_OR_NOTHING or not checked.drafts):
        raise _refusal_of_all(checked)
    with contextlib.ExitStack() as stack:
        files = {
            draft.generation.pk: stack.enter_context(kept_files(draft.generation.pk, draft.frames))
            for draft in checked.drafts
            if draft.frames
        }
        _create_paid(batch, checked, files, once)
        if checked.refusals:
            _forget_files(checked, files)
    return batch


def _create_paid(batch: Batch, checked: Checked, files: dict[Any, list[str]], once: Once | None) -> None:
    wallets = {}
    try:
        with transaction.atomic():
            wallets = quotas.paying_wallets(user=batch.user, team=checked.team, api_key=batch.api_key)
            if batch.mode == Batch.Mode.BEST_EFFORT:
                _leave_out_what_cannot_be_paid(batch, checked, wallets)
            batch.refused = checked.errors
            _number(batch, checked)
            take(once, batch)
            _write(batch, checked.drafts, files)
            wake_dispatch()
            # Last, because it holds the wallets' rows until the commit.
            ledger.reserve_all(
                wallets, [ledger.Part(d.generation.price, d.generation.pk) for d in checked.drafts]
            )
            if batch.api_key is not None:
                key_limits.check_open(batch.api_key)
    except ledger.CannotPay as error:
        raise quotas.refusal(error.wallet_id, wallets[error.wallet_id], checked.price) from error


def _leave_out_what_cannot_be_paid(batch: Batch, checked: Checked, wallets: Mapping[int, Any]) -> None:
    """Move lines that credits or the key's limit have no room for to the refused ones; in order, each that fits.

    The wallets are locked from here on, so what fits now can be paid.
    """
    wallet = ledger.tightest(wallets)
    balance, left = quotas.Balance(wallets[wallet.pk], wallet), wallet.available
    room = key_limits.room(batch.api_key) if batch.api_key else None
    kept: list[Draft] = []
    for draft in checked.drafts:
        if room is not None and len(kept) >= room:
            refused: PlatformError = key_limits.TooManyOpen(
                _("The key has as many videos in the making as it may. Send this one when others are ready.")
            )
        elif draft.generation.price > left:
            refused = quotas.shortfall(balance, draft.generation.price, left=left)
        else:
            left -= draft.generation.price
            kept.append(draft)
            continue
        checked.refusals.append((draft.line, refused))
    checked.drafts = kept
    if not kept:
        raise _refusal_of_all(checked)


def _number(batch: Batch, checked: Checked) -> None:
    """Tie the generations to the batch, in the order of its lines, and count what is about to be there."""
    for place, draft in enumerate(checked.drafts):
        draft.generation.batch, draft.generation.batch_line = batch, draft.line.number
        draft.generation.created_at = batch.created_at + timedelta(microseconds=place)
    for status in Status:
        setattr(batch, f"n_{status.value}", len(checked.drafts) if status == Status.QUEUED else 0)
    batch.held, batch.charged = checked.price, 0  # type: ignore[attr-defined] # see ``batches_with_counts``


def _write(batch: Batch, drafts: Sequence[Draft], files: dict[Any, list[str]]) -> None:
    batch.save(force_insert=True)
    generations = [draft.generation for draft in drafts]
    Generation.objects.bulk_create(generations)
    Event.objects.bulk_create(
        Event(generation=generation, to_status=Status.QUEUED, actor=batch.user) for generation in generations
    )
    InputImage.objects.bulk_create(
        row
        for draft in drafts
        if draft.frames
        for row in image_rows(draft.generation, draft.frames, files[draft.generation.pk])
    )
    names = sorted({name for draft in drafts for name in draft.tags})
    tags = {tag.name: tag for tag in tags_of(batch.user, names)}
    Generation.tags.through.objects.bulk_create(_tagged(drafts, tags))


def _tagged(drafts: Iterable[Draft], tags: Mapping[str, Tag]) -> list[Any]:
    through = Generation.tags.through
    return [
        through(generation_id=draft.generation.pk, tag_id=tags[name].pk)
        for draft in drafts
        for name in draft.tags
    ]


def _forget_files(checked: Checked, files: dict[Any, list[str]]) -> None:
    """Pictures of lines that were left out at the last moment are not kept."""
    made = {draft.generation.pk for draft in checked.drafts}
    for pk, names in files.items():
        if pk not in made:
            for name in filter(None, names):
                default_storage.delete(name)


def _refusal_of_all(checked: Checked) -> PlatformError:
    """The first refusal, said of the whole: how many lines are at fault, and which is the first."""
    line, error = min(checked.refusals, key=lambda refused: refused[0].number)
    count = len(checked.refusals)
    text = ngettext(
        "%(count)d request of the batch cannot be made, so nothing was made and nothing was charged. "
        "%(place)s: %(why)s",
        "%(count)d requests of the batch cannot be made, so nothing was made and nothing was charged; "
        "?dry_run=1 lists them all. The first, %(place)s: %(why)s",
        count,
    ) % {"count": count, "place": line.place, "why": error.message}
    param = f"{line.place}.{error.param}" if error.param else line.place
    refusal = PlatformError(text, param=param, link=error.link)
    refusal.code, refusal.status = error.code, error.status  # type: ignore[misc]
    refusal.retry_after = error.retry_after
    return refusal


def cancel_batch(batch: Batch, *, actor: User) -> int:
    """Take back what of it was not sent yet, and return its credits. Returns how many; ``WrongState`` for none.

    Generations are taken first and in the order of their ids, wallets after them, as everywhere: it waits for
    others, and never in a circle.
    """
    with transaction.atomic():
        waiting = batch.generations.filter(status=Status.QUEUED).order_by("pk").values_list("pk", flat=True)
        canceled = [
            pk
            for pk in list(waiting)
            if lifecycle.transition(pk, Status.QUEUED, Status.CANCELED, actor=actor, note="canceled")
        ]
        ledger.release_all(canceled)
    if not canceled:
        raise WrongState(
            _(
                "Nothing of this batch is waiting any more. What was sent is finished, and charged if it succeeds."
            )
        )
    return len(canceled)


@transaction.atomic
def resume_batch(batch: Batch) -> None:
    """Send on what waits in a paused batch; failures are counted anew from here."""
    if not Batch.objects.filter(pk=batch.pk, paused_at__isnull=False).update(
        paused_at=None, counted_from=Now()
    ):
        raise WrongState(_("This batch is not paused."))
    wake_dispatch()


def _mode(mode: Any) -> str:
    if mode not in Batch.Mode.values:
        raise InvalidValue(_("mode is all_or_nothing or best_effort."), param="mode")
    return str(mode)


def _name(name: Any) -> str:
    if not isinstance(name, str) or len(name) > 100:
        raise InvalidValue(_("name is a text of up to 100 characters."), param="name")
    return check_text(name.strip(), param="name")


def _rate(rate: Any) -> float | None:
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise InvalidValue(
            _("stop_at_failure_rate is a share from 0 to below 1: 0.5 pauses when more than half fail."),
            param="stop_at_failure_rate",
        )
    return float(rate)
