"""What the documents say of webhooks: the bodies, each operation, and the call that a receiver gets."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiCallback,
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)
from rest_framework import serializers

from generations.api.serializers import VideoSerializer
from generations.models import WebhookDelivery, WebhookEndpoint, WebhookEvent, WebhookTry
from kling_platform.documents import answers, operation

ID = "5b0e3c52-6a3f-4b61-9d0f-2f7f1f3f8a10"
_URL = _(
    "An https address that the internet can reach. It is called by POST; any answer but 2xx within 15 seconds is "
    "a failure, and no redirect is followed."
)
_EVENTS = _("What it is told; all of them when left out.")


class WebhookRequestSerializer(serializers.Serializer[Any]):
    url = serializers.URLField(max_length=2048, help_text=_URL)
    events = serializers.ListField(
        child=serializers.ChoiceField(WebhookEvent.values), required=False, help_text=_EVENTS
    )
    name = serializers.CharField(required=False, max_length=100, allow_blank=True)


class WebhookChangeSerializer(serializers.Serializer[Any]):
    url = serializers.URLField(required=False, max_length=2048, help_text=_URL)
    events = serializers.ListField(child=serializers.ChoiceField(WebhookEvent.values), required=False)
    name = serializers.CharField(required=False, max_length=100, allow_blank=True)
    enabled = serializers.BooleanField(
        required=False,
        help_text=_("false: nothing is sent or kept for it; true: it is called again, whatever stopped it."),
    )


class WebhookSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.ChoiceField(["webhook"])
    name = serializers.CharField(allow_blank=True)
    url = serializers.URLField()
    events = serializers.ListField(child=serializers.ChoiceField(WebhookEvent.values))
    enabled = serializers.BooleanField(help_text=_("Whether it is called."))
    stopped_reason = serializers.ChoiceField(
        WebhookEndpoint.Stopped.values,
        allow_null=True,
        help_text=_("paused by you; gone: it answered 410; failing: all ten tries failed, over three days."),
    )
    created_at = serializers.IntegerField(help_text=_("Unix seconds."))
    last_success_at = serializers.IntegerField(allow_null=True, help_text=_("Unix seconds."))
    old_secret_until = serializers.IntegerField(
        allow_null=True, help_text=_("Until then the secret before this one signs as well. Unix seconds.")
    )


class WebhookSecretSerializer(WebhookSerializer):
    secret = serializers.CharField(help_text=_("whsec_…: shown this once. Verify each call with it."))


class WebhookDeletedSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.ChoiceField(["webhook"])
    deleted = serializers.BooleanField()


class WebhookTrySerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField(min_value=1)
    at = serializers.IntegerField(help_text=_("Unix seconds."))
    outcome = serializers.ChoiceField(WebhookTry.Outcome.values)
    message = serializers.CharField(help_text=_("The outcome in words."))
    status = serializers.IntegerField(allow_null=True, help_text=_("What the receiver answered."))
    ms = serializers.IntegerField(allow_null=True, help_text=_("Until its answer began."))
    excerpt = serializers.CharField(
        allow_blank=True, help_text=_("The start of its answer, without what looks like a secret.")
    )


class WebhookDeliverySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text=_("The webhook-id of every try."))
    object = serializers.ChoiceField(["webhook.delivery"])
    webhook_id = serializers.UUIDField()
    generation_id = serializers.UUIDField(allow_null=True, help_text=_("null for a test."))
    event = serializers.CharField()
    created_at = serializers.IntegerField(help_text=_("When it happened. Unix seconds."))
    status = serializers.ChoiceField(WebhookDelivery.Status.values)
    next_try_at = serializers.IntegerField(allow_null=True, help_text=_("While it waits. Unix seconds."))
    tries = WebhookTrySerializer(many=True)


class _Page(serializers.Serializer[Any]):
    object = serializers.ChoiceField(["list"])
    first_id = serializers.UUIDField(allow_null=True)
    last_id = serializers.UUIDField(allow_null=True)
    has_more = serializers.BooleanField()


class WebhookListSerializer(_Page):
    data = WebhookSerializer(many=True)  # type: ignore[assignment] # a field


class WebhookDeliveryPageSerializer(_Page):
    data = WebhookDeliverySerializer(many=True)  # type: ignore[assignment] # a field


class RotateSerializer(serializers.Serializer[Any]):
    keep_old = serializers.BooleanField(
        required=False,
        default=True,
        help_text=_("true: the old secret signs too, for 24 hours; false: it ends now."),
    )


class ReplayedSerializer(serializers.Serializer[Any]):
    replayed = serializers.IntegerField(min_value=0, help_text=_("How many are sent again."))


class WebhookEventSerializer(serializers.Serializer[Any]):
    type = serializers.ChoiceField([*WebhookEvent.values, "webhook.test"])
    timestamp = serializers.DateTimeField(help_text=_("When it happened."))
    data = VideoSerializer(help_text=_("The video as GET answers it."))  # type: ignore[assignment] # a field


_operation = partial(operation, "webhooks")

_CALL = OpenApiCallback(
    "event",
    "{$request.body#/url}",
    extend_schema(
        operation_id="receive_event",
        summary=_("What your receiver is sent"),
        description=_(
            "With the headers `webhook-id`, `webhook-timestamp` (Unix seconds) and `webhook-signature` (`v1,<base64>`, "
            "one for each living secret) of Standard Webhooks: verify them with a library of that name, or with your "
            "OpenAI client's `webhooks.unwrap`. The id is the same in every try: remember it, and act once. A "
            "`webhook.test` has `data` of the webhook itself."
        ),
        request=WebhookEventSerializer,
        responses={"2XX": OpenApiResponse(description=_("Taken."))},
    ),
)

webhooks = extend_schema_view(
    get=_operation("list_webhooks", _("List your webhooks"), responses=answers(WebhookListSerializer)),
    post=_operation(
        "create_webhook",
        _("Register a webhook"),
        _(
            "Its address is told whenever one of your videos is ready, failed or canceled: at once, and again up "
            "to ten times over 75 hours until it answers 2xx. 410 stops it."
        ),
        request=WebhookRequestSerializer,
        responses=answers(WebhookSecretSerializer, 400, 409, 413, 415),
        callbacks=[_CALL],
        examples=[
            OpenApiExample(
                "all",
                summary=_("Everything"),
                value={"url": "https://example.com/kling", "name": "render farm"},
                request_only=True,
            )
        ],
    ),
)
webhook = extend_schema_view(
    get=_operation("get_webhook", _("Read a webhook"), responses=answers(WebhookSerializer, 404)),
    patch=_operation(
        "change_webhook",
        _("Change, pause or resume a webhook"),
        _("What is left out stays as it is."),
        request=WebhookChangeSerializer,
        responses=answers(WebhookSerializer, 400, 404, 413, 415),
    ),
    delete=_operation(
        "delete_webhook",
        _("Remove a webhook"),
        _("Its secret is forgotten, and what waits for it is not sent."),
        responses=answers(WebhookDeletedSerializer, 404),
    ),
)
rotate = extend_schema_view(
    post=_operation(
        "rotate_webhook",
        _("Make a new secret"),
        request=RotateSerializer,
        responses=answers(WebhookSecretSerializer, 400, 404, 409, 413, 415),
    )
)
test = extend_schema_view(
    post=_operation(
        "test_webhook",
        _("Send a test"),
        _("A webhook.test event, whatever events are chosen. Read the delivery to see what came of it."),
        request=None,
        responses=answers(WebhookDeliverySerializer, 404, 409),
    )
)
replay_failed = extend_schema_view(
    post=_operation(
        "replay_failed_deliveries",
        _("Send again what was given up"),
        request=None,
        responses=answers(ReplayedSerializer, 404, 409),
    )
)
deliveries = extend_schema_view(
    get=_operation(
        "list_deliveries",
        _("Read the log"),
        _("Newest first; kept for 30 days."),
        responses=answers(WebhookDeliveryPageSerializer, 400, 404),
        parameters=[
            OpenApiParameter(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
                description=_("How many."),
            ),
            OpenApiParameter(
                "after", OpenApiTypes.UUID, description=_("The id that the page begins behind.")
            ),
            OpenApiParameter("status", str, enum=WebhookDelivery.Status.values),
        ],
    )
)
delivery = extend_schema_view(
    get=_operation("get_delivery", _("Read a delivery"), responses=answers(WebhookDeliverySerializer, 404))
)
replay = extend_schema_view(
    post=_operation(
        "replay_delivery",
        _("Send a delivery again"),
        _("With its old id and a new plan of ten tries, whether it was delivered or given up."),
        request=None,
        responses=answers(WebhookDeliverySerializer, 404, 409),
    )
)
