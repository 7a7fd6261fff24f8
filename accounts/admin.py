"""Operations on people and keys, and the records of money and change. Every change goes through ``services``."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import services
from accounts.admin_base import ReadOnlyAdmin, actor, tell, used_of
from accounts.admin_forms import NewUserForm
from accounts.admin_quotas import QuotaAdmin
from accounts.models import ApiKey, AuditEntry, Quota, Transfer, User, Wallet
from accounts.quotas import AT_A_GLANCE, Balance, glances, with_most_used
from kling_platform.errors import PlatformError

admin.site.register(Quota, QuotaAdmin)


def _used_per_period(balance: Balance) -> SafeString:
    return format_html("{} / {}", used_of(balance.used, balance.size), balance.quota.get_period_display())


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    add_form = NewUserForm
    list_display = ("username", "email", "role", "is_active", "used", "last_login", "date_joined")
    list_filter = ("role", "is_active")
    search_fields = ("username", "email", "first_name", "last_name")
    ordering = ("username",)
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (gettext_lazy("Person"), {"fields": ("email", "first_name", "last_name")}),
        (gettext_lazy("What they may do"), {"fields": ("role", "is_active", "quotas_now")}),
        (gettext_lazy("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (None, {"fields": ("username", "email", "password1", "password2")}),
        (gettext_lazy("What they may do"), {"fields": ("role", "credits", "period")}),
    )
    readonly_fields = ("quotas_now", "last_login", "date_joined")
    actions = ("suspend", "resume")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False  # what they spent stays to be seen: suspend instead

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return with_most_used(super().get_queryset(request).prefetch_related(AT_A_GLANCE), "user")

    @admin.display(description=gettext_lazy("used"), ordering="most_used")
    def used(self, user: User) -> SafeString | str:
        lines = [(_used_per_period(balance),) for balance in glances(user)]
        return format_html_join(mark_safe("<br>"), "{}", lines) or _("no quota")

    @admin.display(description=gettext_lazy("quotas"))
    def quotas_now(self, user: User) -> SafeString:
        add = f"{reverse('admin:accounts_quota_add')}?user={user.pk}"
        lines = [
            (
                _used_per_period(balance),
                reverse("admin:accounts_quota_change", args=[balance.quota.pk]),
                _("change"),
            )
            for balance in glances(user)
        ]
        standing = format_html_join("", '{} <a href="{}">{}</a><br>', lines)
        return format_html(
            '{}<a href="{}">{}</a>', standing, add, _("give one more") if lines else _("give one")
        )

    # --- writing, through the services ---------------------------------------

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if not change:
            words = {name: form.cleaned_data[name] for name in ("email", "role", "credits", "period")}
            made = services.provision(
                obj.username,
                password=form.cleaned_data["password1"],
                **{**words, "email": words["email"] or None},
                actor=actor(request),
            )
            obj.pk = made.user.pk
            obj.refresh_from_db()
            return
        before = User.objects.get(pk=obj.pk)
        plain = [name for name in form.changed_data if name not in ("role", "is_active")]
        if plain:
            obj.save(update_fields=plain)
            services.audit("user.edit", obj, actor=actor(request), fields=plain)
        services.set_role(before, form.cleaned_data["role"], actor=actor(request))
        services.set_active(before, form.cleaned_data["is_active"], actor=actor(request))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except PlatformError as refusal:
            # All of it was rolled back: the transaction is Django's own, around this view.
            tell(request, [], [str(refusal)])
            return redirect(request.get_full_path())

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        response = super().user_change_password(request, id, form_url)
        user = self.get_object(request, id)
        if request.method == "POST" and response.status_code == 302 and user is not None:
            services.audit("user.password", user, actor=actor(request))
        return response

    @admin.action(description=gettext_lazy("Suspend: no door opens, keys and links are dead"))
    def suspend(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._set_active(request, queryset, False)

    @admin.action(description=gettext_lazy("Bring back suspended ones"))
    def resume(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._set_active(request, queryset, True)

    def _set_active(self, request: HttpRequest, users: QuerySet[User], active: bool) -> None:
        done, refused = [], []
        sentence = _("%(user)s is active.") if active else _("%(user)s is suspended.")
        for user in users:
            try:
                services.set_active(user, active, actor=actor(request))
                done.append(sentence % {"user": user})
            except PlatformError as refusal:
                refused.append(f"{user}: {refusal}")
        tell(request, done, refused)


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = (
        "label",
        "user",
        "lookup",
        "scope_names",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
    )
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "created_at", "expires_at")
    list_select_related = ("user",)
    search_fields = ("label", "lookup", "user__username")
    fields = (*list_display, "model_names", "most_open", "old_until", "old_used_at")
    actions = ("revoke",)

    @admin.display(description=gettext_lazy("may"))
    def scope_names(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @admin.action(description=gettext_lazy("Revoke: it opens nothing from now on"))
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset.select_related("user"):
            services.revoke_key(key.user, key.pk, actor=actor(request))
            tell(request, [_("The key “%(label)s” no longer opens anything.") % {"label": key.label}], [])


@admin.register(Wallet)
class WalletAdmin(ReadOnlyAdmin):
    list_display = (
        "whose",
        "per",
        "starts_at",
        "ends_at",
        "closed_at",
        "granted",
        "available",
        "reserved",
        "spent",
        "expired",
    )
    list_filter = ("quota__period", ("closed_at", admin.EmptyFieldListFilter), "starts_at")
    list_select_related = ("quota__user", "quota__team", "quota__api_key")
    search_fields = ("quota__user__username", "quota__team__name", "quota__api_key__label")
    ordering = ("-starts_at", "-pk")
    fields = (*list_display, "version")

    @admin.display(description=gettext_lazy("whose"))
    def whose(self, wallet: Wallet) -> str:
        return str(wallet.quota.owner)

    @admin.display(description=gettext_lazy("period"))
    def per(self, wallet: Wallet) -> str:
        return str(wallet.quota.get_period_display())


@admin.register(Transfer)
class TransferAdmin(ReadOnlyAdmin):
    """The journal."""

    list_display = (
        "created_at",
        "whose",
        "kind",
        "amount",
        "available_after",
        "generation_id",
        "reason",
        "actor",
    )
    list_filter = ("kind", "created_at")
    list_select_related = ("wallet__quota__user", "wallet__quota__team", "wallet__quota__api_key", "actor")
    search_fields = ("wallet__quota__user__username", "generation_id__exact", "reason", "actor__username")
    search_help_text = gettext_lazy("A user, an admin, a reason, or the id of a generation")
    ordering = ("-pk",)
    fields = ("whose", "wallet", "seq", *list_display[2:], "reservation", "created_at")

    @admin.display(description=gettext_lazy("whose"))
    def whose(self, line: Transfer) -> str:
        return str(line.wallet.quota.owner)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("at", "actor", "action", "subject", "address", "detail")
    list_filter = ("action", "at")
    list_select_related = ("actor",)
    search_fields = ("subject", "actor__username", "action")
    ordering = ("-at",)
    fields = list_display
