"""What happens to generations: the verbs of people, what the world said, and what time does.

Database only, atomic, no network. Doors call ``requests`` and ``webhooks``; tasks call ``outcomes``,
``polls``, ``deliveries`` and ``sweep``.
"""

from generations.dispatch import fence
from generations.outbox import wake as wake_deliver
from generations.services.catalogues import (
    catalogue_history,
    current_rules,
    forget_rules,
    publish_rules,
    rules_in_force,
    rules_of,
    withdraw_rules,
)
from generations.services.deliveries import (
    DeliveryDue,
    claim_deliveries,
    forget_deliveries,
    has_deliveries,
    record_try,
)
from generations.services.doubts import attach_id, confirm_wish, pending_wish, release, write_off
from generations.services.forecasts import Forecast, forecast, forecast_new
from generations.services.once import Answered, KeyReused, Once, digest_of, forget_answers, make_once
from generations.services.outcomes import (
    claim_store,
    record_account_fault,
    record_doubt,
    record_not_sent,
    record_refused,
    record_store_failed,
    record_stored,
    record_submitted,
    record_throttled,
)
from generations.services.polls import (
    PollDue,
    claim_polls,
    due_polls,
    record_missing,
    record_progress,
    record_reading,
    record_readings,
)
from generations.services.requests import (
    cancel,
    create,
    delete,
    may_change,
    names_mode,
    recipe_request,
    retry,
    undelete,
)
from generations.services.sweep import sweep_due
from generations.services.wakeups import wake_dispatch
from generations.services.webhooks import (
    change_webhook,
    pause_webhook,
    register_webhook,
    remove_webhook,
    replay_delivery,
    replay_failed,
    resume_webhook,
    rotate_webhook,
    send_test,
)

__all__ = [
    "Answered",
    "DeliveryDue",
    "Forecast",
    "KeyReused",
    "Once",
    "PollDue",
    "attach_id",
    "cancel",
    "catalogue_history",
    "change_webhook",
    "claim_deliveries",
    "claim_polls",
    "claim_store",
    "confirm_wish",
    "create",
    "current_rules",
    "delete",
    "digest_of",
    "due_polls",
    "fence",
    "forecast",
    "forecast_new",
    "forget_answers",
    "forget_deliveries",
    "forget_rules",
    "has_deliveries",
    "make_once",
    "may_change",
    "names_mode",
    "pause_webhook",
    "pending_wish",
    "publish_rules",
    "recipe_request",
    "record_account_fault",
    "record_doubt",
    "record_missing",
    "record_not_sent",
    "record_progress",
    "record_reading",
    "record_readings",
    "record_refused",
    "record_store_failed",
    "record_stored",
    "record_submitted",
    "record_throttled",
    "record_try",
    "register_webhook",
    "release",
    "remove_webhook",
    "replay_delivery",
    "replay_failed",
    "resume_webhook",
    "retry",
    "rotate_webhook",
    "rules_in_force",
    "rules_of",
    "send_test",
    "sweep_due",
    "undelete",
    "wake_deliver",
    "wake_dispatch",
    "withdraw_rules",
    "write_off",
]
