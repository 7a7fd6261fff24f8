"""Which models somebody may use, beside what their teams and the catalogue say."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts import rooms
from accounts import services as people
from accounts.models import User
from generations import services

ROOM = "manage_people"


class ModelsForm(forms.Form):
    """None chosen: every one."""

    models = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, kept: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # One that is offered no more stays chosen: without it an empty list would mean all of them.
        choices = {name: name for name in kept}
        choices |= {model.name: model.label for model in services.current_rules().offered}
        cast(Any, self.fields["models"]).choices = list(choices.items())


@require_http_methods(["GET", "HEAD", "POST"])
@rooms.act(ROOM, User.Role.ADMIN)
def person_models(request: HttpRequest, user_id: int) -> HttpResponse:
    """The list of one person."""
    actor = cast(User, request.user)
    person = get_object_or_404(User.objects.visible_to(actor), pk=user_id)
    kept = person.models_allowed
    if request.method != "POST":
        return _page(request, person, ModelsForm(initial={"models": kept}, kept=kept))
    form = ModelsForm(request.POST, kept=kept)
    if not form.is_valid():
        return _page(request, person, form, status=400)
    people.set_models(person, form.cleaned_data["models"], actor=actor)
    messages.success(request, _("Saved. It holds for everything that is made from now on."))
    return redirect("manage_person", person.pk)


def _page(request: HttpRequest, person: User, form: ModelsForm, *, status: int = 200) -> HttpResponse:
    return render(request, "manage/person_models.html", {"person": person, "form": form}, status=status)
