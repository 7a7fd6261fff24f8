"""What people may do to people, quotas and keys; each change leaves its audit entry in the same transaction."""

from accounts.services.auditing import audit
from accounts.services.credits import DEFAULT_CREDITS, DEFAULT_PERIOD, adjust, grant, lift_quota, set_quota
from accounts.services.keys import (
    Limits,
    change_key,
    end_old_secret,
    limits_of,
    make_key,
    revoke_key,
    rotate_key,
)
from accounts.services.people import Provisioned, provision, set_active, set_role

__all__ = [
    "DEFAULT_CREDITS",
    "DEFAULT_PERIOD",
    "Limits",
    "Provisioned",
    "adjust",
    "audit",
    "change_key",
    "end_old_secret",
    "grant",
    "lift_quota",
    "limits_of",
    "make_key",
    "provision",
    "revoke_key",
    "rotate_key",
    "set_active",
    "set_quota",
    "set_role",
]
