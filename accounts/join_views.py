"""The two doors that a letter opens: join by invitation, and set a new password. Nobody is signed in yet."""

from __future__ import annotations

from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounts import links, services
from accounts.manage.forms import JoinForm, NewPasswordByLinkForm
from accounts.models import User
from kling_platform.errors import PlatformError


@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest, token: str) -> HttpResponse:
    """Choose a name and a password, and be in."""
    try:
        invitation = links.invitation_of(token)
    except PlatformError as refusal:
        return _dead(request, refusal)
    suggested = {"username": invitation.email.partition("@")[0]}
    form = JoinForm(request.POST) if request.method == "POST" else JoinForm(initial=suggested)
    if request.method == "POST" and form.is_valid():
        words = form.cleaned_data
        try:
            user = services.accept(token, username=words["username"], password=words["password"])
        except PlatformError as refusal:
            form.show(refusal)
        else:
            login(request, user)
            return redirect("library")
    status = 400 if form.errors else 200
    return render(request, "accounts/join.html", {"form": form, "invitation": invitation}, status=status)


@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def reset(request: HttpRequest, user_id: int, token: str) -> HttpResponse:
    """Set a new password; every browser that was signed in with the old one is out."""
    user = User.objects.filter(pk=user_id).first()
    if user is None or not links.opens(user, token):
        return _dead(request, links.dead())
    form = NewPasswordByLinkForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            services.reset_password(user, token=token, password=form.cleaned_data["password"])
        except PlatformError as refusal:
            form.show(refusal)
        else:
            return redirect("signin")
    status = 400 if form.errors else 200
    return render(request, "accounts/reset.html", {"form": form, "person": user}, status=status)


def _dead(request: HttpRequest, refusal: PlatformError) -> HttpResponse:
    return render(request, f"{refusal.status}.html", {"message": refusal.message}, status=refusal.status)
