"""For whom a generation is made, and who may see it: the rules of teams, held where something is made or shared.

``team`` and ``visibility`` are fields of ours beside those of the wire; upstream never hears of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import Team, User
from accounts.services import audit
from generations.models import Generation
from kling_platform import prepared
from kling_platform.errors import Forbidden, InvalidValue, PlatformError, WrongState

OURS = ("team", "visibility")
Visibility = Generation.Visibility


class Audience(NamedTuple):
    """The team that a generation is made for, None for its owner alone, and whether the team sees it."""

    team: Team | None
    visibility: str


def audience_of(user: User, request: Mapping[str, Any]) -> Audience:
    """What a request says about teams.

    Without ``team`` a member of one team makes it for that team, anybody else for himself; an empty or null
    ``team`` is for himself. ``InvalidValue`` for a team that is not his, ``Forbidden`` where it may not share.
    """
    team = _team(user, request)
    visibility = request.get("visibility") or Visibility.PRIVATE
    if visibility not in Visibility.values:
        raise InvalidValue(_("visibility is private or team."), param="visibility")
    if visibility == Visibility.TEAM:
        if team is None:
            raise InvalidValue(
                _("Only what is made for a team can be shared with it: name the team."), param="visibility"
            )
        _check_sharing(team)
    return Audience(team, visibility)


def _team(user: User, request: Mapping[str, Any]) -> Team | None:
    mine = list(_teams(user) if prepared.is_possible() else _teams_twin(user))
    if "team" not in request:
        return mine[0] if len(mine) == 1 else None
    named = request["team"]
    if named in (None, ""):
        return None
    found = next((team for team in mine if team.name == named), None)
    if found is None:
        names = ", ".join(team.name for team in mine)
        raise InvalidValue(
            _("You are in no team of this name. Your teams: %(teams)s.") % {"teams": names}
            if mine
            else _("You are in no team of this name: leave team out."),
            param="team",
        )
    return found


def _teams_twin(user: User) -> Iterable[Team]:
    return user.teams.order_by("name")


def _teams(user: User) -> Iterable[Team]:
    """What its twin finds: each create asks for it."""
    return map(_TEAM.take, prepared.every(_TEAMS, {"user": user.pk}))


_TEAM = prepared.Columns(Team, "t")
_TEAMS = f"""
SELECT {_TEAM.sql}
  FROM accounts_team t JOIN accounts_team_members m ON m.team_id = t.id
 WHERE m.user_id = %(user)s
 ORDER BY t.name
"""  # noqa: S608


def on_the_wire(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request without the fields that are ours alone."""
    return {key: value for key, value in request.items() if key not in OURS}


def same_audience(generation: Generation, user: User) -> dict[str, Any]:
    """The team for which somebody makes this generation again: the same, where he is in it; never shared unasked."""
    if generation.team is not None and user.teams.filter(pk=generation.team_id).exists():
        return {"team": generation.team.name}
    return {"team": None} if generation.user_id == user.pk and generation.team is None else {}


def usual_team(user: User) -> str:
    """The name of the team that is meant where none is named, or nothing."""
    team = _team(user, {})
    return team.name if team else ""


def usually_shared(user: User, team: str) -> bool:
    """Whether the newest that this person made for the team of this name is shown to it."""
    made = Generation.objects.filter(user=user, made_for__name=team) if team else Generation.objects.none()
    newest = made.newest_first().values_list("visibility", flat=True).first()
    return newest == Visibility.TEAM


def teams_to_share(generation: Generation) -> list[Team]:
    """Those of its owner's teams that it can be shared with."""
    teams = generation.user.teams.filter(sharing=True).order_by("name")
    return list(teams.filter(pk=generation.team_id) if generation.team_id else teams)


@transaction.atomic
def share(generation: Generation, *, team: Team, actor: User | None = None) -> Generation:
    """Show a generation to its team; one that was made for no team joins ``team``, which its owner must be in.

    Sharing moves no credits: who paid stays who paid.
    """
    if generation.team not in (None, team):
        raise WrongState(_("It was made for another team. Make it again for this one, or share it there."))
    if not generation.user.teams.filter(pk=team.pk).exists():
        raise Forbidden(_("Its owner is not in this team."), param="team")
    _check_sharing(team)
    if _see(generation, team=team, visibility=Visibility.TEAM):
        audit("share.team", generation.pk, actor=actor or generation.user, team=team.name)
    return generation


def share_many(generations: Iterable[Generation], *, team: Team) -> tuple[int, str]:
    """How many are shown to the team now, and why the others are not (empty when all are)."""
    shared, refusal = 0, ""
    for generation in generations:
        try:
            share(generation, team=team)
        except PlatformError as why:
            refusal = str(why)
        else:
            shared += 1
    return shared, refusal


@transaction.atomic
def unshare(generation: Generation, *, actor: User | None = None) -> Generation:
    """Show it to its owner alone again."""
    if _see(generation, team=generation.team, visibility=Visibility.PRIVATE):
        audit("share.private", generation.pk, actor=actor or generation.user)
    return generation


def _see(generation: Generation, *, team: Team | None, visibility: str) -> bool:
    """Whether that is new."""
    other = Generation.objects.filter(pk=generation.pk).exclude(team=team, visibility=visibility)
    changed = other.update(team=team, visibility=visibility) == 1
    generation.refresh_from_db(fields=["team", "visibility"])
    return changed


def _check_sharing(team: Team) -> None:
    if not team.sharing:
        raise Forbidden(
            _("The team %(team)s does not share videos. Keep it private, or ask the team's manager.")
            % {"team": team.name},
            param="visibility",
        )
