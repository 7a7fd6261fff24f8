"""What operators may do to a generation in doubt: attach its id, release it, write it off. Each has a reason."""

from __future__ import annotations

import uuid

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from generations import lifecycle
from generations.models import UPSTREAM_ID_LENGTH, AttachWish, Generation, Status
from generations.services.operators import check_operator
from generations.services.outcomes import fail_and_release
from generations.services.paces import first_gap
from generations.services.wakeups import wake_confirm
from kling_platform.errors import InvalidValue, WrongState


@transaction.atomic
def attach_id(generation: Generation, *, upstream_id: str, actor: User, reason: str) -> AttachWish:
    """Wish that this id of upstream is ours; a task asks upstream, and the page shows "checking" until then."""
    check_operator(actor)
    reason = _checked_reason(reason)
    upstream_id = upstream_id.strip()
    if not 0 < len(upstream_id) <= UPSTREAM_ID_LENGTH or not upstream_id.isprintable():
        raise InvalidValue(_("This can't be an id of upstream."), param="upstream_id")
    if Generation.objects.filter(upstream_id=upstream_id).exists():
        raise InvalidValue(_("Another generation has this id already."), param="upstream_id")
    _in_doubt(generation, Q(upstream_id__isnull=True))
    wish, _made = AttachWish.objects.update_or_create(
        generation=generation,
        defaults={"upstream_id": upstream_id, "actor": actor, "reason": reason, "answer": ""},
    )
    audit("doubt.attach", generation.pk, actor=actor, upstream_id=upstream_id, reason=reason)
    wake_confirm(generation.pk)
    return wish


@transaction.atomic
def confirm_wish(wish: AttachWish, *, confirmed: bool, answer: str) -> bool:
    """Upstream's word on a wish: known there, the generation runs again; else the wish says why not."""
    wishes = AttachWish.objects.filter(pk=wish.pk, upstream_id=wish.upstream_id, answer="")
    if not wishes.update(answer=answer[:200] or "confirmed", answered_at=Now()) or not confirmed:
        return False
    return lifecycle.transition(
        wish.generation_id,
        Status.UNKNOWN,
        Status.RUNNING,
        guard=Q(upstream_id__isnull=True),
        note="id_attached",
        actor=wish.actor,
        detail={"reason": wish.reason},
        upstream_id=wish.upstream_id,
        claim_token=None,
        next_check_at=Now() + first_gap(wish.generation_id),  # it was asked about just now
    )


def release(generation: Generation, *, actor: User, reason: str) -> None:
    """End the doubt: nothing was made, as far as we can tell; the credits are returned."""
    _end(generation, actor=actor, reason=reason, note="released")


def write_off(generation: Generation, *, actor: User, reason: str) -> None:
    """End the doubt and note upstream's cost as lost; the credits are returned all the same."""
    _end(generation, actor=actor, reason=reason, note="written_off")


@transaction.atomic
def _end(generation: Generation, *, actor: User, reason: str, note: str) -> None:
    check_operator(actor)
    reason = _checked_reason(reason)
    _in_doubt(generation, Q())
    fail_and_release(
        generation.pk, Status.UNKNOWN, code="never_confirmed", message="", note=note, actor=actor
    )
    audit(f"doubt.{note}", generation.pk, actor=actor, reason=reason, price=generation.price)


def pending_wish(generation_id: uuid.UUID) -> AttachWish | None:
    """The wish that upstream has still to be asked about."""
    return AttachWish.objects.filter(generation_id=generation_id, answer="").select_related("actor").first()


def _checked_reason(reason: str) -> str:
    if not reason.strip():
        raise InvalidValue(_("Say why: a decision about a doubt needs a reason."), param="reason")
    return reason.strip()[:200]


def _in_doubt(generation: Generation, more: Q) -> None:
    """Lock the row, and refuse unless it is still in doubt."""
    rows = Generation.objects.select_for_update().filter(more, pk=generation.pk, status=Status.UNKNOWN)
    if not rows.exists():
        raise WrongState(_("This generation is not in doubt any more; nothing was changed. Look again."))
