"""Links to a video: signed ones that need no key, for 24 hours, and dead as soon as the video or its owner is; and
the addresses of those that are made for people outside."""

from __future__ import annotations

import base64
import hmac
import re
import time
import uuid

from django.conf import settings
from django.http import QueryDict
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from generations.models import ShareLink
from kling_platform.errors import Forbidden

LIFETIME = 24 * 3600  # seconds
# The key of these signatures is derived from SECRET_KEY and this name, so no other signature fits here.
PURPOSE = "generations.links"
_UNIX_SECONDS = re.compile(r"[1-9][0-9]{9,11}")


class InvalidLink(Forbidden):
    """The signature does not fit the address (403)."""

    code = "invalid_link"


class LinkExpired(Forbidden):
    """The link was good, and its day is over (403)."""

    code = "link_expired"


def content_url(generation_id: uuid.UUID) -> str:
    """A fresh link to the bytes of this video; ``sig`` stands last, whoever cuts it off has no link."""
    expires = int(time.time()) + LIFETIME
    path = reverse("api-content", args=[generation_id])
    return f"{settings.PUBLIC_URL}{path}?expires={expires}&sig={_signature(generation_id, str(expires))}"


def share_url(link: ShareLink) -> str:
    """The whole link, as it is sent to people; empty where it can no longer be read."""
    return f"{settings.PUBLIC_URL}{reverse('shown', args=[link.token()])}" if link.is_readable else ""


def check(generation_id: uuid.UUID, query: QueryDict) -> None:
    """Refuse a link that was not made here, was changed, or whose time is over."""
    expires, signature = query.get("expires", ""), query.get("sig", "")
    made_here = hmac.compare_digest(
        signature.encode("utf-8", "replace"), _signature(generation_id, expires).encode()
    )
    if not made_here or not _UNIX_SECONDS.fullmatch(expires):
        raise InvalidLink(
            _("This link is not valid. Read the generation for a fresh one, or send your API key.")
        )
    if int(expires) < time.time():
        raise LinkExpired(
            _("This link has expired. Read the generation for a fresh one, or send your API key.")
        )


def _signature(generation_id: uuid.UUID, expires: str) -> str:
    made = salted_hmac(PURPOSE, f"{generation_id}:{expires}", algorithm="sha256").digest()
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()
