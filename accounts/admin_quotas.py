"""Quotas in the admin: "120 of 500"; set, granted and corrected through the services, one page for one or many."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import services
from accounts.admin_base import ReadOnlyAdmin, Tool, actor, tell, used_of
from accounts.admin_forms import AdjustForm, GrantForm, NewQuotaForm, SetQuotaForm
from accounts.models import ApiKey, Quota, User
from accounts.quotas import OPEN_WALLETS, glance, with_usage
from kling_platform.errors import PlatformError
from kling_platform.text import whole_number

AT_ONCE = 200  # quotas in one operation
FACTS = ("used", "left", "held", "credits", "period", "resets")


class QuotaAdmin(ReadOnlyAdmin):
    """Looked at here; set, granted and corrected through an operation's page."""

    list_display = ("owner_name", *FACTS, "runs_out", "lifted_at")
    list_filter = ("period", ("lifted_at", admin.EmptyFieldListFilter))
    list_select_related = ("user", "team", "api_key__user")
    search_fields = ("user__username", "user__email", "team__name", "api_key__label", "api_key__lookup")
    ordering = ("user__username", "pk")
    fields = ("owner_name", *FACTS, "lifted_at", "version", "updated_at")
    autocomplete_fields = ("user", "api_key")
    actions = ("set_quota", "grant", "adjust")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Quota]:
        return with_usage(super().get_queryset(request)).prefetch_related(OPEN_WALLETS)

    @admin.display(description=gettext_lazy("whose"), ordering="user__username")
    def owner_name(self, quota: Quota) -> str:
        owner = quota.owner
        return f"{owner.user}: {owner}" if isinstance(owner, ApiKey) else str(owner)

    @admin.display(description=gettext_lazy("used"), ordering="open_used")
    def used(self, quota: Quota) -> SafeString:
        balance = glance(quota)
        return used_of(balance.used, balance.size)

    @admin.display(description=gettext_lazy("left"), ordering="open_left")
    def left(self, quota: Quota) -> int:
        return glance(quota).wallet.available

    @admin.display(description=gettext_lazy("held"), ordering="open_held")
    def held(self, quota: Quota) -> int:
        return glance(quota).wallet.reserved

    @admin.display(description=gettext_lazy("resets"), ordering="open_until")
    def resets(self, quota: Quota) -> str:
        end = quota.open_until  # type: ignore[attr-defined]
        return date_format(localtime(end), "DATETIME_FORMAT") if end else "-"

    @admin.display(description=gettext_lazy("used up, at this pace"))
    def runs_out(self, quota: Quota) -> str:
        out = glance(quota).runs_out_at(timezone.now())
        return date_format(localtime(out), "DATE_FORMAT") if out else "-"

    # --- a new one --------------------------------------------------------------

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **({} if obj else {"form": NewQuotaForm}), **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj else NewQuotaForm.Meta.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj else ()

    def save_model(self, request: HttpRequest, obj: Quota, form: Any, change: bool) -> None:
        cleaned = form.cleaned_data
        services.set_quota(
            form.owner, credits=cleaned["credits"], period=cleaned["period"], actor=actor(request), version=0
        )
        obj.pk = Quota.objects.of(form.owner).get(period=cleaned["period"]).pk
        obj.refresh_from_db()

    # --- set, grant, correct ------------------------------------------------------

    @admin.action(description=gettext_lazy("Set the quota…"))
    def set_quota(self, request: HttpRequest, queryset: QuerySet[Quota]) -> HttpResponse:
        return redirect(_credits_url("set", *queryset.values_list("pk", flat=True)[:AT_ONCE]))

    @admin.action(description=gettext_lazy("Grant credits for this period…"))
    def grant(self, request: HttpRequest, queryset: QuerySet[Quota]) -> HttpResponse:
        return redirect(_credits_url("grant", *queryset.values_list("pk", flat=True)[:AT_ONCE]))

    @admin.action(description=gettext_lazy("Correct the balance…"))
    def adjust(self, request: HttpRequest, queryset: QuerySet[Quota]) -> HttpResponse:
        return redirect(_credits_url("adjust", *queryset.values_list("pk", flat=True)[:AT_ONCE]))

    def tools(self, request: HttpRequest, object_id: str) -> list[Tool]:
        labels = {"set": _("Set the quota"), "grant": _("Grant credits"), "adjust": _("Correct the balance")}
        return [Tool(_credits_url(how, object_id), label) for how, label in labels.items()]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.credits_view)
        return [path("credits/<str:how>/", view, name="accounts_quota_credits"), *super().get_urls()]

    def credits_view(self, request: HttpRequest, how: str) -> HttpResponse:
        """Set, grant or correct the quotas in ``ids``, each in a transaction of its own."""
        quotas = self._chosen(request)
        form = self._credits_form(request, how, quotas)
        one = len(quotas) == 1
        back = (
            reverse("admin:accounts_quota_change", args=[quotas[0].pk])
            if one
            else reverse("admin:accounts_quota_changelist")
        )
        if form.is_valid():
            done, refused = [], []
            for quota in quotas:
                try:
                    done.append(_apply(how, quota, form, actor(request)))
                except PlatformError as refusal:
                    refused.append(f"{self.owner_name(quota)}: {refusal}")
            tell(request, done, refused)
            return redirect(back)
        titles = {
            "set": _("Set the quota"),
            "grant": _("Grant credits for this period"),
            "adjust": _("Correct the balance of this period"),
        }
        about = [self._about(quota) for quota in quotas]
        return self.operation_page(
            request, title=titles[how], about=about, form=form, submit=titles[how], back=back
        )

    def _about(self, quota: Quota) -> str:
        balance = glance(quota)
        return _("%(who)s (%(period)s): %(used)d of %(granted)d used, %(left)d left") % {
            "who": self.owner_name(quota),
            "period": quota.get_period_display(),
            "used": balance.used,
            "granted": balance.size,
            "left": balance.wallet.available,
        }

    def _chosen(self, request: HttpRequest) -> list[Quota]:
        texts = request.GET.get("ids", "").split(",")[:AT_ONCE]
        ids = [number for text in texts if (number := whole_number(text)) is not None]
        quotas = list(self.get_queryset(request).filter(pk__in=ids).order_by(*self.ordering))
        if not quotas:
            raise Http404
        return quotas

    def _credits_form(self, request: HttpRequest, how: str, quotas: list[Quota]) -> forms.Form:
        data = request.POST if request.method == "POST" else None
        if how == "grant":
            return GrantForm(data)
        if how == "adjust":
            return AdjustForm(data)
        if how != "set":
            raise Http404
        initial: dict[str, Any] = {"seen": ",".join(f"{quota.pk}:{quota.version}" for quota in quotas)}
        if len(quotas) == 1:
            initial |= {"credits": quotas[0].credits}
        return SetQuotaForm(data, initial=initial)


def _credits_url(how: str, *ids: int | str) -> str:
    return f"{reverse('admin:accounts_quota_credits', args=[how])}?ids={','.join(str(pk) for pk in ids)}"


def _apply(how: str, quota: Quota, form: Any, by: User) -> str:
    """Do it, and say what was really done."""
    credits, reason = form.cleaned_data["credits"], form.cleaned_data["reason"]
    who = str(quota.owner)
    if how == "grant":
        services.grant(quota, credits=credits, reason=reason, actor=by)
        return _("%(who)s: %(credits)d credits more for this period.") % {"who": who, "credits": credits}
    if how == "adjust":
        moved = services.adjust(quota, credits=credits, reason=reason, actor=by)
        said = _("%(who)s: the balance was corrected by %(moved)+d.") % {"who": who, "moved": moved.moved}
    else:
        version = form.version(quota.pk)
        moved = services.set_quota(
            quota.owner, credits=credits, period=quota.period, reason=reason, actor=by, version=version
        )
        said = _("%(who)s: the quota is %(credits)d credits (%(period)s) now; %(moved)+d at once.") % {
            "who": who,
            "credits": credits,
            "period": quota.get_period_display(),
            "moved": moved.moved,
        }
    if moved.moved == moved.wanted:
        return said
    short = _("Took %(took)d of the %(asked)d asked; the rest is spent or held.")
    return f"{said} {short % {'took': -moved.moved, 'asked': -moved.wanted}}"
