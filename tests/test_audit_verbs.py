"""Every verb of the services says here what it leaves in the audit; the code itself is read to see that it does.

A new verb without a row fails, and so does one that writes another line than its row says, or none.
"""

from __future__ import annotations

import ast
import types
from pathlib import Path

import pytest

import accounts.services
import generations.services
from accounts.manage.audit_views import ABOUT

ROOT = Path(__file__).parent.parent
PACKAGES = {"accounts": accounts.services, "generations": generations.services}

# What decides about people, money, rules or doors, and the lines that it may write. A * stands for what varies.
AUDITED: dict[str, str] = {
    # people
    "make_user": "user.make user.role quota.set quota.lift",
    "provision": "user.make user.role quota.set quota.lift key.make key.bound",
    "set_active": "user.suspend user.resume",
    "set_role": "user.role",
    "set_models": "user.models",
    "sign_out": "user.sign_out",
    "send_reset": "user.reset",
    "reset_password": "user.password",
    "apply_import": (
        imported := "user.import user.role team.add team.remove quota.set quota.lift invitation.make"
    ),
    "run_import": imported,
    "close_account": "user.retire",
    "forget_name": "user.forget",
    "forget_leavers": "user.forget",
    "retire_user": "user.retire webhook.remove",
    "hand_over": "user.hand_over",
    "invite": "invitation.make",
    "send_again": "invitation.again",
    "withdraw": "invitation.withdraw",
    "accept": "invitation.accept user.make user.role quota.set quota.lift",
    # teams and what is shared
    "make_team": "team.make",
    "change_team": "team.change",
    "add_member": "team.add",
    "remove_member": "team.remove",
    "share": "share.team",
    "share_many": "share.team",
    "unshare": "share.private",
    "make_link": "link.make",
    "revoke_link": "link.revoke",
    # money
    "set_quota": "quota.set quota.lift",
    "set_quotas": "quota.set quota.lift",
    "set_default_quotas": "quota.default",
    "apply_edit": "quota.bulk quota.set quota.lift",
    "grant": "quota.grant",
    "adjust": "quota.adjust",
    "ask_for_credits": "request.make",
    "grant_request": "request.* quota.grant quota.set quota.lift",
    "decline_request": "request.*",
    # keys and webhooks
    "make_key": "key.make key.bound quota.set quota.lift",
    "change_key": "key.change key.bound quota.set quota.lift",
    "rotate_key": "key.rotate",
    "end_old_secret": "key.end_old",
    "revoke_key": "key.revoke",
    "register_webhook": "webhook.make",
    "change_webhook": "webhook.change",
    "rotate_webhook": "webhook.rotate",
    "pause_webhook": "webhook.pause",
    "resume_webhook": "webhook.resume",
    "remove_webhook": "webhook.remove",
    "replay_webhooks": "webhook.replay",
    # prices and operations
    "publish_rules": "catalogue.publish",
    "withdraw_rules": "catalogue.withdraw",
    "pause_sending": "sending.pause",
    "resume_sending": "sending.resume",
    "store_now": "store.now",
    "attach_id": "doubt.attach",
    "release": "doubt.*",
    "write_off": "doubt.*",
    "add_alarm_target": "alarm.target.add",
    "change_alarm_target": "alarm.target.change",
    "switch_alarm_target": "alarm.target.on alarm.target.off",
    "remove_alarm_target": "alarm.target.remove",
}
# Told by the history of the generation itself, which has its actor too.
BY_EVENTS = {"cancel", "cancel_batch", "delete", "delete_many"}
# Looks, or asks others to look or to do it: nothing is changed by it.
CHANGES_NOTHING = {
    "audit",
    "begin_import",
    "import_of",
    "invitations_of",
    "plan_import",
    "preview",
    "requests_for",
    "test_alarm_target",
}


class Function:
    """A function of a service: the lines that it writes itself, and the functions of services that it calls."""

    def __init__(self, module: str, node: ast.FunctionDef, aliases: set[str]) -> None:
        self.module = module
        self.takes_actor = any(arg.arg == "actor" for arg in (*node.args.args, *node.args.kwonlyargs))
        self.writes: set[str] = set()
        self.calls: set[str] = set()
        for call in (part for part in ast.walk(node) if isinstance(part, ast.Call)):
            target = call.func
            name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
            of = getattr(target.value, "id", "") if isinstance(target, ast.Attribute) else None
            if name == "audit":
                self.writes |= _actions(call.args[0])
            elif of is None or of in aliases:
                self.calls.add(name)


def _aliases(tree: ast.Module) -> set[str]:
    """The names under which a module knows services: ``people``, ``teams``, …"""
    return {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == "services" or (node.module or "").endswith(".services")
    }


def _actions(node: ast.expr) -> set[str]:
    if isinstance(node, ast.IfExp):
        return _actions(node.body) | _actions(node.orelse)
    if isinstance(node, ast.JoinedStr):
        return {"".join(part.value if isinstance(part, ast.Constant) else "*" for part in node.values)}
    assert isinstance(node, ast.Constant), "an action is said where it is written"
    return {node.value}


def functions() -> dict[tuple[str, str], Function]:
    """Every function of the services, by its module and its name."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package / "services").glob("*.py"):
            tree, module = ast.parse(path.read_text()), f"{package}.{path.stem}"
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef):
                    found[module, node.name] = Function(module, node, _aliases(tree))
    return found


KNOWN = functions()
# A name with an underscore is its module's own; of the others there is one of each name.
PUBLIC = {name: key for key in KNOWN for name in [key[1]] if not name.startswith("_")}
VERBS = {
    name: PUBLIC[name]
    for services in PACKAGES.values()
    for name in services.__all__
    if isinstance(getattr(services, name), types.FunctionType) and name in PUBLIC
}


def lines_of(verb: str) -> set[str]:
    """What a verb may write, itself or by what it calls."""
    seen, waiting, found = set(), [VERBS[verb]], set[str]()
    while waiting:
        key = waiting.pop()
        if key in seen:
            continue
        seen.add(key)
        found |= KNOWN[key].writes
        for name in KNOWN[key].calls:
            nearest = (key[0], name)
            if nearest in KNOWN or name in PUBLIC:
                waiting.append(nearest if nearest in KNOWN else PUBLIC[name])
    return found


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verb_writes_the_lines_of_its_row(verb: str) -> None:
    wanted = set(AUDITED.get(verb, "").split())
    assert lines_of(verb) == wanted, "tell in AUDITED what this verb leaves in the audit"
    if KNOWN[VERBS[verb]].takes_actor:
        assert wanted or verb in BY_EVENTS | CHANGES_NOTHING, (
            "somebody decides something, and no line tells of it"
        )


def test_every_row_has_its_verb() -> None:
    assert set(AUDITED) | BY_EVENTS | CHANGES_NOTHING <= set(VERBS)


def test_every_kind_of_line_has_its_filter_on_the_page() -> None:
    kinds = {action.partition(".")[0] for key in KNOWN for action in KNOWN[key].writes}
    assert kinds <= set(ABOUT), "the page of the audit has no filter for it"
