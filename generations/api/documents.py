"""What the documents say of each operation on generations."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_view,
)

from generations.api import file_documents
from generations.api.filters import parameters
from generations.api.quotes import QuoteSerializer
from generations.api.serializers import (
    CreatedOrReadSerializer,
    CreatedSerializer,
    GenerationSerializer,
    ModelListSerializer,
    RecordSerializer,
    TagsSerializer,
    VideoDeletedSerializer,
    VideoPageSerializer,
    VideoSerializer,
)
from kling_platform.documents import answers, refused

ID = "7d0f3b1e-52c4-4a8e-9d35-0c1f6a2b8e47"
_CREATED = {
    "id": ID,
    "task_id": ID,
    "object": "video",
    "model": "kling-v2-6",
    "created_at": 1794000000,
    "status": "processing",
    "progress": 0,
    "state": "queued",
}
_VIDEO = _CREATED | {
    "status": "succeeded",
    "progress": 100,
    "state": "succeeded",
    "seconds": 5,
    "size": "16:9",
    "cost": 15,
    "completed_at": 1794000095,
    "url": f"https://kling.example.com/v1/video/generations/{ID}/content?expires=1794086500&sig=…",
}
_FAILED = _CREATED | {
    "status": "failed",
    "state": "canceled",
    "seconds": 5,
    "size": "16:9",
    "cost": 0,
    "error": {
        "code": "canceled",
        "message": "Canceled before it was sent. Nothing was charged: all credits came back.",
    },
}
_REQUESTS = [
    OpenApiExample(
        "text",
        summary=_("From words"),
        value={"model": "kling-v2-6", "prompt": "一只小狐狸在雪地里追逐落叶", "duration": 5, "size": "16:9"},
        request_only=True,
    ),
    OpenApiExample(
        "picture",
        summary=_("From a picture"),
        value={
            "model": "kling-v2-5-turbo-pro",
            "prompt": "镜头缓缓推近，烛光轻轻摇曳",
            "images": ["https://example.com/first.jpg"],
            "duration": 10,
        },
        request_only=True,
    ),
    OpenApiExample(
        "sound",
        summary=_("With sound"),
        value={
            "model": "kling-v2-6",
            "prompt": "Waves roll onto a pebble beach at dusk, the camera pans left.",
            "size": "9:16",
            "metadata": {"mode": "pro", "sound": "on", "negative_prompt": "people"},
        },
        request_only=True,
    ),
]


def or_quote(name: str, made: Any) -> PolymorphicProxySerializer:
    """The answer of a creating call, which with ``dry_run`` is a quote."""
    return PolymorphicProxySerializer(
        component_name=name, serializers=[made, QuoteSerializer], resource_type_field_name=None
    )


# Of every call that makes something.
ONCE = [
    OpenApiParameter(
        "Idempotency-Key",
        str,
        OpenApiParameter.HEADER,
        description=_(
            "A name of yours for this call, a UUID say. Send it again with the same body, and you get the first "
            "answer; nothing is made twice. Kept for three days; a refusal is not kept."
        ),
    ),
    OpenApiParameter(
        "Idempotent-Replayed",
        str,
        OpenApiParameter.HEADER,
        response=[200],
        description=_("true: this is the answer of before, and nothing was made now."),
    ),
]
# Of creating and reading calls.
WAIT = [
    OpenApiParameter(
        "Prefer",
        str,
        OpenApiParameter.HEADER,
        description=_(
            "wait=60: answer when the video is over, or after so many seconds (60 at most) as it stands then. "
            "When too many wait already, the answer comes at once."
        ),
    ),
    OpenApiParameter(
        "Preference-Applied",
        str,
        OpenApiParameter.HEADER,
        response=[200],
        description=_("wait=60: the answer has waited."),
    ),
]
DRY_RUN = OpenApiParameter(
    "dry_run",
    str,
    enum=["1", "0", "true", "false"],
    description=_(
        "1: nothing is made. The answer is a quote: the price, who would pay, what stands in its way, and when "
        "it would be made."
    ),
)
ORDER = OpenApiParameter(
    "order", str, enum=["desc", "asc"], default="desc", description=_("By time of creation.")
)

# Of every list of generations.
PAGING = [
    OpenApiParameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
        description=_("How many."),
    ),
    OpenApiParameter("after", OpenApiTypes.UUID, description=_("The id that the page begins behind.")),
    ORDER,
]

generations = extend_schema_view(
    post=extend_schema(
        operation_id="create_generation",
        tags=["videos"],
        summary=_("Create a video"),
        description=_(
            "Takes the request, holds its price and answers at once; the video is made meanwhile. "
            "The id stands in the answer twice, for clients that look for id or for task_id."
        ),
        request=GenerationSerializer,
        responses=answers(or_quote("CreatedOrQuote", CreatedOrReadSerializer), 400, 402, 413, 415, 422),
        parameters=[*ONCE, *WAIT, DRY_RUN],
        examples=[
            *_REQUESTS,
            OpenApiExample("created", value=_CREATED, response_only=True, status_codes=["200"]),
        ],
    ),
    get=extend_schema(
        operation_id="list_generations",
        tags=["videos"],
        summary=_("List your videos"),
        description=_(
            "Newest first. Go on with the last_id of a page as long as has_more is true. What narrows the list may "
            "be combined; a parameter that is not named here is refused."
        ),
        responses=answers(VideoPageSerializer, 400, 404),
        parameters=[*parameters(), *PAGING],
    ),
)

generation = extend_schema_view(
    get=extend_schema(
        operation_id="get_generation",
        tags=["videos"],
        summary=_("Read a video"),
        description=_(
            "Ask every few seconds until status is succeeded or failed. Most are ready in one to three minutes."
        ),
        responses=answers(VideoSerializer, 404),
        parameters=WAIT,
        examples=[
            OpenApiExample("succeeded", value=_VIDEO, response_only=True, status_codes=["200"]),
            OpenApiExample("failed", value=_FAILED, response_only=True, status_codes=["200"]),
        ],
    ),
    patch=extend_schema(
        operation_id="change_generation",
        tags=["videos"],
        summary=_("Tag a video"),
        description=_("Its tags are words of yours to find it by. Nothing else of it can be changed."),
        request=TagsSerializer,
        responses=answers(VideoSerializer, 400, 404, 413, 415),
        examples=[OpenApiExample("tags", value={"tags": ["spring", "draft"]}, request_only=True)],
    ),
    delete=extend_schema(
        operation_id="delete_generation",
        tags=["videos"],
        summary=_("Delete a video"),
        description=_(
            "It is gone at once, and its file after seven days; until then your library can bring it back. What "
            "is queued is canceled first; what is being made can't be deleted before it is over: 409."
        ),
        responses=answers(VideoDeletedSerializer, 404, 409),
    ),
)

retry = extend_schema_view(
    post=extend_schema(
        operation_id="retry_generation",
        tags=["videos"],
        summary=_("Make a video again"),
        description=_(
            "A new generation from the same request, its pictures included, at today's price. The old one stays."
        ),
        request=None,
        responses=answers(CreatedSerializer, 400, 402, 404, 422),
        parameters=ONCE,
        examples=[OpenApiExample("created", value=_CREATED, response_only=True, status_codes=["200"])],
    )
)

export = extend_schema_view(
    get=extend_schema(
        operation_id="export_generations",
        tags=["videos"],
        summary=_("Export your videos"),
        description=_(
            "All that the same parameters as of the list leave, as a table (csv) or as a JSON object a line (jsonl). "
            "In a table, a text that a spreadsheet would run as a formula begins with an apostrophe."
        ),
        responses={
            **refused(400),
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description=_("The file.")),
            (200, "application/jsonl"): OpenApiResponse(RecordSerializer, description=_("The file.")),
        },
        parameters=[
            *parameters(),
            OpenApiParameter(
                "format", str, enum=["csv", "jsonl"], default="csv", description=_("Of the file.")
            ),
            ORDER,
            OpenApiParameter(
                "bom",
                str,
                enum=["0", "1"],
                default="0",
                description=_("1: Excel sees that a table is UTF-8."),
            ),
            OpenApiParameter(
                "Content-Disposition",
                str,
                OpenApiParameter.HEADER,
                response=[200],
                description=_("The name to save it under."),
            ),
        ],
    )
)

cancel = extend_schema_view(
    post=extend_schema(
        operation_id="cancel_generation",
        tags=["videos"],
        summary=_("Cancel a video"),
        description=_(
            "Possible while its state is queued; later the gateway has it, and can't take it back: 409."
        ),
        request=None,
        responses=answers(VideoSerializer, 404, 409),
        examples=[OpenApiExample("canceled", value=_FAILED, response_only=True, status_codes=["200"])],
    )
)

content = extend_schema_view(
    get=extend_schema(
        operation_id="get_content",
        tags=["videos"],
        summary=_("Fetch the file"),
        description=_(
            "An MP4. The url of a finished video is this address, signed for 24 hours, so that it needs no key. "
            "Ranges are answered (206), so players can seek and downloads can go on."
        ),
        auth=[{"key": []}, {}],  # type: ignore[list-item] # with a key or, by a signed link, without
        responses=file_documents.responses(_("The whole file."), "video/mp4"),
        parameters=[
            OpenApiParameter("expires", int, description=_("Of a signed link.")),
            OpenApiParameter("sig", str, description=_("Of a signed link; the last parameter.")),
            *file_documents.PARAMETERS,
        ],
    )
)

models = extend_schema_view(
    get=extend_schema(
        operation_id="list_models",
        tags=["account"],
        summary=_("List the models"),
        description=_("What each can do, and its price in credits for each second of video."),
        responses=answers(ModelListSerializer),
    )
)
