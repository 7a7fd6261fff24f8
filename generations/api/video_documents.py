"""What the documents say of ``/v1/videos``."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema_field,
    extend_schema_view,
)
from rest_framework import serializers

from generations.api import file_documents
from generations.api.documents import DRY_RUN, ID, ONCE, PAGING, WAIT, or_quote
from generations.api.openai import COMPLETED, FAILED, IN_PROGRESS, QUEUED
from generations.api.serializers import FailureSerializer, GenerationSerializer
from kling_platform.documents import answers, operation

FILES = ("video/mp4", "image/jpeg")
_VIDEO = {
    "id": ID,
    "object": "video",
    "model": "kling-v2-6",
    "status": "completed",
    "progress": 100,
    "created_at": 1794000000,
    "completed_at": 1794000095,
    "expires_at": None,
    "prompt": "Waves roll onto a pebble beach at dusk.",
    "seconds": "5",
    "size": "1280x720",
    "remixed_from_video_id": None,
    "error": None,
}
_QUEUED = _VIDEO | {"status": "queued", "progress": 0, "completed_at": None}


@extend_schema_field(
    {
        "oneOf": [
            {"type": "object", "properties": {"image_url": {"type": "string"}}, "required": ["image_url"]},
            {"type": "string", "description": _("In a form: the file. Else its address, or a data URI.")},
        ],
        "description": _("The first frame: another name for images[0]."),
    }
)
class ReferenceField(serializers.JSONField):
    """A picture: a file in a form, an object or a text in JSON."""


class OpenAIRequestSerializer(GenerationSerializer):
    """Ours, with two fields called as OpenAI calls them."""

    duration = None  # type: ignore[assignment] # seconds here
    image = None  # type: ignore[assignment] # input_reference here
    seconds = serializers.CharField(required=False, default="5", help_text=_("5 or 10."))
    size = serializers.CharField(
        required=False,
        default="16:9",
        help_text=_("Pixels of such a ratio (1280x720, 720x1280, 960x960), or 16:9, 9:16, 1:1."),
    )
    input_reference = ReferenceField(required=False)


class OpenAIVideoSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.ChoiceField(["video"])
    model = serializers.CharField()
    status = serializers.ChoiceField(
        [QUEUED, IN_PROGRESS, COMPLETED, FAILED], help_text=_("completed or failed is the end.")
    )
    progress = serializers.IntegerField(min_value=0, max_value=100, help_text=_("Percent."))
    created_at = serializers.IntegerField(help_text=_("Unix seconds."))
    completed_at = serializers.IntegerField(allow_null=True, help_text=_("Unix seconds; once completed."))
    expires_at = serializers.IntegerField(allow_null=True, help_text=_("Always null: it is kept."))
    prompt = serializers.CharField(help_text=_("As it was sent."))
    seconds = serializers.CharField(help_text=_("The length, as text."))
    size = serializers.CharField(
        help_text=_("Pixels: of the real film once it is completed, before that what is expected.")
    )
    remixed_from_video_id = serializers.CharField(allow_null=True, help_text=_("Always null."))
    error = FailureSerializer(allow_null=True, help_text=_("Once failed."))


class OpenAIPageSerializer(serializers.Serializer[Any]):
    object = serializers.ChoiceField(["list"])
    data = OpenAIVideoSerializer(many=True)  # type: ignore[assignment] # a field
    first_id = serializers.UUIDField(allow_null=True)
    last_id = serializers.UUIDField(allow_null=True, help_text=_("Send it as after for the next page."))
    has_more = serializers.BooleanField()


class OpenAIDeletedSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.ChoiceField(["video.deleted"])
    deleted = serializers.BooleanField()


_AFTER = OpenApiParameter(
    "OpenAI-Poll-After-Ms",
    int,
    OpenApiParameter.HEADER,
    response=[200],
    description=_("While it is in the making: milliseconds after which it is worth to ask again."),
)


_operation = partial(operation, "openai")

videos = extend_schema_view(
    post=_operation(
        "create_video",
        _("Create a video, OpenAI's way"),
        _(
            "As a form or as JSON. With OpenAI's SDKs, what is ours goes into extra_body: "
            "`extra_body={'metadata': {'sound': 'on', 'mode': 'pro'}}`."
        ),
        request={
            "application/json": OpenAIRequestSerializer,
            "multipart/form-data": OpenAIRequestSerializer,
        },
        responses=answers(or_quote("VideoOrQuote", OpenAIVideoSerializer), 400, 402, 413, 415, 422),
        parameters=[*ONCE, *WAIT, DRY_RUN, _AFTER],
        examples=[
            OpenApiExample(
                "text",
                summary=_("From words"),
                value={"model": "kling-v2-6", "prompt": _VIDEO["prompt"], "seconds": "5", "size": "1280x720"},
                request_only=True,
            ),
            OpenApiExample("queued", value=_QUEUED, response_only=True, status_codes=["200"]),
        ],
    ),
    get=_operation(
        "list_videos",
        _("List your videos, OpenAI's way"),
        _("Newest first. Go on with the last_id of a page as long as has_more is true."),
        responses=answers(OpenAIPageSerializer, 400, 404),
        parameters=PAGING,
    ),
)

video = extend_schema_view(
    get=_operation(
        "get_video",
        _("Read a video, OpenAI's way"),
        _("The SDK's create_and_poll asks this until status is completed or failed."),
        responses=answers(OpenAIVideoSerializer, 404),
        parameters=[*WAIT, _AFTER],
        examples=[OpenApiExample("completed", value=_VIDEO, response_only=True, status_codes=["200"])],
    ),
    delete=_operation(
        "delete_video",
        _("Delete a video"),
        _("It is gone from every list and link at once. What is queued is canceled first; what runs: 409."),
        responses=answers(OpenAIDeletedSerializer, 404, 409),
    ),
)

video_content = extend_schema_view(
    get=_operation(
        "download_video_content",
        _("Fetch the film or a still of it"),
        _("Ranges are answered (206), so downloads can go on."),
        responses=file_documents.responses(_("An MP4, or a JPEG."), *FILES, also=(400,)),
        parameters=[
            OpenApiParameter(
                "variant",
                str,
                enum=["video", "thumbnail"],
                default="video",
                description=_("The film, or a still as JPEG."),
            ),
            *file_documents.PARAMETERS,
        ],
    )
)
