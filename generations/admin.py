"""Operations on generations: everything is looked at here; what may be done goes through the services."""

from __future__ import annotations

import contextlib
import uuid
from typing import Any, NamedTuple

from django import forms
from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin_base import ReadOnlyAdmin, ReadOnlyInline, Tool, actor, tell
from accounts.admin_forms import ReasonForm
from accounts.models import Transfer
from generations import services
from generations.models import Alarm, AttachWish, Event, Generation, InputImage, Status, Upstream, Video
from kling_platform.errors import PlatformError


class AttachForm(ReasonForm):
    """An id that upstream's own pages show for this generation."""

    upstream_id = forms.CharField(
        label=gettext_lazy("Id at upstream"),
        max_length=191,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )
    field_order = ["upstream_id", "reason"]


class EventInline(ReadOnlyInline):
    model = Event
    fields = ("at", "from_status", "to_status", "note", "actor", "detail")
    readonly_fields = fields


class InputImageInline(ReadOnlyInline):
    model = InputImage
    fields = ("position", "picture", "content_type", "width", "height", "sha256")
    readonly_fields = fields

    @admin.display(description=gettext_lazy("picture"))
    def picture(self, image: InputImage) -> SafeString | str:
        """Our own file is shown; a user's address is a text, and is not fetched by an admin's browser either."""
        if image.url:
            return image.url
        url = reverse("frame", args=[image.generation_id, image.position])
        return format_html('<img class="poster" src="{}" alt="">', url)


class VideoInline(ReadOnlyInline):
    model = Video
    fields = ("film", "width", "height", "seconds", "fps", "has_audio", "bytes", "sha256", "stored_at")
    readonly_fields = fields

    @admin.display(description=gettext_lazy("video"))
    def film(self, video: Video) -> SafeString:
        poster, page = (reverse(name, args=[video.pk]) for name in ("poster", "detail"))
        return format_html('<a href="{}"><img class="poster" src="{}" alt="{}"></a>', page, poster, _("play"))


class Operation(NamedTuple):
    """A way to end a doubt: its link, the title of its page, the service that does it, what it asks for."""

    label: Any
    title: Any
    operate: Any
    form: type[forms.Form]


OPERATIONS = {
    "attach": Operation(
        gettext_lazy("Attach id"),
        gettext_lazy("Attach an id of upstream"),
        services.attach_id,
        AttachForm,
    ),
    "release": Operation(
        gettext_lazy("Release"),
        gettext_lazy("End the doubt and return the credits"),
        services.release,
        ReasonForm,
    ),
    "write-off": Operation(
        gettext_lazy("Write off"),
        gettext_lazy("Return the credits, and note upstream's cost as lost"),
        services.write_off,
        ReasonForm,
    ),
}


@admin.register(Generation)
class GenerationAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        "user",
        "status",
        "model",
        "seconds",
        "size",
        "price",
        "short_prompt",
        "upstream_id",
    )
    list_filter = ("status", "model", ("user", admin.RelatedOnlyFieldListFilter), "created_at")
    list_select_related = ("user",)
    search_fields = ("prompt",)
    search_help_text = gettext_lazy("Words of the prompt, or a whole id: ours or upstream's")
    date_hierarchy = None  # a count for every day would read the whole table
    ordering = ("-created_at", "-id")
    actions = ("cancel",)
    inlines = (EventInline, InputImageInline, VideoInline)
    fieldsets = (
        (None, {"fields": ("id", "user", "status", "progress", "prompt_text", "created_at", "finished_at")}),
        (
            gettext_lazy("Recipe"),
            {"fields": ("model", "mode", "seconds", "size", "sound", "metadata", "retry_of", "api_key")},
        ),
        (gettext_lazy("Money"), {"fields": ("price", "price_version", "money")}),
        (
            gettext_lazy("Upstream"),
            {
                "fields": (
                    "upstream_id",
                    "upstream_request_id",
                    "upstream_cost",
                    "attempts",
                    "submitted_at",
                    "polls",
                    "polled_at",
                    "next_check_at",
                    "store_attempts",
                    "error_code",
                    "error_message",
                    "upstream_reply",
                    "wish",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Generation]:
        """As at every other door: what was deleted is gone."""
        rows: QuerySet[Generation] = Generation.objects.for_user(request.user)
        return rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Generation], search_term: str
    ) -> tuple[QuerySet[Generation], bool]:
        """A whole id, ours or upstream's, finds its one row by index; anything else is words of a prompt."""
        term = search_term.strip()
        if not term:
            return queryset, False
        exact = Q(upstream_id=term)
        with contextlib.suppress(ValueError):
            exact |= Q(pk=uuid.UUID(term))
        found = queryset.filter(exact)
        return (found, False) if found.exists() else super().get_search_results(request, queryset, term)

    @admin.display(description=gettext_lazy("prompt"))
    def short_prompt(self, generation: Generation) -> str:
        text = generation.prompt
        return text if len(text) <= 60 else f"{text[:59]}…"

    @admin.display(description=gettext_lazy("prompt"))
    def prompt_text(self, generation: Generation) -> SafeString:
        return format_html('<div class="prompt">{}</div>', generation.prompt)

    @admin.display(description=gettext_lazy("money lines"))
    def money(self, generation: Generation) -> SafeString:
        lines = Transfer.objects.filter(generation_id=generation.pk).select_related("wallet__quota__user")
        rows = format_html_join(
            "",
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            (
                (
                    localize(localtime(line.created_at)),
                    line.get_kind_display(),
                    line.amount,
                    str(line.wallet.quota.owner),
                    line.reason,
                )
                for line in lines.order_by("pk")
            ),
        )
        return format_html('<table class="record"><tbody>{}</tbody></table>', rows)

    @admin.display(description=gettext_lazy("wish"))
    def wish(self, generation: Generation) -> str:
        """The id that an operator took for ours, and what upstream said to it."""
        wish = AttachWish.objects.filter(generation=generation).first()
        return f"{wish.upstream_id}: {wish.answer or _('checking…')}" if wish else "-"

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    # --- what may be done ---------------------------------------------------------

    @admin.action(description=gettext_lazy("Cancel what has not been sent yet"))
    def cancel(self, request: HttpRequest, queryset: QuerySet[Generation]) -> None:
        done, refused = [], []
        for generation in queryset:
            try:
                services.cancel(generation, actor=actor(request))
                done.append(_("%(id)s is canceled; its credits are returned.") % {"id": generation.pk})
            except PlatformError as refusal:
                refused.append(f"{generation.pk}: {refusal}")
        tell(request, done, refused)

    def tools(self, request: HttpRequest, object_id: str) -> list[Tool]:
        generation = self.get_object(request, object_id)
        if generation is None:
            return []
        page = [Tool(reverse("detail", args=[generation.pk]), _("In the portal"))]
        if generation.status != Status.UNKNOWN:
            return page
        ways = [how for how in OPERATIONS if how != "attach" or not generation.upstream_id]
        return [*page, *(Tool(_operation_url(generation, how), str(OPERATIONS[how].label)) for how in ways)]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.operation_view)
        own = path("<uuid:generation_id>/<str:how>/", view, name="generations_generation_operation")
        return [*super().get_urls()[:-1], own, *super().get_urls()[-1:]]

    def operation_view(self, request: HttpRequest, generation_id: uuid.UUID, how: str) -> HttpResponse:
        """End a doubt, one way or another, with a reason."""
        generation = self.get_object(request, str(generation_id))
        if generation is None or how not in OPERATIONS:
            raise Http404
        title, operate = OPERATIONS[how].title, OPERATIONS[how].operate
        form = OPERATIONS[how].form(request.POST if request.method == "POST" else None)
        back = reverse("admin:generations_generation_change", args=[generation.pk])
        if form.is_valid():
            try:
                operate(generation, actor=actor(request), **form.cleaned_data)
            except PlatformError as refusal:
                form.add_error(refusal.param if refusal.param in form.fields else None, str(refusal))
            else:
                tell(request, [_("Done: %(what)s.") % {"what": title}], [])
                return redirect(back)
        about = [str(generation.pk), str(generation.user), generation.prompt[:200]]
        return self.operation_page(request, title=title, about=about, form=form, submit=title, back=back)


def _operation_url(generation: Generation, how: str) -> str:
    return reverse("admin:generations_generation_operation", args=[generation.pk, how])


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ("at", "generation_id", "from_status", "to_status", "note", "actor")
    list_filter = ("to_status", "note", "at")
    list_select_related = ("actor",)
    search_fields = ("generation__id__exact", "generation__user__username")
    search_help_text = gettext_lazy("A user, or the id of a generation")
    ordering = ("-pk",)
    fields = ("at", "generation_id", "from_status", "to_status", "note", "actor", "detail")


@admin.register(Upstream)
class UpstreamAdmin(ReadOnlyAdmin):
    """How it stands with upstream: the cap, the circuit, the last sign of life of the worker."""

    list_display = ("host", "circuit", "circuit_reason", "cap", "doubts", "connect_failures", "last_beat_at")


@admin.register(Alarm)
class AlarmAdmin(ReadOnlyAdmin):
    """What rang, and whether admins were told; kept for 90 days."""

    list_display = ("last_at", "label", "text", "times", "first_at", "told_at")
    list_filter = ("kind", "last_at")
    ordering = ("-last_at",)
    fields = ("label", "text", "times", "first_at", "last_at", "told_at")

    @admin.display(description=gettext_lazy("kind"), ordering="kind")
    def label(self, alarm: Alarm) -> str:
        return alarm.get_kind_label()
