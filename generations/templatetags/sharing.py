"""What pages say of links for people outside, and whether a video is labelled as made by AI."""

from __future__ import annotations

from django import template

from generations import labels
from generations.links import share_url
from generations.models import Generation

register = template.Library()


register.filter("address", share_url)


@register.filter
def is_labelled(generation: Generation) -> bool:
    """Whether the badge stands on it."""
    return labels.is_labelled(generation)
