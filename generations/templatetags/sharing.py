"""What pages say of links for people outside."""

from __future__ import annotations

from django import template
from django.conf import settings
from django.urls import reverse

from generations.models import ShareLink

register = template.Library()


@register.filter
def address(link: ShareLink) -> str:
    """The whole link, as it is sent to people; empty where it can no longer be read."""
    return f"{settings.PUBLIC_URL}{reverse('shown', args=[link.token()])}" if link.is_readable else ""
