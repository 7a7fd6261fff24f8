"""What all admin pages share: rows that are only looked at, and operations that go through services."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from django import forms
from django.contrib import admin, messages
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from accounts.models import User


class Tool(NamedTuple):
    """A link above an object's page."""

    url: str
    label: str


class ReadOnlyAdmin(admin.ModelAdmin):
    """Rows that services and ledger write; here they are looked at."""

    show_full_result_count = False  # a second count(*) of the whole table, for a number that nobody needs
    change_form_template = "admin/with_tools.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def tools(self, request: HttpRequest, object_id: str) -> list[Tool]:
        """What may be done with this object now."""
        return []

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        context = {**(extra_context or {}), "tools": self.tools(request, object_id)}
        return super().change_view(request, object_id, form_url, context)

    def operation_page(
        self, request: HttpRequest, *, title: str, about: list[str], form: forms.Form, submit: str, back: str
    ) -> HttpResponse:
        """The page that asks for what an operation needs, with the objects it is about."""
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "about": about,
            "form": form,
            "submit": submit,
            "back": back,
            "opts": self.opts,
            "media": self.media,
        }
        # A refused form is an answer to the request, not a success.
        status = 200 if not form.is_bound or form.is_valid() else 400
        return TemplateResponse(request, "admin/operation.html", context, status=status)


class ReadOnlyInline(admin.TabularInline):
    """Rows of an object's page that nobody edits there."""

    extra = 0
    can_delete = False
    show_change_link = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def actor(request: HttpRequest) -> User:
    """The admin who acts; the site lets nobody else in."""
    return cast(User, request.user)


def used_of(used: int, granted: int) -> SafeString:
    """“120 of 500” with a bar."""
    return format_html(
        '<span class="used">{} <progress max="{}" value="{}"></progress></span>',
        _("%(used)d of %(granted)d") % {"used": used, "granted": granted},
        max(granted, 1),
        min(used, granted),
    )


def tell(request: HttpRequest, done: list[str], refused: list[str]) -> None:
    """A message a sentence: what was done, and what was not and why."""
    for sentence in done:
        messages.success(request, sentence)
    for sentence in refused:
        messages.error(request, sentence)
