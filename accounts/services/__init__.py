"""What people may do to people, quotas and keys; each change leaves its audit entry in the same transaction."""

from accounts.services.auditing import audit
from accounts.services.credits import DEFAULT_CREDITS, DEFAULT_PERIOD, adjust, grant, set_quota
from accounts.services.keys import make_key, revoke_key
from accounts.services.people import Provisioned, provision, set_active, set_role

__all__ = [
    "DEFAULT_CREDITS",
    "DEFAULT_PERIOD",
    "Provisioned",
    "adjust",
    "audit",
    "grant",
    "make_key",
    "provision",
    "revoke_key",
    "set_active",
    "set_quota",
    "set_role",
]
