"""Settings that must agree, held together at start (``manage.py check``). Every finding says the remedy."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured


@register(Tags.security)
def secrets_are_set(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Without DEBUG a real SECRET_KEY is needed: sessions, links and queued tasks are signed with it."""
    try:
        settings.SECRET_KEY  # noqa: B018 - Django raises when it is empty
    except ImproperlyConfigured:
        pass
    else:
        return []
    return [Error("SECRET_KEY is empty.", hint="Set SECRET_KEY to 50 random characters.", id="kling.E001")]


@register()
def lease_outlives_post(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A POST ends 15 s before its lease does, and the lease 15 s before the task is killed."""
    found: list[CheckMessage] = []
    if settings.OMNIMAAS_TIMEOUT + 15 > settings.SUBMIT_LEASE:
        found.append(
            Error(
                "A POST could outlive its lease.",
                hint="SUBMIT_LEASE ≥ OMNIMAAS_TIMEOUT + 15.",
                id="kling.E002",
            )
        )
    cluster = settings.Q_CLUSTER
    if cluster["timeout"] < settings.SUBMIT_LEASE + 15:
        found.append(
            Error("A lease could outlive its task.", hint="Raise Q_CLUSTER['timeout'].", id="kling.E003")
        )
    waiting = -(-(cluster["queue_limit"] + cluster["bulk"]) // cluster["workers"])
    if cluster["retry"] <= cluster["timeout"] * (1 + waiting) + 10:
        found.append(
            Error("django-q2 would hand tasks out twice.", hint="Raise Q_CLUSTER['retry'].", id="kling.E004")
        )
    return found


@register()
def poll_bounds_agree(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The shortest gap between two polls is not above the longest."""
    if settings.POLL_MIN_SECONDS <= settings.POLL_MAX_SECONDS:
        return []
    return [Error("POLL_MIN_SECONDS is above POLL_MAX_SECONDS.", hint="Swap them.", id="kling.E005")]


@register(Tags.security)
def test_switches_are_off(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """CRASH_AT ends processes on purpose: for tests alone."""
    if settings.TESTING or not settings.CRASH_AT:
        return []
    return [Error("CRASH_AT is set outside the tests.", hint="Unset CRASH_AT.", id="kling.E006")]


@register()
def bucket_has_a_place(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A bucket is found by its region, or by an endpoint of one's own."""
    asked = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
    if not settings.STORAGE.startswith("s3://") or any(os.environ.get(name) for name in asked):
        return []
    hint = "Set AWS_REGION, or AWS_ENDPOINT_URL for a storage of your own."
    return [Error("STORAGE is a bucket, and nothing says where.", hint=hint, id="kling.E007")]
