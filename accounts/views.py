"""Pages about the person: sign in and out, account, keys, password. Rules are in the services."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts import quotas, services
from accounts.forms import NewPasswordForm
from accounts.models import CreditRequest, Transfer, User
from accounts.signin import SignInForm
from kling_platform.errors import PlatformError
from kling_platform.text import whole_number

LINES = 10


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def signin(request: HttpRequest) -> HttpResponse:
    """The door. ``next`` is followed only within this site."""
    onward = _safe(request, request.POST.get("next") or request.GET.get("next") or "")
    if request.user.is_authenticated:
        return redirect(onward)
    form = SignInForm(request, data=request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        login(request, form.get_user())
        return redirect(onward)
    response = render(request, "accounts/signin.html", {"form": form, "next": onward})
    if form.retry_after is not None:
        response.status_code = 429
        response["Retry-After"] = str(form.retry_after)
    return response


def _safe(request: HttpRequest, url: str) -> str:
    ours = url_has_allowed_host_and_scheme(url, {request.get_host()}, require_https=request.is_secure())
    return url if ours else "/"


@require_POST
def signout(request: HttpRequest) -> HttpResponse:
    """Only by POST: a picture on another site must not sign anybody out."""
    logout(request)
    return redirect(settings.LOGOUT_REDIRECT_URL)


@never_cache
@login_required
def account(request: HttpRequest) -> HttpResponse:
    """Credits, money lines, keys, preferences."""
    if request.headers.get("HX-Request") and "before" in request.GET:
        return render(request, "accounts/_lines.html", _lines(request))
    return render(request, "accounts/account.html", _account(request))


def _account(request: HttpRequest) -> dict[str, Any]:
    user = cast(User, request.user)
    balances = quotas.balances(user)
    return {
        "balances": balances,
        "has_own": any(balance.scope == "user" for balance in balances),
        "waiting": list(CreditRequest.objects.open().filter(user=user).order_by("pk")),
        "ask_credits": request.GET.get("ask", ""),
        "ask_quota": request.GET.get("quota", ""),
        "ask_open": "ask" in request.GET,
        "keys": user.api_keys.filter(revoked_at__isnull=True),
        "letters": [(kind.value, kind.label, kind in user.mailed_kinds) for kind in services.GATHERED],
        **_lines(request),
    }


@require_POST
@login_required
def ask(request: HttpRequest) -> HttpResponse:
    """Ask for credits; whoever is answerable is told."""
    user = cast(User, request.user)
    credits = whole_number(request.POST.get("credits", "")) or 0
    named = whole_number(request.POST.get("quota", ""))
    quota = next((b.quota for b in quotas.balances(user) if b.quota.pk == named), None)
    try:
        services.ask_for_credits(user, credits=credits, reason=request.POST.get("reason", ""), quota=quota)
    except PlatformError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Asked. You will be told as soon as somebody decides."))
    return redirect("/account#credits")


@require_POST
@login_required
def letters(request: HttpRequest) -> HttpResponse:
    """Choose about what letters come; in the language of the page that this is chosen on."""
    try:
        services.choose_letters(
            cast(User, request.user), request.POST.getlist("kinds"), language=get_language() or ""
        )
    except PlatformError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Kept."))
    return redirect("/account#notices")


def _lines(request: HttpRequest) -> dict[str, Any]:
    """One page of the journal of the user's own quota, newest first, found by key."""
    rows = Transfer.objects.filter(wallet__quota__user=cast(User, request.user)).order_by("-pk")
    if before := whole_number(request.GET.get("before", "")):
        rows = rows.filter(pk__lt=before)
    lines = list(rows[: LINES + 1])
    return {"lines": lines[:LINES], "more": lines[LINES - 1].pk if len(lines) > LINES else None}


@sensitive_post_parameters()
@never_cache
@login_required
def password(request: HttpRequest) -> HttpResponse:
    """Change the password; other sessions of the user end, this one goes on."""
    form = NewPasswordForm(cast(User, request.user), data=request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        form.save()
        update_session_auth_hash(request, form.user)
        messages.success(request, _("Your password is changed. Other browsers have been signed out."))
        return redirect("account")
    return render(request, "accounts/password.html", {"form": form})
