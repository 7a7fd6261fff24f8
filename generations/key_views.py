"""The portal's pages about API keys: what each may do and how much, its secret, its end. Own keys only, else 404.

They stand here and not in ``accounts``, because a key's limits name models.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from accounts import quotas
from accounts import services as accounts
from accounts.models import SCOPES, ApiKey, Quota, User
from generations.services import current_rules
from kling_platform.errors import PlatformError
from kling_platform.text import whole_number

SCOPE_LABELS = {
    "read": gettext_lazy("Read: look at your videos and fetch them"),
    "create": gettext_lazy("Create: make videos and cancel them"),
    "webhooks": gettext_lazy("Webhooks: say who is called when a video is ready"),
}
LAST_DAY = date(9000, 1, 1)  # far beyond what the service takes, and before the end of the calendar
OVERLAPS = {
    0: gettext_lazy("the old one ends at once"),
    1: gettext_lazy("both work for 1 hour"),
    24: gettext_lazy("both work for 24 hours"),
    72: gettext_lazy("both work for 3 days"),
    168: gettext_lazy("both work for 7 days"),
}


class KeyForm(forms.Form):
    """What is typed; the service judges it. Empty limits are none."""

    label = forms.CharField(required=False, strip=True)
    scopes = forms.MultipleChoiceField(required=False, choices=list(SCOPE_LABELS.items()))
    model_names = forms.MultipleChoiceField(required=False)
    most_open = forms.IntegerField(required=False)
    last_day = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, *args: Any, kept: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for period in Quota.Period:
            self.fields[period.value] = forms.IntegerField(required=False, label=period.per)
        offered = {model.name: model.label for model in current_rules().models if model.enabled}
        # A model that is offered no more stays chosen: without it an empty list would mean all of them.
        choices = {name: name for name in kept} | offered
        cast(forms.MultipleChoiceField, self.fields["model_names"]).choices = list(choices.items())

    @property
    def credits(self) -> list[forms.BoundField]:
        """The fields of the key's own quotas, one for each kind of period."""
        return [self[period] for period in Quota.Period.values]

    def limits(self) -> accounts.Limits:
        """What the service is given, once the form is valid."""
        typed = self.cleaned_data
        return accounts.Limits(
            model_names=tuple(typed["model_names"]),
            most_open=typed["most_open"],
            expires_at=typed["last_day"] and _end_of(typed["last_day"]),
            credits={period: typed[period] for period in Quota.Period.values if typed[period] is not None},
        )

    def show(self, refusal: PlatformError) -> None:
        """Put a refusal where it belongs."""
        name = "last_day" if refusal.param == "expires_at" else refusal.param
        self.add_error(name if name in self.fields else None, str(refusal))


def _end_of(day: date) -> datetime:
    """The first moment that is not that day any more, in the platform's time zone."""
    after = min(day, LAST_DAY) + timedelta(days=1)
    return datetime.combine(after, time.min, timezone.get_current_timezone())


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)


def _find(request: HttpRequest, key_id: int) -> ApiKey:
    return get_object_or_404(ApiKey, user=_user(request), pk=key_id, revoked_at__isnull=True)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables("text")
def new_key(request: HttpRequest) -> HttpResponse:
    """A form; then the page of the new key, whose text is in this one answer and nowhere else: no redirect."""
    if request.method != "POST":
        form = KeyForm(initial={"scopes": SCOPES})
        return render(request, "generations/key_new.html", {"form": form, **_today()})
    form = KeyForm(request.POST)
    if form.is_valid():
        typed = form.cleaned_data
        try:
            key, text = accounts.make_key(
                _user(request), label=typed["label"], scopes=typed["scopes"], limits=form.limits()
            )
        except PlatformError as refusal:
            form.show(refusal)
        else:
            return _page(request, key, new_secret=text)
    return render(request, "generations/key_new.html", {"form": form, **_today()}, status=400)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def key(request: HttpRequest, key_id: int) -> HttpResponse:
    """One key: its state, what it may do, and the means to change that."""
    found = _find(request, key_id)
    if request.method != "POST":
        return _page(request, found)
    form = KeyForm(request.POST, kept=tuple(found.model_names))
    if form.is_valid():
        typed = form.cleaned_data
        try:
            accounts.change_key(
                _user(request), key_id, label=typed["label"], scopes=typed["scopes"], limits=form.limits()
            )
        except PlatformError as refusal:
            form.show(refusal)
        else:
            messages.success(request, _("Saved. It holds from the key's next call on."))
            return redirect("key", key_id)
    return _page(request, found, form=form, status=400)


def _page(
    request: HttpRequest, key: ApiKey, *, form: KeyForm | None = None, new_secret: str = "", status: int = 200
) -> HttpResponse:
    context = {
        "key": key,
        "form": form or KeyForm(initial=_initial(key), kept=tuple(key.model_names)),
        "balances": quotas.balances_of(key),
        "new_secret": new_secret,
        "overlaps": OVERLAPS,
        **_today(),
    }
    return render(request, "generations/key.html", context, status=status)


def _initial(key: ApiKey) -> dict[str, Any]:
    limits = accounts.limits_of(key)
    return {
        "label": key.label,
        "scopes": key.scopes,
        "model_names": limits.model_names,
        "most_open": limits.most_open,
        **limits.credits,
        "last_day": limits.expires_at
        and timezone.localtime(limits.expires_at - timedelta(microseconds=1)).date(),
    }


def _today() -> dict[str, str]:
    return {"today": timezone.localdate().isoformat()}


@never_cache
@login_required
@require_POST
@sensitive_variables("text")
def rotate(request: HttpRequest, key_id: int) -> HttpResponse:
    """A new secret, shown in this one answer."""
    typed = whole_number(request.POST.get("overlap_hours", ""), most=9_999)
    hours = -1 if typed is None else typed
    try:
        found, text = accounts.rotate_key(_user(request), key_id, overlap_hours=hours)
    except PlatformError as refusal:
        return _refused(request, key_id, refusal)
    return _page(request, found, new_secret=text)


@login_required
@require_POST
def end_old(request: HttpRequest, key_id: int) -> HttpResponse:
    """End the secret before the last rotation at once."""
    try:
        accounts.end_old_secret(_user(request), key_id)
    except PlatformError as refusal:
        return _refused(request, key_id, refusal)
    messages.success(request, _("The old key no longer opens anything."))
    return redirect("key", key_id)


@login_required
@require_POST
def revoke(request: HttpRequest, key_id: int) -> HttpResponse:
    """End a key at once."""
    try:
        found = accounts.revoke_key(_user(request), key_id)
    except PlatformError as refusal:
        return _refused(request, key_id, refusal)
    messages.success(request, _("The key “%(label)s” no longer opens anything.") % {"label": found.label})
    return redirect("/account#keys")


def _refused(request: HttpRequest, key_id: int, refusal: PlatformError) -> HttpResponse:
    if refusal.status == 404:
        return render(request, "404.html", {"message": refusal.message}, status=404)
    messages.error(request, str(refusal))
    return redirect("key", key_id)
