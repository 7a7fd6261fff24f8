"""The API's documents: what every operation shares, the schema, and a page to read it offline."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework import serializers
from rest_framework.negotiation import DefaultContentNegotiation

from kling_platform.api import error_body

INTRODUCTION = _(
    "Make videos with Kling from your own programs. The addresses, fields and words are those of the OmniMaaS "
    "gateway, so a program written for it works here with another base URL and key.\n\n"
    "**Key.** Make one on your account page and send it as `Authorization: Bearer klp_…`. A key sees its "
    "owner's generations only, and may `read`, `create`, manage `webhooks`, or all of it. "
    "Cookies do not count here.\n\n"
    "**A video in three steps.** Create one; read it every few seconds until its `status` is `succeeded` or "
    "`failed`; fetch its `url`. Your credits are held when it is created, charged when it is made, and "
    "returned when it fails.\n\n"
    '**Errors** have one shape: `{"error": {"message", "type", "code", "param"}}`. `message` is for '
    "people, in the language of your `Accept-Language`; decide by `code`; `param` names the field at fault. "
    "A refused request made nothing and cost nothing."
)
HOW_OFTEN = _(
    "**How often.** Creating calls are counted exactly for each key, all others for each web process; the headers "
    "`RateLimit-Policy` and `RateLimit` (for clients of OpenAI `x-ratelimit-…`) say what is left. Calls come back "
    "evenly, not all at once. Over the limit: 429 with `Retry-After`. A key may have limits of its own, set on your "
    "account page: models, videos in the making at a time (429, `too_many_open`), credits, an end."
)
TAGS = {
    "videos": _("Make videos, follow them and fetch them."),
    "openai": _("The same videos for clients of OpenAI's: its Videos shape, with our models and options."),
    "batches": _("Make many videos in one call."),
    "webhooks": _("Be told when a video is ready or has failed, instead of asking."),
    "account": _("What there is to choose from, and what is left to spend."),
}
REFUSALS = {
    400: ("invalid_value", _("A value that cannot be; param names it.")),
    401: ("invalid_api_key", _("No key, or one that is not known or was revoked.")),
    402: ("insufficient_quota", _("A quota cannot pay (insufficient_quota), or there is none (no_quota).")),
    403: (
        "missing_scope",
        _("The key lacks a scope, may not use the model (model_not_allowed), or its owner is suspended."),
    ),
    404: ("not_found", _("Not there, or not yours.")),
    409: ("wrong_state", _("Not possible in the state that it is in.")),
    413: ("body_too_large", _("The body is larger than 32 MB.")),
    415: ("unsupported_media_type", _("The body is not application/json.")),
    422: ("idempotency_key_reused", _("The Idempotency-Key belongs to another body.")),
    429: (
        "rate_limit_exceeded",
        _(
            "Too many calls (rate_limit_exceeded), or too many videos of the key in the making (too_many_open)."
        ),
    ),
    503: ("unavailable", _("The database is away for a moment.")),
}
ALWAYS = (401, 403, 429, 503)
CLIENTS = {
    "curl": ("curl", "video.sh"),
    "python": ("Python", "video.py"),
    "node": ("Node.js", "video.mjs"),
    "go": ("Go", "video.go"),
}
EXAMPLE_URL = "https://kling.example.com"  # in the head of each
PARAM = "duration"  # of the example
WAIT = {"Retry-After": ("integer", _("Seconds to wait."))}
RATES = {
    "RateLimit-Policy": ("string", _('The kind of call, how many a minute: "creates";q=300;w=60')),
    "RateLimit": ("string", _('How many are left, and the seconds until all are back: "creates";r=299;t=1')),
    "x-ratelimit-limit-requests": ("integer", _("The same for clients of OpenAI: how many a minute.")),
    "x-ratelimit-remaining-requests": ("integer", _("How many are left.")),
    "x-ratelimit-reset-requests": ("string", _("Until all are back: 1s")),
}
IN_VAIN = {
    "X-Should-Retry": (
        "string",
        _("false: the same request would be refused again, so clients of OpenAI do not send it again."),
    )
}
WHO = {"WWW-Authenticate": ("string", "Bearer")}
BY_FILES = ("304", "412", "416")  # answered about a file, without a body


class RefusalSerializer(serializers.Serializer[Any]):
    message = serializers.CharField(help_text=_("What happened and what to do, for people."))
    type = serializers.CharField(help_text=_("The kind of error."))
    code = serializers.CharField(help_text=_("What happened, for programs."))
    param = serializers.CharField(allow_null=True, help_text=_("The field at fault."))


class ErrorSerializer(serializers.Serializer[Any]):
    error = RefusalSerializer()


class BearerKey(OpenApiAuthenticationExtension):
    """Found by drf-spectacular wherever an operation takes our keys."""

    target_class = "accounts.authentication.KeyAuthentication"
    name = "key"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "klp_…"}


def operation(tag: str, name: str, summary: Any, description: Any = None, **more: Any) -> Any:
    """``extend_schema`` with what each operation has: its tag, its id and its words."""
    return extend_schema(operation_id=name, tags=[tag], summary=summary, description=description, **more)


def answers(body: Any, *refusals: int) -> dict[Any, Any]:
    """The responses of an operation: its 200, these refusals, and those that any operation may give."""
    return {200: body} | refused(*refusals)


def refused(*statuses: int) -> dict[Any, Any]:
    """These refusals, and those that any operation may give."""
    return {status: _refusal(status) for status in sorted({*statuses, *ALWAYS})}


def _refusal(status: int) -> OpenApiResponse:
    code, text = REFUSALS[status]
    return OpenApiResponse(
        ErrorSerializer,
        description=text,
        examples=[
            OpenApiExample(
                code,
                value=error_body(status, code, text, PARAM if status == 400 else None),
                response_only=True,
                status_codes=[str(status)],
            )
        ],
    )


def introduce(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Put what belongs to no single operation into the schema; called by drf-spectacular at its end."""
    result["info"]["description"] = f"{INTRODUCTION}\n\n{HOW_OFTEN}"
    result["servers"] = [{"url": settings.PUBLIC_URL}]
    result["tags"] = [{"name": name, "description": str(text)} for name, text in TAGS.items()]
    for operations in result["paths"].values():
        for operation in operations.values():
            _declare_headers(operation["responses"])
    _drop_marks(result)
    return result


def _declare_headers(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        response.setdefault("headers", {}).update(
            {
                name: {"schema": {"type": schema}, "description": str(text)}
                for name, (schema, text) in headers_of(status).items()
            }
        )


def headers_of(status: str) -> dict[str, tuple[str, Any]]:
    """What any operation may send with an answer of this status; see ``render_error``."""
    if status == "401":  # nobody is counted yet
        return WHO | IN_VAIN
    headers = dict(RATES)
    if status in ("429", "503"):
        return WAIT | headers
    is_refusal = status.startswith("4") and status not in BY_FILES
    return headers | IN_VAIN if is_refusal else headers


def _drop_marks(part: Any) -> None:
    """Take out the marks that drf-spectacular leaves for its own hook, which would move every choice away."""
    if isinstance(part, dict):
        part.pop("x-spec-enum-id", None)
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _drop_marks(inner)


class Schema(SpectacularAPIView):
    """The schema in YAML, or in JSON for ``?format=json``."""

    content_negotiation_class = DefaultContentNegotiation


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """How to begin, whole programs in four languages, and the reference to try calls in."""
    return render(request, "api/docs.html", {"base_url": settings.PUBLIC_URL, "clients": _clients()})


def _clients() -> list[dict[str, str]]:
    """The programs that the tests run, pointed at this platform."""
    return [
        {
            "key": folder,
            "name": name,
            "code": (settings.BASE_DIR / "clients" / folder / file)
            .read_text(encoding="utf-8")
            .replace(EXAMPLE_URL, settings.PUBLIC_URL),
        }
        for folder, (name, file) in CLIENTS.items()
    ]


urlpatterns = [
    path("schema", Schema.as_view(), name="schema"),
    path("docs", docs, name="docs"),
]
