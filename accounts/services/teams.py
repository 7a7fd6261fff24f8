"""Teams: made, named, who is in them, and the rules for what is made for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from accounts.models import Team, User
from accounts.services.auditing import audit
from kling_platform.errors import InvalidValue, WrongState

LONGEST_RETENTION = 3650  # days


@transaction.atomic
def make_team(name: str, *, actor: User) -> Team:
    """A team without members, with rules that forbid nothing."""
    name = _name(name)
    try:
        with transaction.atomic():
            team = Team.objects.create(name=name)
    except IntegrityError as error:
        raise _taken() from error
    audit("team.make", team, actor=actor)
    return team


@transaction.atomic
def change_team(
    team: Team,
    *,
    actor: User,
    version: int,
    name: str | None = None,
    models_allowed: Sequence[str] | None = None,
    sharing: bool | None = None,
    labelled: bool | None = None,
    share_links: bool | None = None,
    retention_days: int | None = None,
) -> Team:
    """Name and rules; None leaves a rule as it is, 0 retention days keep videos for good.

    ``version`` is the one that the editor saw: where another was faster, ``WrongState``.
    """
    wanted: dict[str, Any] = {
        "name": None if name is None else _name(name),
        "models_allowed": None if models_allowed is None else sorted(set(models_allowed)),
        "sharing": sharing,
        "labelled": labelled,
        "share_links": share_links,
    }
    changes = {key: value for key, value in wanted.items() if value is not None}
    if retention_days is not None:
        if not 0 <= retention_days <= LONGEST_RETENTION:
            raise InvalidValue(
                _("Days are a whole number from 0 to %(most)d.") % {"most": LONGEST_RETENTION},
                param="retention_days",
            )
        changes["retention_days"] = retention_days or None
    before = {key: getattr(team, key) for key in changes if getattr(team, key) != changes[key]}
    clock = {"retention_since": Now()} if "retention_days" in before else {}
    try:
        with transaction.atomic():
            seen = Team.objects.filter(pk=team.pk, version=version)
            if not seen.update(version=F("version") + 1, **changes, **clock):
                raise WrongState(
                    _(
                        "Somebody else changed this team meanwhile; nothing was saved. Look again, then decide."
                    )
                )
    except IntegrityError as error:
        raise _taken() from error
    team.refresh_from_db()
    if before:
        audit("team.change", team, actor=actor, before=before, after={key: changes[key] for key in before})
    return team


@transaction.atomic
def add_member(team: Team, user: User, *, actor: User) -> None:
    """Let somebody into a team; doing it again changes nothing."""
    if not team.members.filter(pk=user.pk).exists():
        team.members.add(user)
        audit("team.add", team, actor=actor, user=user.username)


@transaction.atomic
def remove_member(team: Team, user: User, *, actor: User) -> None:
    """Take somebody out. What they made for the team stays in its library; they see it no longer."""
    if team.members.filter(pk=user.pk).exists():
        team.members.remove(user)
        audit("team.remove", team, actor=actor, user=user.username)


def _name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise InvalidValue(_("Give the team a name of up to 100 characters."), param="name")
    return name


def _taken() -> InvalidValue:
    return InvalidValue(_("Another team has this name already."), param="name")
