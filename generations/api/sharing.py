"""``/v1/video/generations/{id}/links``: links by which anybody watches one video. Own ones only."""

from __future__ import annotations

import uuid
from typing import Any, cast

from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from generations import services
from generations.api import fields
from generations.api import sharing_documents as documents
from generations.api.history import nothing_here
from generations.api.pages import as_list
from generations.links import share_url
from generations.models import Generation, ShareLink
from kling_platform.api_views import ApiView
from kling_platform.errors import InvalidValue, NotFound


def as_link(link: ShareLink) -> dict[str, Any]:
    """A link in the words of the wire; ``url`` is null once the platform's secret was changed."""
    return {
        "id": str(link.pk),
        "object": "share_link",
        "generation_id": str(link.generation_id),
        "url": share_url(link) or None,
        "title": link.title,
        "downloads": link.downloads,
        "created_at": int(link.created_at.timestamp()),
        "expires_at": int(link.expires_at.timestamp()),
        "opened": link.opened,
        "last_opened_at": int(link.last_seen_at.timestamp()) if link.last_seen_at else None,
    }


def _own(request: Request, generation_id: uuid.UUID) -> Generation:
    rows = Generation.objects.owned_by(request.user).select_related("team")
    found = rows.filter(pk=generation_id).first()
    if found is None:
        raise nothing_here()
    return found


@documents.links
class Links(ApiView):
    makes = False

    def get(self, request: Request, generation_id: uuid.UUID) -> Response:
        links = services.links_to(_own(request, generation_id))
        return Response(as_list([as_link(link) for link in links]))

    def post(self, request: Request, generation_id: uuid.UUID) -> Response:
        body = fields.only(request, "days", "downloads", "title")
        days, title = body.get("days"), body.get("title")
        if title is not None and not isinstance(title, str):
            raise InvalidValue(_("title is a text."), param="title")
        link = services.make_link(
            _own(request, generation_id),
            actor=cast(User, request.user),
            days=services.LINK_DAYS[0] if days is None else days if type(days) is int else 0,
            downloads=bool(fields.flag(body, "downloads")),
            title=title or "",
        )
        return Response(as_link(link))


@documents.link
class OneLink(ApiView):
    http_method_names = [*ApiView.http_method_names, "delete"]

    def delete(self, request: Request, generation_id: uuid.UUID, link_id: uuid.UUID) -> Response:
        rows = ShareLink.objects.owned_by(request.user)
        link = rows.filter(pk=link_id, generation=generation_id).first()
        if link is None:
            raise NotFound(_("There is no link with this id, or it is not yours."))
        services.revoke_link(link, actor=cast(User, request.user))
        return Response({"id": str(link_id), "object": "share_link", "deleted": True})
