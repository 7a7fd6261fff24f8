"""``/v1/video/generations`` and ``/v1/models``: guards, a service, an answer. A key sees its owner's rows only."""

from __future__ import annotations

import uuid
from typing import Any, cast

from django.http.response import HttpResponseBase, StreamingHttpResponse
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import ApiKey, User
from generations import links, public, services
from generations.api import answers, documents, exports, history
from generations.api.content import serve_video
from generations.api.creating import apart, once_from, respond
from generations.api.history import nothing_here
from generations.api.quotes import as_quote, is_dry
from generations.api.waiting import waited
from generations.models import Generation
from generations.polled import own_row
from kling_platform.api_views import ApiView
from kling_platform.errors import Forbidden, InvalidValue, Suspended


def _user(request: Request) -> User:
    return cast(User, request.user)


def _body(request: Request) -> dict[str, Any]:
    return cast("dict[str, Any]", request.data)  # the parser lets nothing but objects through


def _own(request: Request, generation_id: uuid.UUID) -> Generation:
    found = own_row(_user(request), generation_id)
    if found is None:
        raise nothing_here()
    return found


@documents.generations
class Generations(ApiView):
    def creates(self, request: Request) -> bool:
        return super().creates(request) and not is_dry(request)

    def post(self, request: Request) -> Response:
        user, key = _user(request), cast(ApiKey, request.auth)
        once = once_from(request, _body(request), public.as_created)
        asked, tags = apart(_body(request))
        if is_dry(request):
            return Response(as_quote(services.quote(user=user, api_key=key, request=asked)))
        answered = services.make_once(
            once,
            lambda: services.create(user=user, api_key=key, request=asked, tags=tags, once=once),
        )
        made = uuid.UUID(answered.answer["id"])
        return waited(request, respond(answered), lambda: _own(request, made), public.as_video)

    def get(self, request: Request) -> Response:
        return Response(answers.as_page(history.page(request)))


@documents.generation
class OneGeneration(ApiView):
    http_method_names = [*ApiView.http_method_names, "patch", "delete"]

    def get(self, request: Request, generation_id: uuid.UUID) -> Response:
        response = Response(public.as_video(_own(request, generation_id)))
        return waited(request, response, lambda: _own(request, generation_id), public.as_video)

    def patch(self, request: Request, generation_id: uuid.UUID) -> Response:
        body = _body(request)
        if set(body) != {"tags"}:
            raise InvalidValue(_("Only tags can be changed: send {“tags”: […]}."), param="tags")
        names = services.read_tags(body["tags"])
        services.set_tags(_own(request, generation_id), names=names)
        return Response(public.as_video(_own(request, generation_id)) | {"tags": sorted(names)})

    def delete(self, request: Request, generation_id: uuid.UUID) -> Response:
        services.delete(_own(request, generation_id), actor=_user(request))
        return Response({"id": str(generation_id), "object": "video", "deleted": True})


@documents.cancel
class Cancel(ApiView):
    makes = False

    def post(self, request: Request, generation_id: uuid.UUID) -> Response:
        generation = services.cancel(_own(request, generation_id), actor=_user(request))
        return Response(public.as_video(generation))


@documents.retry
class Retry(ApiView):
    def post(self, request: Request, generation_id: uuid.UUID) -> Response:
        found = Generation.objects.owned_by(request.user).prefetch_related("images")
        old = found.filter(pk=generation_id).first()
        if old is None:
            raise nothing_here()
        user, key, once = (
            _user(request),
            cast(ApiKey, request.auth),
            once_from(request, {}, public.as_created),
        )
        return respond(
            services.make_once(once, lambda: services.retry(old, user=user, api_key=key, once=once))
        )


@documents.export
class Export(ApiView):
    def get(self, request: Request) -> StreamingHttpResponse:
        return exports.answer(request)


@documents.content
class Content(ApiView):
    """The bytes, for a key or for a signed link."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.linked = "sig" in request.query_params and self._follows_link(request, kwargs["generation_id"])
        if not self.linked:
            super().initial(request, *args, **kwargs)

    def _follows_link(self, request: Request, generation_id: uuid.UUID) -> bool:
        """Whether the link is good. A bad one may still come with a key, as clients that always send it do."""
        try:
            links.check(generation_id, request.query_params)
        except Forbidden:
            if "Authorization" in request.headers:
                return False
            raise
        return True

    def get(self, request: Request, generation_id: uuid.UUID) -> HttpResponseBase:
        generation = self._find(request, generation_id)
        response = serve_video(request._request, generation)
        if self.linked:  # whoever has the link may show the video, on a page of their own too
            response["Cross-Origin-Resource-Policy"] = "cross-origin"
        return response

    def _find(self, request: Request, generation_id: uuid.UUID) -> Generation:
        rows = Generation.objects.select_related("video", "user", "team").filter(pk=generation_id)
        rows = rows.filter(deleted_at__isnull=True) if self.linked else rows.owned_by(request.user)
        found = rows.first()
        if found is None:
            raise nothing_here()
        if not found.user.is_active:
            raise Suspended(_("This link is dead: the account of its owner is suspended."))
        return found


@documents.models
class Models(ApiView):
    def get(self, request: Request) -> Response:
        return Response(answers.as_models(_user(request), cast(ApiKey, request.auth)))
