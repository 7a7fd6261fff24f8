"""What pages say of links for people outside, and whether a video is labelled as made by AI."""

from __future__ import annotations

from django import template
from django.conf import settings
from django.urls import reverse

from generations import labels
from generations.models import Generation, ShareLink

register = template.Library()


@register.filter
def address(link: ShareLink) -> str:
    """The whole link, as it is sent to people; empty where it can no longer be read."""
    return f"{settings.PUBLIC_URL}{reverse('shown', args=[link.token()])}" if link.is_readable else ""


@register.filter
def is_labelled(generation: Generation) -> bool:
    """Whether the badge stands on it."""
    return labels.is_labelled(generation)
