"""A generation as programs see it: in answers of the API and in webhooks. No door, so that tasks may use it."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from generations.links import content_url
from generations.models import TERMINAL, Generation, Status
from generations.services import Forecast, forecast

PROCESSING, SUCCEEDED, FAILED = "processing", "succeeded", "failed"
# What an answer is made of: a page needs no hundred raw replies of upstream.
COLUMNS = (
    "id",
    "model",
    "seconds",
    "size",
    "price",
    "status",
    "progress",
    "error_code",
    "error_message",
    "created_at",
    "finished_at",
    # What a forecast needs.
    "user_id",
    "mode",
    "submitted_at",
    "batch_id",
    "batch_line",
)


def outward(status: str) -> str:
    """Our state in one of the three words that clients of the gateway know."""
    if status == Status.SUCCEEDED:
        return SUCCEEDED
    return FAILED if status in TERMINAL else PROCESSING


def as_created(generation: Generation) -> dict[str, Any]:
    """What a create is answered with; a read begins with the same."""
    return {
        "id": str(generation.pk),
        "task_id": str(generation.pk),
        "object": "video",
        "model": generation.model,
        "created_at": int(generation.created_at.timestamp()),
        "status": outward(generation.status),
        "progress": progress_of(generation),
        "state": str(generation.status),
    }


def as_video(generation: Generation) -> dict[str, Any]:
    """One generation as it stands now; its link is signed anew at each call."""
    video = as_created(generation) | {
        "seconds": generation.seconds,
        "size": generation.size,
        "cost": cost_of(generation),
    }
    if generation.status == Status.SUCCEEDED and generation.finished_at:
        video["completed_at"] = int(generation.finished_at.timestamp())
        video["url"] = content_url(generation.pk)
    if video["status"] == PROCESSING:
        video["queue"] = queue_of(forecast(generation))
    if video["status"] == FAILED:
        video["error"] = error_of(generation)
    if generation.batch_id:
        video |= {"batch_id": str(generation.batch_id), "batch_line": generation.batch_line}
    if tags := tags_of(generation):
        video["tags"] = tags
    return video


def tags_of(generation: Generation) -> list[str]:
    """Its tags by name, of a row that came by ``with_tags``; none of any other."""
    return sorted(filter(None, getattr(generation, "tag_names", "").split(",")))


def queue_of(found: Forecast | None) -> dict[str, int | None]:
    """Its place, while it waits, and the seconds until it is made, for half of all and for nine of ten;
    whether an operator holds it back."""
    return {
        "position": found.position if found else None,
        "eta_seconds": found.likely if found else None,
        "eta_seconds_at_most": found.at_most if found else None,
        "paused": found is not None and found.paused,
    }


def progress_of(generation: Generation) -> int:
    """100 is kept for what can be fetched."""
    return 100 if generation.status == Status.SUCCEEDED else min(generation.progress, 99)


def cost_of(generation: Generation) -> int:
    """Credits held or charged; what failed has been returned."""
    return 0 if outward(generation.status) == FAILED else generation.price


def error_of(generation: Generation) -> dict[str, str]:
    """Why it failed, and that nothing was charged; of one that did."""
    if generation.status == Status.CANCELED:
        reason, code = _("Canceled before it was sent."), "canceled"
    else:
        reason, code = reason_of(generation), generation.error_code or "upstream_failed"
    end = "" if reason[-1] in ".!?。！？" else "."
    return {"code": code, "message": f"{reason}{end} {_('Nothing was charged: all credits came back.')}"}


def reason_of(generation: Generation) -> str:
    """Why it failed: in our words, and the reader's language, where the gateway did not refuse it; else in its own."""
    ours = {
        "unsent": _("It waited for a day and could not be sent."),
        "never_confirmed": _("The gateway never said what became of it."),
        "video_gone": _("It was made, but its file was gone at the gateway before it could be fetched."),
        "picture_lost": _("Its picture could not be read any more."),
    }
    return ours.get(generation.error_code) or generation.error_message or _("The gateway gave no reason.")
