"""What people may do to people, quotas and keys; each change leaves its audit entry in the same transaction."""

from accounts.services.asking import (
    ask_for_credits,
    deciders,
    decline_request,
    grant_request,
    requests_for,
)
from accounts.services.auditing import audit
from accounts.services.credits import DEFAULT_CREDITS, DEFAULT_PERIOD, adjust, grant, lift_quota, set_quota
from accounts.services.importing import Plan, apply_import, plan_import
from accounts.services.invitations import (
    accept,
    invitations_of,
    invite,
    record_mailed,
    send_again,
    withdraw,
)
from accounts.services.keys import (
    Limits,
    change_key,
    end_old_secret,
    limits_of,
    make_key,
    revoke_key,
    rotate_key,
)
from accounts.services.leaving import close_account, forget_name, retired_users
from accounts.services.notices import mark_read, notify, record_notice_mailed, unread
from accounts.services.people import (
    Provisioned,
    make_user,
    provision,
    reset_password,
    send_reset,
    set_active,
    set_role,
    sign_out,
)
from accounts.services.teams import add_member, change_team, make_team, remove_member
from accounts.services.warnings import warn_of_low_quotas

__all__ = [
    "DEFAULT_CREDITS",
    "DEFAULT_PERIOD",
    "Limits",
    "Plan",
    "Provisioned",
    "accept",
    "add_member",
    "adjust",
    "apply_import",
    "ask_for_credits",
    "audit",
    "change_key",
    "change_team",
    "close_account",
    "deciders",
    "decline_request",
    "end_old_secret",
    "forget_name",
    "grant",
    "grant_request",
    "invitations_of",
    "invite",
    "lift_quota",
    "limits_of",
    "make_key",
    "make_team",
    "make_user",
    "mark_read",
    "notify",
    "plan_import",
    "provision",
    "record_mailed",
    "record_notice_mailed",
    "remove_member",
    "requests_for",
    "reset_password",
    "retired_users",
    "revoke_key",
    "rotate_key",
    "send_again",
    "send_reset",
    "set_active",
    "set_quota",
    "set_role",
    "sign_out",
    "unread",
    "warn_of_low_quotas",
    "withdraw",
]
