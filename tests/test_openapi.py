"""The documents: the schema is sound, says what is true, and can be read offline under the strict policy."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from playwright.sync_api import expect

from accounts.models import User
from accounts.services import set_quota
from generations import catalogue, services
from generations.api.serializers import OPTIONS, GenerationSerializer
from kling_platform.documents import BY_FILES
from tests.api import GENERATIONS, TEXT, Api, finished
from tests.makers import ask

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def schema(django_db_setup: None, django_db_blocker: Any) -> dict[str, Any]:
    out = StringIO()
    with django_db_blocker.unblock():  # it offers what the rules in force offer
        call_command("spectacular", "--validate", "--fail-on-warn", "--format=openapi-json", stdout=out)
    return json.loads(out.getvalue())


def operations(schema: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if path.startswith(("/v1/video", "/v1/batches", "/v1/models", "/v1/quota"))
    }


def test_every_address_of_the_contract_is_there(schema: dict[str, Any]) -> None:
    one = GENERATIONS + "/{generation_id}"
    assert set(operations(schema)) == {
        ("POST", GENERATIONS),
        ("GET", GENERATIONS),
        ("GET", one),
        ("PATCH", one),
        ("DELETE", one),
        ("POST", one + "/cancel"),
        ("POST", one + "/retry"),
        ("GET", one + "/content"),
        ("GET", one + "/links"),
        ("POST", one + "/links"),
        ("DELETE", one + "/links/{link_id}"),
        ("GET", GENERATIONS + "/export"),
        ("POST", "/v1/batches"),
        ("GET", "/v1/batches"),
        ("GET", "/v1/batches/{batch_id}"),
        ("POST", "/v1/batches/{batch_id}/cancel"),
        ("POST", "/v1/batches/{batch_id}/resume"),
        ("POST", "/v1/videos"),
        ("GET", "/v1/videos"),
        ("GET", "/v1/videos/{video_id}"),
        ("DELETE", "/v1/videos/{video_id}"),
        ("GET", "/v1/videos/{video_id}/content"),
        ("GET", "/v1/models"),
        ("GET", "/v1/quota"),
    }


def test_every_operation_is_told_in_words_and_with_its_refusals(schema: dict[str, Any]) -> None:
    assert schema["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for where, operation in operations(schema).items():
        assert operation["summary"] and operation["description"] and operation["tags"], where
        assert {"key": []} in operation["security"], where
        answers = operation["responses"]
        assert {"200", "401", "403", "503"} <= set(answers), where
        assert "WWW-Authenticate" in answers["401"]["headers"]
        assert "Retry-After" in answers["503"]["headers"]
        for status, answer in answers.items():
            if status >= "400" and status not in BY_FILES:
                body = answer["content"]["application/json"]
                assert body["schema"] == {"$ref": "#/components/schemas/Error"}
                assert body["examples"], (where, status)


def test_every_field_is_explained(schema: dict[str, Any]) -> None:
    plain = {"id", "object", "model", "data", "has_more", "first_id", "resolution", "owned_by", "error"}
    for name in (
        "GenerationRequest",
        "Video",
        "Quota",
        "Balance",
        "Mode",
        "Model",
        "Refusal",
        "Batch",
        "BatchQuote",
        "LineError",
        "Link",
        "LinkRequestRequest",
    ):
        for field, declared in schema["components"]["schemas"][name]["properties"].items():
            assert field in plain or declared.get("description"), (name, field)


def test_the_declared_request_is_what_the_catalogue_reads(schema: dict[str, Any]) -> None:
    rules = catalogue.BUILT_IN
    declared = schema["components"]["schemas"]["GenerationRequest"]
    ours = {"tags", "team", "visibility"}  # which never leave the platform
    assert {*catalogue.FIELDS, *ours} == set(declared["properties"])
    assert set(GenerationSerializer._declared_fields) == set(declared["properties"])
    assert declared["required"] == ["model", "prompt"]
    assert set(OPTIONS) == set(rules.metadata_keys)
    assert declared["properties"]["model"]["enum"] == [model.name for model in rules.models]
    assert declared["properties"]["prompt"]["maxLength"] == rules.prompt_characters
    assert declared["properties"]["images"]["maxItems"] == rules.images


def test_every_example_of_a_request_is_accepted(schema: dict[str, Any]) -> None:
    examples = operations(schema)["POST", GENERATIONS]["requestBody"]["content"]["application/json"][
        "examples"
    ]
    assert len(examples) >= 3
    for name, example in examples.items():
        assert catalogue.validate(example["value"], catalogue.BUILT_IN), name


def conforms(schema: dict[str, Any], operation: tuple[str, str], answer: Any) -> None:
    """The answer has the declared status, and exactly the declared fields in the declared types."""
    declared = operations(schema)[operation]["responses"][str(answer.status_code)]
    body = declared["content"]["application/json"]["schema"]
    closed = strict({"components": schema["components"], **body})
    jsonschema.Draft4Validator(closed, format_checker=jsonschema.FormatChecker()).validate(answer.json())


def strict(part: Any) -> Any:
    """The same schema, in which an object may have no field that is not declared, and null where it says so."""
    if isinstance(part, list):
        return [strict(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    made = {name: strict(inner) for name, inner in part.items()}
    if made.get("type") == "object" and "properties" in made:
        made.setdefault("additionalProperties", False)
    if not made.pop("nullable", False):
        return made
    return made | {"type": [made["type"], "null"]} if "type" in made else {"anyOf": [made, {"type": "null"}]}


@pytest.mark.django_db
def test_real_answers_are_what_the_schema_says(schema: dict[str, Any], alice: User, alice_key: str) -> None:
    api = Api(alice_key)
    one = GENERATIONS + "/{generation_id}"
    ready, canceled = finished(alice), services.cancel(ask(alice), actor=alice)
    conforms(schema, ("POST", GENERATIONS), api.create())
    for generation in (ready, canceled, ask(alice)):
        conforms(schema, ("GET", one), api.get(f"{GENERATIONS}/{generation.pk}"))
    conforms(schema, ("POST", one + "/cancel"), api.post(f"{GENERATIONS}/{ask(alice).pk}/cancel"))
    conforms(schema, ("GET", GENERATIONS), api.get(GENERATIONS))
    conforms(
        schema, ("GET", GENERATIONS), api.get(f"{GENERATIONS}?after={api.get(GENERATIONS).json()['last_id']}")
    )
    conforms(schema, ("POST", one + "/retry"), api.post(f"{GENERATIONS}/{canceled.pk}/retry"))
    tagged = api.send(
        "PATCH", f"{GENERATIONS}/{ready.pk}", data=b'{"tags": ["a"]}', content_type="application/json"
    )
    conforms(schema, ("PATCH", one), tagged)
    for line in api.get(f"{GENERATIONS}/export?format=jsonl").getvalue().splitlines():
        declared = {"$ref": "#/components/schemas/Record"}
        jsonschema.Draft4Validator(strict({"components": schema["components"], **declared})).validate(
            json.loads(line)
        )
    conforms(schema, ("DELETE", one), api.send("DELETE", f"{GENERATIONS}/{ready.pk}"))
    conforms(schema, ("POST", GENERATIONS), api.post(f"{GENERATIONS}?dry_run=1", TEXT))
    conforms(schema, ("POST", GENERATIONS), api.post(f"{GENERATIONS}?dry_run=1", {}))
    conforms(schema, ("POST", GENERATIONS), api.post(GENERATIONS, TEXT, headers={"prefer": "wait=1"}))
    video = "/v1/videos/{video_id}"
    conforms(schema, ("POST", "/v1/videos"), api.post("/v1/videos", TEXT))
    for generation in (canceled, ready):
        conforms(schema, ("GET", video), api.get(f"/v1/videos/{generation.pk}"))
    conforms(schema, ("GET", "/v1/videos"), api.get("/v1/videos"))
    conforms(schema, ("DELETE", video), api.send("DELETE", f"/v1/videos/{ready.pk}"))
    conforms(schema, ("GET", "/v1/models"), api.get("/v1/models"))
    conforms(schema, ("GET", "/v1/quota"), api.get("/v1/quota"))


@pytest.mark.django_db
def test_real_answers_about_batches_are_what_the_schema_says(
    schema: dict[str, Any], alice: User, alice_key: str
) -> None:
    api, one = Api(alice_key), "/v1/batches/{batch_id}"
    body = {"requests": [TEXT, TEXT | {"duration": 7}], "mode": "best_effort", "stop_at_failure_rate": 0}
    made, quoted = api.post("/v1/batches", body), api.post("/v1/batches?dry_run=1", body)
    conforms(schema, ("POST", "/v1/batches"), made)
    conforms(schema, ("POST", "/v1/batches"), quoted)
    conforms(schema, ("GET", "/v1/batches"), api.get("/v1/batches"))
    path = f"/v1/batches/{made.json()['id']}"
    conforms(schema, ("GET", one), api.get(path))
    conforms(schema, ("POST", one + "/resume"), api.post(f"{path}/resume"))  # 409
    conforms(schema, ("POST", one + "/cancel"), api.post(f"{path}/cancel"))
    set_quota(alice, credits=0)
    conforms(schema, ("POST", "/v1/batches"), api.post("/v1/batches?dry_run=1", body))
    conforms(schema, ("POST", "/v1/batches"), api.post("/v1/batches", body))


@pytest.mark.django_db
def test_real_refusals_are_what_the_schema_says(schema: dict[str, Any], alice: User, alice_key: str) -> None:
    api = Api(alice_key)
    create, one = ("POST", GENERATIONS), GENERATIONS + "/{generation_id}"
    conforms(schema, create, api.create(duration=7))
    conforms(schema, create, Api().create())
    conforms(schema, create, api.post(GENERATIONS, TEXT, content_type="text/plain"))
    conforms(schema, create, api.post(GENERATIONS, b" " * (32 * 1024 * 1024 + 1)))
    conforms(schema, ("GET", GENERATIONS), api.get(f"{GENERATIONS}?limit=0"))
    conforms(
        schema, ("GET", GENERATIONS), api.get(f"{GENERATIONS}?after=00000000-0000-4000-8000-000000000000")
    )
    conforms(schema, ("GET", one), api.get(f"{GENERATIONS}/00000000-0000-4000-8000-000000000000"))
    queued = ask(alice)
    conforms(schema, ("GET", one + "/content"), api.get(f"{GENERATIONS}/{queued.pk}/content"))
    services.cancel(queued, actor=alice)
    conforms(schema, ("POST", one + "/cancel"), api.post(f"{GENERATIONS}/{queued.pk}/cancel"))
    set_quota(alice, credits=0)
    conforms(schema, create, api.create())


# --- served -----------------------------------------------------------------------


@pytest.mark.django_db
def test_the_schema_is_served_in_both_forms(client: Client, settings: Any) -> None:
    settings.PUBLIC_URL = "https://kling.example.com"
    as_yaml = yaml.safe_load(client.get("/api/schema").content)
    as_json = json.loads(client.get("/api/schema?format=json").content)
    assert as_yaml == as_json
    assert as_json["servers"] == [{"url": "https://kling.example.com"}]


@pytest.mark.django_db
def test_the_page_shows_the_programs_that_the_tests_run(client: Client, settings: Any) -> None:
    settings.PUBLIC_URL = "https://kling.team.example"
    answer = client.get("/api/docs")
    assert answer.status_code == 200
    page = answer.content.decode()
    for words in ("curl -sS", "requests.post(", "await fetch(", "http.NewRequest("):
        assert words in page
    assert "BASE_URL=https://kling.team.example" in page
    assert "kling.example.com" not in page
    assert client.post("/api/docs").status_code == 405


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_call_can_be_tried_from_the_page_offline_and_under_the_policy(
    page: Page, live_server: Any, settings: Any, alice: User, alice_key: str
) -> None:
    """The page asks nobody but the platform; its console must stay silent (see the fixture ``page``)."""
    settings.PUBLIC_URL = "https://kling.example.com"  # the page is opened by another name
    strangers: list[str] = []
    page.on("request", lambda request: strangers.append(request.url))
    page.set_viewport_size({"width": 390, "height": 900})
    page.emulate_media(color_scheme="dark")
    page.goto(f"{live_server.url}/api/docs")
    expect(page.locator(".opblock-summary-path").first).to_be_visible()

    page.get_by_role("tab", name="Python").click()
    expect(page.get_by_text("import requests", exact=False).first).to_be_visible()
    page.locator("button.authorize").click()
    page.locator(".auth-container input").fill(alice_key)
    page.locator(".auth-btn-wrapper .authorize").click()
    page.locator(".btn-done").click()
    quota = page.locator("#operations-account-get_quota")
    quota.locator(".opblock-summary").click()
    quota.locator(".try-out__btn").click()
    quota.locator(".execute").click()
    expect(quota.locator(".live-responses-table .response .highlight-code")).to_contain_text(
        '"available": 1000'
    )

    create = page.locator("#operations-videos-create_generation")
    create.locator(".opblock-summary").click()
    expect(create.locator(".response").first).to_be_visible()
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert not [url for url in strangers if not url.startswith((live_server.url, "data:"))]
