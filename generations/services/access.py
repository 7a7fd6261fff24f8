"""Who may use which model: one rule, asked by every door.

Four lists may narrow the catalogue, and all of them have to agree: the model's own (the teams whose people alone
may ask for it), the person's, the team's that it is made for, and the key's. An empty list narrows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from django.utils.translation import gettext as _

from accounts.models import ApiKey, Team, User
from accounts.services import deciders
from generations.catalogue import Model, Rules
from generations.services.catalogues import current_rules
from kling_platform.errors import Forbidden

NAMED = 3  # people to ask, at most


class ModelNotAllowed(Forbidden):
    """The person, the team or the key may not use this model (403)."""

    code = "model_not_allowed"


def check_model(
    user: User, name: str, *, rules: Rules, team: Team | None = None, api_key: ApiKey | None = None
) -> None:
    """``ModelNotAllowed`` where this user may not use a model that is offered, for this team, with this key.

    The sentence says whose rule it is, what may be used instead, and whom to ask.
    """
    model = next(model for model in rules.offered if model.name == name)
    if not _is_for(model, user):
        rest = [other.name for other in rules_for(user, api_key=api_key, rules=rules).offered]
        raise _refusal(
            _("%(model)s is for the people of certain teams, and you are in none of them."), model, rest, user
        )
    if not _names(user.models_allowed, model):
        raise _refusal(_("You may not use %(model)s."), model, user.models_allowed, user)
    if team is not None and not _names(team.models_allowed, model):
        raise ModelNotAllowed(
            _(
                "The team %(team)s does not use %(model)s, so nothing was made and nothing was charged. It uses: "
                "%(models)s. Take one of these, make it for yourself, or ask the team's manager."
            )
            % {"team": team.name, "model": model.name, "models": ", ".join(team.models_allowed)},
            param="model",
        )
    if api_key is not None and not _names(api_key.model_names, model):
        raise ModelNotAllowed(
            _("This key may use %(models)s only. Nothing was made, nothing was charged.")
            % {"models": ", ".join(api_key.model_names)},
            param="model",
        )


def rules_for(user: User, *, api_key: ApiKey | None = None, rules: Rules | None = None) -> Rules:
    """The rules in force with the models that this user (with this key) may use for themselves; maybe none."""
    rules = rules or current_rules()
    usable = [
        model
        for model in rules.offered
        if _names(user.models_allowed, model)
        and (api_key is None or _names(api_key.model_names, model))
        and _is_for(model, user)
    ]
    return replace(rules, models=tuple(usable))


def rules_to_show(user: User) -> Rules:
    """The same for a page. Where nothing may be used all is shown: the refusal then says whom to ask."""
    rules = current_rules()
    mine = rules_for(user, rules=rules)
    return mine if mine.models else rules


def _names(names: Sequence[str], model: Model) -> bool:
    return not names or model.name in names


def _is_for(model: Model, user: User) -> bool:
    """Whether the model is for everybody, or for a team of theirs. No question where nothing is kept for some."""
    return not model.teams or user.teams.filter(pk__in=model.teams).exists()


def _refusal(text: str, model: Model, rest: Sequence[str], user: User) -> ModelNotAllowed:
    whom = ", ".join(person.username for person in deciders(user)[:NAMED]) or _("an admin")
    way = (
        _("Nothing was made, nothing was charged. Take one of these: %(models)s, or ask %(whom)s.")
        if rest
        else _("Nothing was made, nothing was charged. Ask %(whom)s.")
    )
    text = f"{text} {way}" % {"model": model.name, "models": ", ".join(rest), "whom": whom}
    return ModelNotAllowed(text, param="model")
