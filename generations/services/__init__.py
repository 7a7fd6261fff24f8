"""What happens to generations: the verbs of people, what the world said, and what time does.

Database only, atomic, no network. Doors call ``requests``; tasks call ``outcomes`` and ``sweep``.
"""

from generations.dispatch import fence
from generations.services.doubts import attach_id, confirm_wish, pending_wish, release, write_off
from generations.services.forecasts import Forecast, forecast, forecast_new
from generations.services.outcomes import (
    PollDue,
    claim_polls,
    claim_store,
    record_account_fault,
    record_doubt,
    record_missing,
    record_not_sent,
    record_reading,
    record_refused,
    record_store_failed,
    record_stored,
    record_submitted,
    record_throttled,
)
from generations.services.requests import cancel, create, delete, names_mode, recipe_request, retry, undelete
from generations.services.sweep import sweep_due
from generations.services.wakeups import wake_dispatch

__all__ = [
    "Forecast",
    "PollDue",
    "attach_id",
    "cancel",
    "claim_polls",
    "claim_store",
    "confirm_wish",
    "create",
    "delete",
    "fence",
    "forecast",
    "forecast_new",
    "names_mode",
    "pending_wish",
    "recipe_request",
    "record_account_fault",
    "record_doubt",
    "record_missing",
    "record_not_sent",
    "record_reading",
    "record_refused",
    "record_store_failed",
    "record_stored",
    "record_submitted",
    "record_throttled",
    "release",
    "retry",
    "sweep_due",
    "undelete",
    "wake_dispatch",
    "write_off",
]
