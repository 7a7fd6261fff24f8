"""Which rules are in force, and how admins change them: by a new version that begins at a time."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import Team, User
from accounts.services import audit
from generations import rulebook
from generations.catalogue import BUILT_IN, Rules
from generations.models import CatalogueVersion
from generations.services.operators import check_operator
from kling_platform.errors import InvalidValue, WrongState

# A process asks the database once in this many seconds; a price is the one that its rules name, so nobody
# pays another than the one he was shown by more than that.
KEPT_SECONDS = 1.0

_kept: tuple[float, Rules] | None = None
_known: dict[str, Rules] = {}


def current_rules() -> Rules:
    """The rules in force, at most ``KEPT_SECONDS`` old."""
    global _kept
    now = time.monotonic()
    if _kept is None or now - _kept[0] > KEPT_SECONDS:
        _kept = (now, rules_in_force())
    return _kept[1]


def rules_in_force() -> Rules:
    """The rules in force by the database's clock, in one query; the built-in ones until there are others."""
    version = CatalogueVersion.objects.begun().values_list("version", flat=True).first()
    return BUILT_IN if version is None else rules_of(version)


def newest_rules() -> Rules:
    """The last ones that were published, in force or still to come: what the next change starts from."""
    version = CatalogueVersion.objects.order_by("-pk").values_list("version", flat=True).first()
    return BUILT_IN if version is None else rules_of(version)


def rules_of(version: str) -> Rules:
    """The rules of a version that a generation names; those in force where it is not known any more."""
    if version == BUILT_IN.version:
        return BUILT_IN
    if version not in _known:
        data = CatalogueVersion.objects.filter(version=version).values_list("rules", flat=True).first()
        if data is None:
            return current_rules()
        _known[version] = rulebook.from_data(data, version)
    return _known[version]


def forget_rules() -> None:
    """Read anew next time."""
    global _kept
    _kept = None
    _known.clear()


@transaction.atomic
def publish_rules(
    rules: Rules, *, base: str, actor: User, effective_from: datetime | None = None, note: str = ""
) -> CatalogueVersion:
    """Let these rules be in force from a time on (now by default); running generations keep their price.

    ``base`` is the version that the editor started from: where another one was published meanwhile,
    ``WrongState``. Raises ``InvalidValue`` for rules that make no sense, or that change nothing.
    """
    check_operator(actor)
    now = timezone.now()
    if effective_from is not None and effective_from < now:
        raise InvalidValue(_("This time is over. Choose one that is still to come."), param="effective_from")
    newest = CatalogueVersion.objects.select_for_update().order_by("-pk").first()
    if base != (newest.version if newest else BUILT_IN.version):
        raise WrongState(
            _("Somebody else changed the catalogue meanwhile; nothing was saved. Look again, then decide.")
        )
    version = _next_version(now)
    rules = rulebook.check(rules)
    _check_teams(rules)
    found = rule_changes(rules_of(base), rules)
    if not found:
        raise InvalidValue(_("Nothing is different, so nothing was saved."))
    try:
        with transaction.atomic():
            row = CatalogueVersion.objects.create(
                version=version,
                rules=rulebook.as_data(rules),
                effective_from=effective_from or Now(),
                note=note.strip()[:200],
                actor=actor,
            )
    except IntegrityError as error:  # two first versions at once have no row to lock
        raise WrongState(
            _("Somebody else changed the catalogue at this moment; nothing was saved.")
        ) from error
    row.refresh_from_db()
    audit(
        "catalogue.publish",
        version,
        actor=actor,
        changes=found,
        from_=row.effective_from.isoformat(),
        note=note,
    )
    transaction.on_commit(forget_rules)
    return row


def _check_teams(rules: Rules) -> None:
    for model in rules.models:
        if Team.objects.filter(pk__in=model.teams).count() != len(model.teams):
            raise InvalidValue(_("There is no such team. Look again, then choose."), param=model.name)


def rule_changes(old: Rules, new: Rules) -> list[dict[str, Any]]:
    """What differs, see ``rulebook.changes``; teams by their names of today."""
    found = rulebook.changes(old, new)
    kept = [change for change in found if change["what"].endswith(" teams")]
    if kept:
        names = dict(Team.objects.values_list("pk", "name"))
        for change in kept:
            for side in ("from", "to"):
                teams = change[side] or []
                change[side] = ", ".join(names.get(pk, str(pk)) for pk in teams) or _("everybody")
    return found


@transaction.atomic
def withdraw_rules(version: str, *, actor: User) -> None:
    """Take back a version that has not begun; ``WrongState`` once it has."""
    check_operator(actor)
    if not CatalogueVersion.objects.planned().filter(version=version).delete()[0]:
        raise WrongState(_("This version has begun, or is gone. Publish another one instead."))
    audit("catalogue.withdraw", version, actor=actor)
    transaction.on_commit(forget_rules)


def catalogue_history() -> list[dict[str, Any]]:
    """Every version, newest first, with what it changed against the one before it."""
    rows = list(CatalogueVersion.objects.select_related("actor").order_by("pk"))
    known = [BUILT_IN, *(rulebook.from_data(row.rules, row.version) for row in rows)]
    return [
        {"row": row, "changes": rule_changes(old, new)}
        for row, old, new in zip(rows, known, known[1:], strict=False)
    ][::-1]


def _next_version(now: datetime) -> str:
    """“2026-12-01”, and “2026-12-01.2” for the second one of a day."""
    day = f"{timezone.localtime(now):%Y-%m-%d}"
    taken = CatalogueVersion.objects.filter(version__startswith=day).count()
    return f"{day}.{taken + 1}" if taken else day
