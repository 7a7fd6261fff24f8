"""What the documents say of batches: the bodies, and each operation."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_view,
)
from rest_framework import serializers

from generations import services
from generations.api.documents import ONCE
from generations.api.serializers import GenerationSerializer
from generations.models import Batch, Generation, Status
from kling_platform.documents import RefusalSerializer, answers

ID = "3f0d9c1a-7b52-4c8e-a935-1c0f6a2b8e47"


class BatchLineSerializer(GenerationSerializer):
    """A single request; whom it is for is said once, for all."""

    def get_fields(self) -> dict[str, Any]:
        said_once = ("team", "visibility")
        return {name: field for name, field in super().get_fields().items() if name not in said_once}


class BatchRequestSerializer(serializers.Serializer[Any]):
    requests = serializers.ListField(
        child=BatchLineSerializer(),
        min_length=1,
        max_length=services.MOST_LINES,
        help_text=_("Each as for a single video. Up to 20 pictures may be sent along; others as addresses."),
    )
    mode = serializers.ChoiceField(
        Batch.Mode.values,
        required=False,
        default=str(Batch.Mode.ALL_OR_NOTHING),
        help_text=_(
            "all_or_nothing: one that cannot be made refuses the whole. best_effort: what passes and can be paid, "
            "in order, is made; errors lists the rest."
        ),
    )
    stop_at_failure_rate = serializers.FloatField(
        required=False,
        min_value=0,
        max_value=1,
        allow_null=True,
        help_text=_(
            "The batch pauses itself when more than this share of what is over has failed (of five at least): 0.5, "
            "say; 0 at the first failure; below 1."
        ),
    )
    name = serializers.CharField(required=False, max_length=100, allow_blank=True, help_text=_("Yours."))
    team = serializers.CharField(
        required=False,
        allow_null=True,
        help_text=_("The team that it is all made for, and that pays too; null for yourself alone."),
    )
    visibility = serializers.ChoiceField(
        Generation.Visibility.values, required=False, help_text=_("team: its members see them too.")
    )


class LineErrorSerializer(serializers.Serializer[Any]):
    line = serializers.IntegerField(help_text=_("Its place from 1, or the line of the table."))
    code = serializers.CharField(help_text=_("What happened, for programs."))
    message = serializers.CharField(help_text=_("The same for people."))
    param = serializers.CharField(allow_null=True, help_text=_("The field at fault."))


class CountsSerializer(serializers.Serializer[Any]):
    """How many of the batch are in each state."""

    def get_fields(self) -> dict[str, Any]:
        return {status.value: serializers.IntegerField(help_text=status.label) for status in Status}


class BatchCostSerializer(serializers.Serializer[Any]):
    held = serializers.IntegerField(help_text=_("Credits of those in the making."))
    charged = serializers.IntegerField(help_text=_("Credits of those that were made."))


class BatchSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.ChoiceField(["batch"])
    name = serializers.CharField(allow_blank=True, help_text=_("Yours."))
    mode = serializers.ChoiceField(Batch.Mode.values, help_text=_("As it was asked for."))
    created_at = serializers.IntegerField(help_text=_("Unix seconds."))
    status = serializers.ChoiceField(
        ["processing", "paused", "finished"],
        help_text=_("finished when nothing of it is in the making; paused when what waits is held back."),
    )
    asked = serializers.IntegerField(help_text=_("How many requests it had."))
    counts = CountsSerializer(help_text=_("How many are in each state."))
    cost = BatchCostSerializer(help_text=_("In credits. What fails costs nothing."))
    stop_at_failure_rate = serializers.FloatField(allow_null=True, help_text=_("As it was asked for."))
    paused_at = serializers.IntegerField(allow_null=True, help_text=_("Unix seconds."))
    errors = LineErrorSerializer(many=True, help_text=_("What was not made, and why."))  # type: ignore[assignment]


class BatchPageSerializer(serializers.Serializer[Any]):
    object = serializers.ChoiceField(["list"])
    data = BatchSerializer(many=True)  # type: ignore[assignment] # a field
    first_id = serializers.UUIDField(allow_null=True)
    last_id = serializers.UUIDField(allow_null=True, help_text=_("Send it as after for the next page."))
    has_more = serializers.BooleanField()


class QuotedWalletSerializer(serializers.Serializer[Any]):
    scope = serializers.ChoiceField(["user", "team", "key"], help_text=_("Whose quota."))
    available = serializers.IntegerField(help_text=_("Credits that are left."))
    resets_at = serializers.IntegerField(allow_null=True, help_text=_("Unix seconds."))


class BatchQuoteSerializer(serializers.Serializer[Any]):
    object = serializers.ChoiceField(["batch.quote"])
    asked = serializers.IntegerField(help_text=_("How many requests it has."))
    passed = serializers.IntegerField(help_text=_("How many of them could be made."))
    price = serializers.IntegerField(help_text=_("Credits for those together."))
    can_pay = serializers.BooleanField(help_text=_("Whether every wallet can pay that now."))
    wallets = QuotedWalletSerializer(many=True, help_text=_("Who would pay: each the whole price."))
    refusal = RefusalSerializer(allow_null=True, help_text=_("What stands against paying."))
    errors = LineErrorSerializer(many=True, help_text=_("What could not be made, and why."))  # type: ignore[assignment]


_COUNTS = dict.fromkeys(Status.values, 0)
_BATCH = {
    "id": ID,
    "object": "batch",
    "name": "spring",
    "mode": "best_effort",
    "created_at": 1794000000,
    "status": "processing",
    "asked": 3,
    "counts": _COUNTS | {"running": 1, "succeeded": 1},
    "cost": {"held": 15, "charged": 15},
    "stop_at_failure_rate": 0.5,
    "paused_at": None,
    "errors": [
        {
            "line": 3,
            "code": "invalid_value",
            "message": "kling-v2-6 makes videos of 5 or 10 seconds.",
            "param": "duration",
        }
    ],
}
_QUOTE = {
    "object": "batch.quote",
    "asked": 3,
    "passed": 2,
    "price": 30,
    "can_pay": True,
    "wallets": [{"scope": "user", "available": 970, "resets_at": 1796083200}],
    "refusal": None,
    "errors": _BATCH["errors"],
}
_REQUEST = {
    "name": "spring",
    "mode": "best_effort",
    "stop_at_failure_rate": 0.5,
    "requests": [
        {"model": "kling-v2-6", "prompt": "一只小狐狸在雪地里追逐落叶"},
        {"model": "kling-v2-6", "prompt": "Waves roll onto a pebble beach at dusk.", "size": "9:16"},
    ],
}
_TABLE = 'model,prompt,duration,size,tags\nkling-v2-6,"Waves, at dusk",5,9:16,"sea,draft"\n'

batches = extend_schema_view(
    post=extend_schema(
        operation_id="create_batch",
        tags=["batches"],
        summary=_("Create many videos"),
        description=_(
            "Up to 200 in one call, as JSON or as a table (text/csv) whose first line names fields of a request, keys "
            "of its metadata, or tags; with a table the options stand in the address. Everything is checked and "
            "priced first: dry_run=1 only says what would happen, line by line. Counts as one creating call."
        ),
        request={
            "application/json": BatchRequestSerializer,
            "text/csv": OpenApiTypes.STR,
        },
        responses=answers(
            PolymorphicProxySerializer(
                "BatchOrQuote", [BatchSerializer, BatchQuoteSerializer], resource_type_field_name=None
            ),
            400,
            402,
            413,
            415,
            422,
        ),
        parameters=[
            *ONCE,
            OpenApiParameter(
                "dry_run", str, enum=["0", "1"], default="0", description=_("1: quote, and make nothing.")
            ),
            OpenApiParameter("mode", str, enum=Batch.Mode.values, description=_("With a table.")),
            OpenApiParameter("stop_at_failure_rate", float, description=_("With a table.")),
            OpenApiParameter("name", str, description=_("With a table.")),
            OpenApiParameter("team", str, description=_("With a table.")),
            OpenApiParameter("visibility", str, description=_("With a table.")),
        ],
        examples=[
            OpenApiExample("batch", value=_REQUEST, request_only=True, media_type="application/json"),
            OpenApiExample("table", value=_TABLE, request_only=True, media_type="text/csv"),
            OpenApiExample("made", value=_BATCH, response_only=True, status_codes=["200"]),
            OpenApiExample("quote", value=_QUOTE, response_only=True, status_codes=["200"]),
        ],
    ),
    get=extend_schema(
        operation_id="list_batches",
        tags=["batches"],
        summary=_("List your batches"),
        description=_("Newest first. Go on with the last_id of a page as long as has_more is true."),
        responses=answers(BatchPageSerializer, 400, 404),
        parameters=[
            OpenApiParameter(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
                description=_("How many."),
            ),
            OpenApiParameter(
                "after", OpenApiTypes.UUID, description=_("The id that the page begins behind.")
            ),
        ],
    ),
)


def _one(method: str, operation_id: str, summary: Any, description: Any, *refusals: int) -> Any:
    return extend_schema_view(
        **{
            method: extend_schema(
                operation_id=operation_id,
                tags=["batches"],
                summary=summary,
                description=description,
                request=None,
                responses=answers(BatchSerializer, 404, *refusals),
                examples=[OpenApiExample("batch", value=_BATCH, response_only=True, status_codes=["200"])],
            )
        }
    )


batch = _one(
    "get",
    "get_batch",
    _("Read a batch"),
    _("Where its videos stand, and what they cost. The list of videos takes its id: batch=ID&order=asc."),
)
cancel = _one(
    "post",
    "cancel_batch",
    _("Cancel the rest of a batch"),
    _("What waits is taken back and its credits return; what was sent is finished. 409 when nothing waits."),
    409,
)
resume = _one(
    "post",
    "resume_batch",
    _("Resume a batch"),
    _("Sends on what waits in a paused batch; failures are counted anew. 409 when it is not paused."),
    409,
)
