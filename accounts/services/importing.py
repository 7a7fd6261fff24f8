"""A table of people: looked at as a whole, shown as what it would do, then done in one transaction or not at all."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import Prefetch, Q
from django.db.models.functions import Lower, Now
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import quotas, rosters
from accounts.models import Invitation, PeopleImport, Quota, Team, User
from accounts.services.auditing import audit
from accounts.services.credits import check_credits, set_quota, set_quotas
from accounts.services.invitations import invite
from accounts.services.people import set_role
from accounts.services.teams import add_member, remove_member
from kling_platform.errors import Forbidden, InvalidValue, PlatformError, Suspended, WrongState

NEW, CHANGED, SAME, WRONG = "new", "changed", "same", "wrong"
FIELDS: dict[str, Promise] = {
    "role": gettext_lazy("role"),
    "teams": gettext_lazy("teams"),
    "credits": gettext_lazy("credits"),
    "period": gettext_lazy("period"),
}


@dataclass(frozen=True)
class Change:
    """One thing that becomes another, in the words of the table; ``before`` is empty where nothing was."""

    field: str
    before: str
    after: str

    @property
    def label(self) -> str:
        return str(FIELDS[self.field])

    @property
    def shown(self) -> tuple[str, str]:
        """Before and after in the reader's language."""
        words: dict[str, object] = {"role": User.Role, "period": Quota.Period}
        labels = {str(value): str(label) for value, label in getattr(words.get(self.field), "choices", ())}
        return labels.get(self.before, self.before), labels.get(self.after, self.after)


@dataclass
class Step:
    """What one line would do, or why it cannot; ``note`` is what one should know besides."""

    number: int
    who: str
    wish: rosters.Wish
    default: tuple[str, int]  # period and credits of somebody new
    user: User | None = None
    kind: str = SAME
    changes: list[Change] = field(default_factory=list)
    teams: list[Team] = field(default_factory=list)  # those to be in, among the ones that the actor manages
    quota: Quota | None = None
    error: str = ""
    note: str = ""

    def compare(self, name: str, before: object, after: object) -> None:
        """Note a change where there is one."""
        if before != after:
            self.changes.append(Change(name, "" if before is None else str(before), str(after)))


@dataclass(frozen=True)
class Plan:
    """All lines in their order."""

    steps: list[Step]

    @property
    def counts(self) -> dict[str, int]:
        """How many lines of each kind."""
        counted = Counter(step.kind for step in self.steps)
        return {kind: counted[kind] for kind in (NEW, CHANGED, SAME, WRONG)}

    @property
    def can_be_done(self) -> bool:
        counts = self.counts
        return not counts[WRONG] and counts[NEW] + counts[CHANGED] > 0

    @property
    def sorted(self) -> list[Step]:
        """What cannot be done first, then what would, then the rest; each in the order of the file."""
        order = (WRONG, NEW, CHANGED, SAME)
        return sorted(self.steps, key=lambda step: order.index(step.kind))

    @property
    def digest(self) -> str:
        """Stands for what was looked at: another one means that something would happen which nobody has seen."""
        said = [
            [step.number, step.who, step.kind, step.user and step.user.pk, step.quota and step.quota.version]
            + [[change.field, change.before, change.after] for change in step.changes]
            for step in self.steps
        ]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def plan_import(text: str, *, actor: User) -> Plan:
    """What this table would do now; nothing is written. ``InvalidValue`` where it is no table of people.

    Somebody new, by e-mail address, is invited. Of somebody who is here each filled cell is set, and an empty
    one leaves what is there. Admins set everything; a manager invites members into teams of his own, and moves
    their people among these.
    """
    if not actor.is_active:
        raise Suspended(_("This account is suspended. Ask an admin."))
    entries = rosters.read(text)
    known = _Known(entries, actor)
    return Plan([_step(entry, known) for entry in entries])


@transaction.atomic
def apply_import(text: str, *, digest: str, actor: User) -> Plan:
    """Do what was looked at: all of it or nothing.

    ``digest`` is that of the plan which was shown: where the table would do anything else by now, ``WrongState``.
    """
    plan = plan_import(text, actor=actor)
    ids = [step.user.pk for step in plan.steps if step.user]
    list(User.objects.select_for_update().filter(pk__in=ids).order_by("pk").values_list("pk"))
    plan = plan_import(text, actor=actor)  # again, now that nobody changes them any more
    if plan.digest != digest:
        raise WrongState(PeopleImport.Error.CHANGED.label)
    if not plan.can_be_done:
        raise WrongState(_("There is nothing to do, or a line that cannot be done. Nothing was changed."))
    # Wallets in the order in which everybody takes them.
    for step in sorted(plan.steps, key=lambda step: step.quota.pk if step.quota else 0):
        if step.kind == NEW:
            _invite(step, actor)
        elif step.kind == CHANGED and step.user:
            _change(step, step.user, actor)
    counts = plan.counts
    audit("user.import", actor, actor=actor, new=counts[NEW], changed=counts[CHANGED], same=counts[SAME])
    return plan


def _invite(step: Step, actor: User) -> None:
    wish = step.wish
    invite(
        step.who,
        actor=actor,
        role=wish.role or User.Role.MEMBER,
        teams=step.teams,
        credits=None if wish.credits is None and not wish.period else _quota_wanted(step)[0],
        period=wish.period or Quota.Period.MONTH,
    )


def _change(step: Step, user: User, actor: User) -> None:
    changed = {change.field for change in step.changes}
    if "role" in changed:
        set_role(user, step.wish.role, actor=actor)
    if "teams" in changed:
        before = user.managed_teams  # type: ignore[attr-defined]
        for team in step.teams:
            add_member(team, user, actor=actor)
        for team in before:
            if team not in step.teams:
                remove_member(team, user, actor=actor)
    if changed & {"credits", "period"}:
        credits, period = _quota_wanted(step)
        if (
            step.quota and step.quota.period != period
        ):  # the one that there is, for another period from now on
            seen = {step.quota.period: step.quota.version}
            set_quotas(user, {period: credits}, seen=seen, actor=actor)
        else:
            version = step.quota.version if step.quota else None
            set_quota(user, credits=credits, period=period, version=version, actor=actor)


# --- what a line would do -------------------------------------------------------


class _Known:
    """Everything that the lines are about, asked for once."""

    def __init__(self, entries: Sequence[rosters.Entry], actor: User) -> None:
        self.actor = actor
        self.decides_all = actor.role == User.Role.ADMIN
        managed = Team.objects.managed_by(actor).order_by("name")
        self.teams = {team.name.casefold(): team for team in managed}
        names = {entry.wish.user for entry in entries} - {""}
        emails = {entry.wish.email.lower() for entry in entries} - {""}
        rows = User.objects.annotate(address=Lower("email")).filter(
            Q(username__in=names) | Q(address__in=emails)
        )
        mine = Prefetch("teams", managed, to_attr="managed_teams")
        users = list(rows.prefetch_related(mine, quotas.AT_A_GLANCE).order_by("is_active", "pk"))
        self.by_name = {user.username: user for user in users}
        self.by_email = {user.email.lower(): user for user in users if user.email}
        visible = User.objects.visible_to(actor).filter(pk__in=[user.pk for user in users])
        self.visible = set(visible.values_list("pk", flat=True))
        waiting = Invitation.objects.annotate(address=Lower("email")).filter(
            address__in=emails, accepted_at=None, withdrawn_at=None, expires_at__gt=Now()
        )
        self.invited = set(waiting.values_list("address", flat=True))
        self.default = next(iter(quotas.default()[0].items()))
        self.line_of: dict[object, int] = {}


def _step(entry: rosters.Entry, known: _Known) -> Step:
    wish = entry.wish
    step = Step(entry.number, wish.email or wish.user, wish, known.default)
    try:
        if entry.error is not None:
            raise entry.error
        _find(step, known)
        step.teams = _teams(step, known)
        check_credits(wish.credits or 0)
        if step.user is not None:
            _compare_with(step.user, step, known)
        elif wish.email.lower() in known.invited:
            step.note = _("Has an invitation already. It stays as it is.")
        else:
            _compare_with_nobody(step, known)
    except PlatformError as refusal:
        step.kind, step.error, step.changes = WRONG, str(refusal), []
    return step


def _find(step: Step, known: _Known) -> None:
    """Who is meant, by name or by address; nobody twice."""
    name, email = step.wish.user, step.wish.email
    step.user = known.by_name.get(name) or known.by_email.get(email.lower())
    if step.user is not None:
        _check_is_meant(step.user, step.wish, known)
        step.who = step.user.username
    elif not email:
        raise InvalidValue(
            _("Nobody is called %(name)s. Give an e-mail address, and they are invited.") % {"name": name}
        )
    elif name:
        step.note = _("New people choose their own user name.")
    first = known.line_of.setdefault(step.user or email.lower(), step.number)
    if first != step.number:
        raise InvalidValue(_("Line %(line)d is about the same person. Keep one of them.") % {"line": first})


def _check_is_meant(user: User, wish: rosters.Wish, known: _Known) -> None:
    if user.pk not in known.visible:
        raise Forbidden(_("Is here already, in no team of yours. Ask an admin to add them."))
    if user.retired_at:
        raise WrongState(_("Has left, and does not come back."))
    if wish.user and wish.user != user.username:
        raise InvalidValue(_("This e-mail address is that of %(user)s.") % {"user": user})
    if wish.email and wish.email.lower() != user.email.lower():
        raise InvalidValue(
            _("%(user)s has another e-mail address here. Only they, or the administration, change it.")
            % {"user": user}
        )


def _teams(step: Step, known: _Known) -> list[Team]:
    """The teams that are named, or those that it is in where none are said."""
    if step.wish.teams is None:
        return list(getattr(step.user, "managed_teams", []))
    for name in step.wish.teams:
        if name.casefold() not in known.teams:
            raise InvalidValue(
                _("There is no team “%(name)s”. Make it first, or mend the name.") % {"name": name}
                if known.decides_all
                else _("You manage no team “%(name)s”.") % {"name": name}
            )
    found = {known.teams[name.casefold()] for name in step.wish.teams}
    return sorted(found, key=lambda team: team.name)


def _compare_with(user: User, step: Step, known: _Known) -> None:
    step.quota = _quota_of(user, step.wish)
    step.compare("role", user.role, step.wish.role or user.role)
    step.compare("teams", _named(user.managed_teams), _named(step.teams))  # type: ignore[attr-defined]
    if step.wish.credits is not None or step.wish.period:
        credits, period = _quota_wanted(step)
        step.compare("credits", step.quota and step.quota.credits, credits)
        step.compare("period", step.quota and step.quota.period, period)
    changed = {change.field for change in step.changes}
    if not known.decides_all and changed - {"teams"}:
        raise Forbidden(_("Only an admin changes roles and quotas. Leave these cells empty."))
    if user == known.actor and "role" in changed:
        raise WrongState(_("Your own role is for another admin to change."))
    step.kind = CHANGED if changed else SAME
    if not user.is_active:
        step.note = _("Is suspended, and stays so.")


def _compare_with_nobody(step: Step, known: _Known) -> None:
    wish = step.wish
    if not known.decides_all and (wish.role not in ("", User.Role.MEMBER) or not step.teams):
        raise Forbidden(_("You invite members, into teams of yours: name one of these."))
    if not known.decides_all and (wish.credits is not None or wish.period):
        raise Forbidden(_("Only an admin changes roles and quotas. Leave these cells empty."))
    credits, period = _quota_wanted(step)
    step.compare("role", None, wish.role or User.Role.MEMBER)
    step.compare("teams", "", _named(step.teams))
    step.compare("credits", None, credits)
    step.compare("period", None, period)
    step.kind = NEW


def _quota_wanted(step: Step) -> tuple[int, str]:
    """What the line says; for the rest what is there, or what everybody gets at first."""
    standing, wish = step.quota, step.wish
    period, credits = (standing.period, standing.credits) if standing else step.default
    return credits if wish.credits is None else wish.credits, wish.period or period


def _named(teams: Sequence[Team]) -> str:
    return "; ".join(team.name for team in teams)


def _quota_of(user: User, wish: rosters.Wish) -> Quota | None:
    """The quota that a line speaks of: that of its period, else the one that there is."""
    standing: list[Quota] = user.standing_quotas  # type: ignore[attr-defined]
    of_period = [quota for quota in standing if quota.period == wish.period]
    if len(standing) > 1 and wish.credits is not None and not wish.period:
        raise InvalidValue(_("Has more than one quota: say the period."))
    return of_period[0] if of_period else standing[0] if len(standing) == 1 else None
