"""``/v1/webhooks``: what a program may say about its webhooks, and what it is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db.models.functions import Now

from accounts.models import AuditEntry, User
from generations import services
from generations.models import WebhookDelivery, WebhookEndpoint
from tests.api import Api, error
from tests.receivers import Listen, canceled, work_off

pytestmark = pytest.mark.django_db

HOOKS = "/v1/webhooks"
URL = "https://example.com/hook?tenant=1"
ALL = ["generation.succeeded", "generation.failed", "generation.canceled"]
WEBHOOK = [
    "id", "object", "name", "url", "events", "enabled", "stopped_reason", "created_at", "last_success_at",
    "old_secret_until",
]  # fmt: skip
DELIVERY = [
    "id", "object", "webhook_id", "generation_id", "event", "created_at", "status", "next_try_at", "tries"
]  # fmt: skip
OPERATIONS = [
    ("GET", HOOKS),
    ("POST", HOOKS),
    ("GET", HOOKS + "/{id}"),
    ("PATCH", HOOKS + "/{id}"),
    ("DELETE", HOOKS + "/{id}"),
    ("POST", HOOKS + "/{id}/rotate"),
    ("POST", HOOKS + "/{id}/test"),
    ("POST", HOOKS + "/{id}/replay"),
    ("GET", HOOKS + "/{id}/deliveries"),
    ("GET", HOOKS + "/{id}/deliveries/{delivery}"),
    ("POST", HOOKS + "/{id}/deliveries/{delivery}/replay"),
]
ABOUT_ONE = [(method, path) for method, path in OPERATIONS if "{id}" in path]


def send(api: Api, method: str, path: str, body: Any = None) -> Any:
    data = b"" if body is None else json.dumps(body).encode()
    return api.send(method, path, data=data, content_type="application/json")


def registered(user: User) -> dict[str, Any]:
    """An endpoint with a delivery: what the paths of OPERATIONS need."""
    endpoint = services.register_webhook(user, url=URL)
    return {"id": endpoint.pk, "delivery": services.send_test(endpoint).pk}


def rows() -> list[Any]:
    return [list(model.objects.order_by("pk").values()) for model in (WebhookEndpoint, WebhookDelivery)]


# --- who --------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), ABOUT_ONE)
def test_a_removed_one_is_404(alice: User, alice_key: str, method: str, path: str) -> None:
    path = path.format(**registered(alice))
    services.remove_webhook(WebhookEndpoint.objects.get())
    assert send(Api(alice_key), method, path, {}).status_code == 404


def test_anothers_delivery_is_not_under_my_webhook(alice: User, bob: User, alice_key: str) -> None:
    mine, theirs = registered(alice), registered(bob)
    path = f"{HOOKS}/{mine['id']}/deliveries/{theirs['delivery']}"
    assert Api(alice_key).get(path).status_code == 404
    assert Api(alice_key).post(f"{path}/replay").status_code == 404
    assert (
        Api(alice_key).get(f"{HOOKS}/{mine['id']}/deliveries?after={theirs['delivery']}").status_code == 404
    )


# --- register, read, change ----------------------------------------------------------


def test_the_secret_is_shown_once(alice: User, alice_key: str) -> None:
    api = Api(alice_key)
    answer = api.post(HOOKS, {"url": URL, "name": "render farm"})
    assert answer.status_code == 200, answer.content
    made = answer.json()
    assert list(made) == [*WEBHOOK, "secret"]
    assert made["secret"].startswith("whsec_")
    assert (made["object"], made["name"], made["url"], made["enabled"]) == (
        "webhook",
        "render farm",
        URL,
        True,
    )
    assert made["events"] == ALL
    secret = made.pop("secret")
    for answer in (
        api.get(HOOKS),
        api.get(f"{HOOKS}/{made['id']}"),
        send(api, "PATCH", f"{HOOKS}/{made['id']}", {}),
    ):
        assert secret not in answer.content.decode()
        body = answer.json()
        assert (body["data"][0] if "data" in body else body) == made
    assert secret not in str(list(AuditEntry.objects.values()))


def test_a_list_is_newest_first_and_ones_own(alice: User, bob: User, alice_key: str) -> None:
    first, second = registered(alice), registered(alice)
    registered(bob)
    body = Api(alice_key).get(HOOKS).json()
    assert list(body) == ["object", "data", "first_id", "last_id", "has_more"]
    assert [one["id"] for one in body["data"]] == [str(second["id"]), str(first["id"])]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "url"),
        ({"url": ""}, "url"),
        ({"url": None}, "url"),
        ({"url": 7}, "url"),
        ({"url": ["https://example.com/"]}, "url"),
        ({"url": URL, "events": []}, "events"),
        ({"url": URL, "events": ["generation.exploded"]}, "events"),
        ({"url": URL, "events": "generation.failed"}, "events"),
        ({"url": URL, "events": [["generation.failed"]]}, "events"),
        ({"url": URL, "events": [{}]}, "events"),
        ({"url": URL, "events": 1}, "events"),
        ({"url": URL, "events": ["webhook.test"]}, "events"),
        ({"url": URL, "name": "x" * 101}, "name"),
        ({"url": URL, "name": "two\nlines"}, "name"),
        ({"url": URL, "name": 5}, "name"),
        ({"url": URL, "secret": "whsec_mine"}, "secret"),
        ({"url": URL, "user": 1}, "user"),
    ],
)
def test_what_cannot_be_is_400_and_named(alice_key: str, body: Any, param: str) -> None:
    answer = Api(alice_key).post(HOOKS, body)
    assert (answer.status_code, error(answer)["param"]) == (400, param), answer.content
    assert not WebhookEndpoint.objects.exists()


BAD_URLS = [
    "http://example.com/", "ftp://example.com/", "//example.com/", "example.com", "https:///x", "https://",
    "javascript:alert(1)",
    "https://user:password@example.com/", "https://example.com\\@127.0.0.1/", "https://example.com/a b", "https://exa\tmple.com/",
    "https://example.com:0/", "https://example.com:99999/", "https://example.com/\u202e", "https://" + "a" * 2048,
    "https://127.0.0.1/", "https://127.1/", "https://0x7f000001/", "https://2130706433/", "https://017700000001/",
    "https://0/", "https://10.0.0.1:8443/hook", "https://192.168.1.1/", "https://172.16.0.1/", "https://169.254.169.254/latest",
    "https://100.64.0.1/", "https://192.0.0.1/", "https://192.88.99.1/", "https://224.0.0.1/", "https://255.255.255.255/",
    "https://127.0.0.1./", "https://[::1]/", "https://[::]/", "https://[::ffff:10.0.0.1]/", "https://[::ffff:7f00:1]/",
    "https://[fd00::1]/", "https://[fe80::1]/", "https://[64:ff9b::a00:1]/", "https://[2002:7f00:1::]/", "https://[2001::1]/",
    "https://[fec0::1]/", "https://[ff02::1]/", "https://[100::1]/", "https://[::127.0.0.1]/",
]  # fmt: skip


@pytest.mark.parametrize("url", BAD_URLS)
def test_an_address_that_may_not_be_called_is_not_saved(alice: User, alice_key: str, url: str) -> None:
    api = Api(alice_key)
    answer = api.post(HOOKS, {"url": url})
    assert (answer.status_code, error(answer)["param"]) == (400, "url"), answer.content
    made = registered(alice)["id"]
    changed = send(api, "PATCH", f"{HOOKS}/{made}", {"url": url})
    assert changed.status_code == 400
    assert WebhookEndpoint.objects.get().url == URL


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://1.1.1.1:8443/x",
        "https://[2606:4700::1111]/x",
        "https://例子.测试/钩子",
    ],
)
def test_an_address_on_the_internet_is_saved(alice_key: str, url: str) -> None:
    answer = Api(alice_key).post(HOOKS, {"url": url})
    assert answer.status_code == 200, answer.content


def test_the_operator_may_vouch_for_an_inner_receiver(alice_key: str, settings: Any) -> None:
    settings.EGRESS_ALLOW = frozenset({"10.0.0.1:8080"})
    assert Api(alice_key).post(HOOKS, {"url": "http://10.0.0.1:8080/x"}).status_code == 200
    assert Api(alice_key).post(HOOKS, {"url": "http://10.0.0.1:8081/x"}).status_code == 400


def test_the_eleventh_is_refused(alice: User, alice_key: str) -> None:
    for _ in range(10):
        registered(alice)
    answer = Api(alice_key).post(HOOKS, {"url": URL})
    assert (answer.status_code, error(answer)["code"]) == (409, "wrong_state")
    services.remove_webhook(WebhookEndpoint.objects.first())  # type: ignore[arg-type]
    assert Api(alice_key).post(HOOKS, {"url": URL}).status_code == 200


def test_a_change_keeps_what_is_left_out(alice: User, alice_key: str) -> None:
    made = registered(alice)["id"]
    path = f"{HOOKS}/{made}"
    api = Api(alice_key)
    body = send(api, "PATCH", path, {"events": ["generation.failed", "generation.failed"]}).json()
    assert (body["url"], body["events"]) == (URL, ["generation.failed"])
    body = send(api, "PATCH", path, {"name": "x", "url": "https://example.org/"}).json()
    assert (body["url"], body["name"], body["events"]) == ("https://example.org/", "x", ["generation.failed"])
    refused = send(api, "PATCH", path, {"enabled": "yes"})
    assert (refused.status_code, error(refused)["param"]) == (400, "enabled")


def test_it_can_be_paused_and_resumed(alice: User, alice_key: str) -> None:
    path = f"{HOOKS}/{registered(alice)['id']}"
    api = Api(alice_key)
    paused = send(api, "PATCH", path, {"enabled": False}).json()
    assert (paused["enabled"], paused["stopped_reason"]) == (False, "paused")
    answer = api.post(f"{path}/test")
    assert (answer.status_code, error(answer)["code"]) == (409, "wrong_state")
    resumed = send(api, "PATCH", path, {"enabled": True}).json()
    assert (resumed["enabled"], resumed["stopped_reason"]) == (True, None)
    assert api.post(f"{path}/test").status_code == 200


def test_a_new_secret_is_shown_once_and_the_old_ones_end_is_told(alice: User, alice_key: str) -> None:
    made = registered(alice)["id"]
    old = WebhookEndpoint.objects.get().secret
    rotated = Api(alice_key).post(f"{HOOKS}/{made}/rotate").json()
    assert rotated["secret"] not in (old, "")
    assert 23.9 < (rotated["old_secret_until"] - rotated["created_at"]) / 3600 < 24.1
    at_once = Api(alice_key).post(f"{HOOKS}/{made}/rotate", {"keep_old": False}).json()
    assert at_once["old_secret_until"] is None
    refused = Api(alice_key).post(f"{HOOKS}/{made}/rotate", {"keep_old": 1})
    assert error(refused)["param"] == "keep_old"


def test_removing_it_is_answered(alice: User, alice_key: str) -> None:
    made = registered(alice)["id"]
    answer = send(Api(alice_key), "DELETE", f"{HOOKS}/{made}")
    assert answer.json() == {"id": str(made), "object": "webhook", "deleted": True}
    assert Api(alice_key).get(HOOKS).json()["data"] == []


# --- the log ----------------------------------------------------------------------------


def test_the_log_tells_every_try(alice: User, alice_key: str, listen: Listen) -> None:
    listen(alice, lambda heard: (503, b"out for lunch") if heard.nth == 1 else 200)
    generation = canceled(alice)
    work_off()
    endpoint = WebhookEndpoint.objects.get()
    path = f"{HOOKS}/{endpoint.pk}/deliveries"
    (waiting,) = Api(alice_key).get(path).json()["data"]
    assert list(waiting) == DELIVERY
    assert (waiting["status"], waiting["event"], waiting["generation_id"]) == (
        "waiting",
        "generation.canceled",
        str(generation.pk),
    )
    (first,) = waiting["tries"]
    assert (first["number"], first["outcome"], first["status"], first["excerpt"]) == (
        1,
        "refused",
        503,
        "out for lunch",
    )
    assert first["ms"] >= 0
    assert 3 <= waiting["next_try_at"] - first["at"] <= 7
    answer = Api(alice_key).post(f"{path}/{waiting['id']}/replay")
    assert answer.status_code == 200
    work_off()
    read = Api(alice_key).get(f"{path}/{waiting['id']}").json()
    assert (read["status"], read["next_try_at"]) == ("delivered", None)
    assert [one["outcome"] for one in read["tries"]] == ["refused", "delivered"]
    assert Api(alice_key).get(f"{HOOKS}/{endpoint.pk}").json()["last_success_at"]


def test_the_log_has_pages_and_a_filter(alice: User, alice_key: str) -> None:
    endpoint = services.register_webhook(alice, url=URL)
    made = [str(services.send_test(endpoint).pk) for _ in range(5)][::-1]
    WebhookDelivery.objects.filter(pk=made[1]).update(status="failed", next_try_at=None)
    path = f"{HOOKS}/{endpoint.pk}/deliveries"
    api = Api(alice_key)
    first = api.get(f"{path}?limit=2").json()
    second = api.get(f"{path}?limit=9&after={first['last_id']}").json()
    assert [one["id"] for one in first["data"] + second["data"]] == made
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert [one["id"] for one in api.get(f"{path}?status=failed").json()["data"]] == [made[1]]
    for query, param in (("status=lost", "status"), ("limit=0", "limit"), ("after=x", "after")):
        answer = api.get(f"{path}?{query}")
        assert (answer.status_code, error(answer)["param"]) == (400, param)


def test_everything_given_up_is_sent_again(alice: User, alice_key: str) -> None:
    endpoint = services.register_webhook(alice, url=URL)
    for _ in range(3):
        services.send_test(endpoint)
    WebhookDelivery.objects.update(status="failed", next_try_at=None, tries=10)
    assert Api(alice_key).post(f"{HOOKS}/{endpoint.pk}/replay").json() == {"replayed": 3}
    assert WebhookDelivery.objects.filter(status="waiting", tries=0, next_try_at__lte=Now()).count() == 3


def test_every_answer_is_as_the_documents_say(alice: User, alice_key: str, listen: Listen) -> None:
    """Each key of each answer is declared, and each declared key is there."""
    listen(alice)
    canceled(alice)
    work_off()
    api = Api(alice_key)
    schemas = api.get("/api/schema?format=json").json()["components"]["schemas"]
    endpoint = WebhookEndpoint.objects.get()
    path = f"{HOOKS}/{endpoint.pk}"
    delivery = api.get(f"{path}/deliveries").json()["data"][0]
    for name, body in {
        "Webhook": api.get(path).json(),
        "WebhookSecret": api.post(f"{path}/rotate").json(),
        "WebhookDelivery": delivery,
        "WebhookTry": delivery["tries"][0],
        "WebhookDeliveryPage": api.get(f"{path}/deliveries").json(),
        "WebhookList": api.get(HOOKS).json(),
        "Replayed": api.post(f"{path}/replay").json(),
        "WebhookDeleted": send(api, "DELETE", path).json(),
    }.items():
        assert set(schemas[name]["properties"]) == set(body), name
