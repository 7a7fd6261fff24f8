"""Hands the rate limits to DRF, which asks after it knows the key and that it may."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from accounts import rates
from accounts.models import ApiKey


class KeyRate(BaseThrottle):
    """Counts a call of a key; ``request.rate_headers`` is what its answer says of the rest."""

    def allow_request(self, request: Request, view: Any) -> bool:
        key = request.auth
        if isinstance(key, ApiKey):
            try:
                allowance = rates.take_create(key) if view.creates(request) else rates.calls.take(key)
            except rates.RateLimited as refusal:
                request.rate_headers = refusal.allowance.headers()  # type: ignore[attr-defined]
                raise
            if allowance:
                request.rate_headers = allowance.headers()  # type: ignore[attr-defined]
        return True
