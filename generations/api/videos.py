"""``/v1/videos``: OpenAI's Videos shape over the same services. A key sees its owner's rows only."""

from __future__ import annotations

import uuid
from typing import Any, cast

from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import ApiKey, User
from generations import services
from generations.api import history
from generations.api import video_documents as documents
from generations.api.content import serve_poster, serve_video
from generations.api.creating import apart, once_from, respond
from generations.api.history import nothing_here
from generations.api.openai import COLUMNS, PIXELS, as_openai, named_as_sent, poll_after, to_request
from generations.api.pages import as_list
from generations.api.quotes import as_quote, is_dry
from generations.api.waiting import waited
from generations.models import Generation, GenerationQuerySet
from kling_platform.api import BoundedJSONParser
from kling_platform.api_views import ApiView
from kling_platform.errors import InvalidValue, PlatformError
from kling_platform.multipart import BoundedMultipartParser

VARIANTS = {"video": serve_video, "thumbnail": serve_poster}


def _rows(request: Request) -> GenerationQuerySet:
    return Generation.objects.owned_by(request.user).select_related("video").only(*COLUMNS, *PIXELS)


def _own(request: Request, video_id: uuid.UUID) -> Generation:
    found = _rows(request).filter(pk=video_id).first()
    if found is None:
        raise nothing_here()
    return found


def _quote(request: Request, body: dict[str, Any]) -> services.Quote:
    user, key = cast(User, request.user), cast(ApiKey, request.auth)
    try:
        asked, _tags = apart(to_request(body))
        quote = services.quote(user=user, api_key=key, request=asked)
    except PlatformError as unreadable:
        return services.Quote(refusals=(unreadable,))
    for refusal in quote.refusals:
        named_as_sent(refusal, body)
    return quote


@documents.videos
class Videos(ApiView):
    parser_classes = [BoundedJSONParser, BoundedMultipartParser]

    def creates(self, request: Request) -> bool:
        return super().creates(request) and not is_dry(request)

    def post(self, request: Request) -> Response:
        user, key, body = cast(User, request.user), cast(ApiKey, request.auth), dict(request.data)
        if is_dry(request):
            return Response(as_quote(_quote(request, body)))
        once = once_from(request, body, as_openai)
        try:
            asked, tags = apart(to_request(body))
            answered = services.make_once(
                once, lambda: services.create(user=user, api_key=key, request=asked, tags=tags, once=once)
            )
        except PlatformError as refusal:
            raise named_as_sent(refusal, body) from refusal
        response = respond(answered, poll_after(services.SOON_SECONDS))
        return waited(request, response, lambda: _own(request, answered.answer["id"]), as_openai)

    def get(self, request: Request) -> Response:
        for name in request.query_params:
            if name not in history.PAGING:
                raise InvalidValue(
                    _("There is no parameter “%(name)s” here. Parameters: %(known)s.")
                    % {"name": name[:60], "known": ", ".join(history.PAGING)},
                    param=name[:60],
                )
        page = history.page(request, _rows(request))
        return Response(as_list([as_openai(row) for row in page.rows], has_more=page.has_more))


@documents.video
class OneVideo(ApiView):
    http_method_names = ["get", "head", "delete"]

    def get(self, request: Request, video_id: uuid.UUID) -> Response:
        generation = _own(request, video_id)
        headers = poll_after(services.look_again(generation)) if generation.is_open else {}
        response = Response(as_openai(generation), headers=headers)
        return waited(request, response, lambda: _own(request, video_id), as_openai)

    def delete(self, request: Request, video_id: uuid.UUID) -> Response:
        services.delete(_own(request, video_id), actor=cast(User, request.user))
        return Response({"id": str(video_id), "object": "video.deleted", "deleted": True})


@documents.video_content
class VideoContent(ApiView):
    http_method_names = ["get", "head"]

    def get(self, request: Request, video_id: uuid.UUID) -> HttpResponseBase:
        serve: Any = VARIANTS.get(request.query_params.get("variant", "video"))
        if serve is None:
            raise InvalidValue(_("variant is video or thumbnail."), param="variant")
        found = (
            Generation.objects.owned_by(request.user)
            .select_related("video", "team")
            .filter(pk=video_id)
            .first()
        )
        if found is None:
            raise nothing_here()
        response: HttpResponseBase = serve(request._request, found)
        return response
