"""The bodies of the wire, declared for the documents. ``catalogue.validate`` reads requests, ``public`` writes.

Tests hold real answers against these, and the declared options against the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from generations import services
from generations.models import Status
from generations.models.groups import TAG_LENGTH
from generations.public import FAILED, PROCESSING, SUCCEEDED

OPTIONS = {
    "negative_prompt": {"type": "string", "description": _("What should not be seen.")},
    "mode": {
        "type": "string",
        "enum": ["std", "pro"],
        "description": _("For a model that has both; else the cheapest that allows the request is taken."),
    },
    "sound": {
        "type": "string",
        "enum": ["on", "off"],
        "description": _("On needs kling-v2-6 in pro mode, and costs more."),
    },
    "image_tail": {"type": "string", "description": _("The last frame: another name for images[1].")},
    "cfg_scale": {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "description": _("Passed on; the models of today take no notice of it."),
    },
    "camera_control": {
        "type": "object",
        "description": _("Passed on; the models of today take no notice of it."),
    },
    "watermark_info": {"type": "object", "description": _("Passed on.")},
}


class MetadataField(serializers.JSONField):
    """An object, or a string that holds one."""


def _metadata_schema(keys: Iterable[str]) -> dict[str, Any]:
    allowed = {key: OPTIONS.get(key, {"description": _("Passed on.")}) for key in keys}
    return {
        "oneOf": [
            {"type": "object", "properties": allowed, "additionalProperties": False},
            {"type": "string", "description": _("The same object as JSON text: the gateway's own form.")},
        ],
        "description": _("More options. Any other key is refused, because an unknown one could cost money."),
    }


class GenerationSerializer(serializers.Serializer[Any]):
    """Its options are those of the rules in force: see ``get_fields``."""

    model = serializers.ChoiceField((), help_text=_("See GET /v1/models for what each can do."))
    prompt = serializers.CharField(
        help_text=_("What is to be seen: subject, movement, scene, camera, light.")
    )
    duration = serializers.IntegerField(
        required=False, default=5, help_text=_("Seconds: 5 or 10, as a number or in quotes.")
    )
    size = serializers.CharField(
        required=False,
        default="16:9",
        help_text=_(
            "16:9, 1:1 or 9:16, or pixels of such a ratio (1280x720). With a picture, its own ratio is followed."
        ),
    )
    images = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text=_(
            "The first frame and, where the model takes one, the last. Each is an http(s) address, base64 or a "
            "data URI of a JPEG, PNG or WEBP: up to 10 MB, at least 300 pixels a side, at most 2.5 times as long "
            "as wide."
        ),
    )
    image = serializers.CharField(required=False, help_text=_("Another name for images[0]."))
    metadata = MetadataField(required=False)
    team = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        help_text=_(
            "The name of the team of yours that it is made for: the team's quota pays too, and its rules hold. "
            "Without it your only team is meant, if you have just one; empty or null is for yourself."
        ),
    )
    visibility = serializers.ChoiceField(
        ["private", "team"], required=False, help_text=_("Whether the team sees it in its library.")
    )
    tags = serializers.ListField(
        child=serializers.CharField(min_length=1, max_length=TAG_LENGTH),
        required=False,
        max_length=services.MOST_TAGS,
        help_text=_("Words of yours, without commas, to find it by. They stay here: Kling never sees them."),
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        rules = services.current_rules()
        fields["model"].choices = [model.name for model in rules.offered]  # type: ignore[attr-defined]
        fields["prompt"] = serializers.CharField(
            max_length=rules.prompt_characters, help_text=fields["prompt"].help_text
        )
        fields["images"] = serializers.ListField(
            child=serializers.CharField(),
            required=False,
            max_length=rules.images,
            help_text=fields["images"].help_text,
        )
        extend_schema_field(_metadata_schema(rules.metadata_keys))(fields["metadata"])  # type: ignore[type-var]
        return fields


class FailureSerializer(serializers.Serializer[Any]):
    code = serializers.CharField(help_text=_("A word for programs; canceled for what was canceled."))
    message = serializers.CharField(help_text=_("A sentence for people. What failed costs nothing."))


class CreatedSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    task_id = serializers.UUIDField(help_text=_("The same as id."))
    object = serializers.ChoiceField(["video"])
    model = serializers.CharField()
    created_at = serializers.IntegerField(help_text=_("Unix seconds."))
    status = serializers.ChoiceField(
        [PROCESSING, SUCCEEDED, FAILED], help_text=_("processing, until it is succeeded or failed.")
    )
    progress = serializers.IntegerField(min_value=0, max_value=100, help_text=_("Percent."))
    state = serializers.ChoiceField(
        Status.values,
        help_text=_("Where it stands in detail. There may be more of these one day: decide by status."),
    )


class QueueSerializer(serializers.Serializer[Any]):
    position = serializers.IntegerField(
        allow_null=True, help_text=_("1 is sent next; null once it was sent. A few seconds old.")
    )
    eta_seconds = serializers.IntegerField(
        allow_null=True,
        help_text=_(
            "Seconds from now until it is made, as it took half of the last ones; null before enough of its "
            "kind were made, and while nothing is sent. No promise."
        ),
    )
    eta_seconds_at_most = serializers.IntegerField(
        allow_null=True, help_text=_("The same, as it took nine of ten.")
    )
    paused = serializers.BooleanField(
        help_text=_(
            "true: the platform's operators have stopped sending, and nothing waiting begins meanwhile."
        )
    )


class VideoSerializer(CreatedSerializer):
    seconds = serializers.IntegerField(help_text=_("The length that was asked for."))
    size = serializers.CharField(help_text=_("The ratio that was asked for."))
    cost = serializers.IntegerField(help_text=_("Credits held or charged; 0 once failed."))
    completed_at = serializers.IntegerField(required=False, help_text=_("Unix seconds; once succeeded."))
    url = serializers.URLField(
        required=False,
        help_text=_("Once succeeded: a link that needs no key, new on every read, good for 24 hours."),
    )
    queue = QueueSerializer(required=False, help_text=_("While it is processing."))
    error = FailureSerializer(required=False, help_text=_("Once failed."))
    batch_id = serializers.UUIDField(required=False, help_text=_("Of the batch that it came in, if any."))
    batch_line = serializers.IntegerField(required=False, help_text=_("Its place in the batch."))
    tags = serializers.ListField(
        child=serializers.CharField(), required=False, help_text=_("Your words for it, once it has any.")
    )


class TagsSerializer(serializers.Serializer[Any]):
    tags = serializers.ListField(
        child=serializers.CharField(min_length=1, max_length=TAG_LENGTH),
        max_length=services.MOST_TAGS,
        help_text=_("All that it shall have; [] takes the last one away."),
    )


class VideoDeletedSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.ChoiceField(["video"])
    deleted = serializers.BooleanField()


class CreatedOrReadSerializer(VideoSerializer):
    """A create is answered at once, or, with ``Prefer: wait``, as a read is."""

    seconds = serializers.IntegerField(required=False, help_text=_("The length; with Prefer: wait."))
    size = serializers.CharField(required=False, help_text=_("The ratio; with Prefer: wait."))
    cost = serializers.IntegerField(
        required=False, help_text=_("Credits held or charged; with Prefer: wait.")
    )


class VideoPageSerializer(serializers.Serializer[Any]):
    object = serializers.ChoiceField(["list"])
    data = VideoSerializer(many=True)  # type: ignore[assignment] # a field
    first_id = serializers.UUIDField(allow_null=True)
    last_id = serializers.UUIDField(allow_null=True, help_text=_("Send it as after for the next page."))
    has_more = serializers.BooleanField()


class RecordSerializer(serializers.Serializer[Any]):
    """A line of an export; a column of a table each."""

    id = serializers.UUIDField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    status = serializers.ChoiceField([PROCESSING, SUCCEEDED, FAILED])
    state = serializers.ChoiceField(Status.values)
    model = serializers.CharField()
    mode = serializers.CharField()
    seconds = serializers.IntegerField()
    size = serializers.CharField()
    sound = serializers.BooleanField()
    cost = serializers.IntegerField(help_text=_("Credits held or charged; 0 once failed."))
    prompt = serializers.CharField()
    negative_prompt = serializers.CharField()
    tags = serializers.ListField(
        child=serializers.CharField(), help_text=_("In a table: with commas between.")
    )
    key = serializers.CharField(allow_null=True, help_text=_("The start of the key that made it."))
    retry_of = serializers.UUIDField(allow_null=True)
    batch_id = serializers.UUIDField(allow_null=True)
    batch_line = serializers.IntegerField(allow_null=True)
    error_code = serializers.CharField(allow_null=True)
    error_message = serializers.CharField(allow_null=True)


class ModeSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text=_("The mode of metadata."))
    resolution = serializers.CharField()
    last_frame = serializers.BooleanField(help_text=_("Whether a second picture is taken."))
    sound = serializers.BooleanField(help_text=_("Whether sound may be on."))
    credits_per_second = serializers.IntegerField(help_text=_("The price of a second of video."))
    credits_per_second_with_sound = serializers.IntegerField(
        allow_null=True, help_text=_("The same with sound; null where there is none.")
    )


class ModelSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(help_text=_("The model of a request."))
    object = serializers.ChoiceField(["model"])
    created = serializers.IntegerField(help_text=_("Always 0; for clients that want the field."))
    owned_by = serializers.CharField()
    label = serializers.CharField(help_text=_("Its name for people."))  # type: ignore[assignment] # a field
    seconds = serializers.ListField(child=serializers.IntegerField(), help_text=_("Lengths."))
    sizes = serializers.ListField(child=serializers.CharField(), help_text=_("Ratios."))
    modes = ModeSerializer(many=True, help_text=_("Qualities, from cheap to dear."))


class ModelListSerializer(serializers.Serializer[Any]):
    object = serializers.ChoiceField(["list"])
    data = ModelSerializer(many=True)  # type: ignore[assignment] # a field
    version = serializers.CharField(help_text=_("Of the rules and prices."))
    prompt_characters = serializers.IntegerField(help_text=_("The longest prompt."))
    images = serializers.IntegerField(help_text=_("The most pictures."))
