"""Small pieces of markup that every page uses."""

from __future__ import annotations

import uuid
from html import unescape

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

register = template.Library()

SPRITE = "vendor/bootstrap-icons/icons.svg"


@register.filter
def way_out(text: object) -> SafeString | str:
    """A refusal as a page says it: the address that ends it, where it can be put right, becomes a button."""
    plain = unescape(text) if isinstance(text, SafeString) else str(text)
    words, _space, address = plain.rpartition(" ")
    if not address.startswith(f"{settings.PUBLIC_URL}/account"):
        return text if isinstance(text, SafeString) else str(text)
    if "?ask=" in address:
        label = _("Ask for more")
    else:
        label = _("Ask for a quota") if "?ask" in address else _("Change the key's limits")
    path = address.removeprefix(settings.PUBLIC_URL)
    return format_html('{} <a class="btn btn-line btn-sm" href="{}">{}</a>', words, path, label)


@register.simple_tag
def nonce() -> SafeString:
    """What tells a form that is sent twice from the next one; for a form that makes something."""
    return format_html('<input type="hidden" name="nonce" value="{}" autocomplete="off">', uuid.uuid4())


@register.simple_tag
def icon(name: str) -> SafeString:
    """A drawing from the sprite, hidden from screen readers: the words beside it say what it means."""
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>',
        static(SPRITE),
        name,
    )
