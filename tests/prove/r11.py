"""R11: however often a call comes under one key, one thing is made; under another body nothing is."""

from __future__ import annotations

import json
import random
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from accounts import services as people
from accounts.invariants import ALL
from accounts.invariants import INVARIANTS as OF_ACCOUNTS
from accounts.models import Wallet
from generations.invariants import INVARIANTS as OF_GENERATIONS
from generations.models import Generation, KeptAnswer
from tests.prove.web import gunicorn

PRICE = 15
KEYS, PARALLEL, CHANGED = 200, 25, 500
REQUEST = {"model": "kling-v2-5-turbo-std", "prompt": "a lighthouse in the rain", "duration": 5}
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Answer(NamedTuple):
    status: int
    body: dict[str, Any]
    replayed: bool


class Caller:
    """A program with a key of ours that names its calls."""

    def __init__(self, site: str, key: str) -> None:
        self.url, self.key = f"{site}/v1/video/generations", key

    def post(self, call: tuple[str, dict[str, Any]]) -> Answer:
        name, body = call
        headers = {
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            "Idempotency-Key": name,
        }
        request = urllib.request.Request(self.url, data=json.dumps(body).encode(), headers=headers)
        try:
            with DIRECT.open(request, timeout=120) as answer:
                replayed = answer.headers["Idempotent-Replayed"] == "true"
                return Answer(answer.status, json.load(answer), replayed)
        except urllib.error.HTTPError as refusal:
            return Answer(refusal.code, json.load(refusal), replayed=False)

    def all(self, calls: Sequence[tuple[str, dict[str, Any]]], *, threads: int) -> list[Answer]:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self.post, calls))


def duplicates(*, keys: int, parallel: int, changed: int, dice: random.Random) -> str:
    """``keys`` calls come ``parallel`` times each, all at once; then ``changed`` come with another body."""
    name = f"caller-{keys}"
    user = people.provision(name, password=name * 3, credits=PRICE * keys * 2).user
    _key, text = people.make_key(user, label="r11")
    names = [str(uuid.UUID(int=dice.getrandbits(128), version=4)) for _ in range(keys)]
    # A few keys at a time, each with all of its duplicates, so that these do meet.
    calls = [(key, REQUEST) for at in range(0, keys, 4) for key in names[at : at + 4] * parallel]
    with gunicorn() as site:
        caller = Caller(site, text)
        answers = caller.all(calls, threads=parallel * 4)
        others = [(dice.choice(names), REQUEST | {"prompt": f"a storm {n}"}) for n in range(changed)]
        refused = caller.all(others, threads=16)

    assert {answer.status for answer in answers} == {200}, Counter(answer.status for answer in answers)
    said = {
        key: {json.dumps(a.body) for (k, _body), a in zip(calls, answers, strict=True) if k == key}
        for key in names
    }
    assert all(len(bodies) == 1 for bodies in said.values()), "duplicates were answered differently"
    assert sum(not answer.replayed for answer in answers) == keys
    assert (
        Generation.objects.filter(user=user).count() == KeptAnswer.objects.filter(user=user).count() == keys
    )
    assert {json.loads(body)["id"] for (body,) in said.values()} == {
        str(pk) for pk in Generation.objects.filter(user=user).values_list("pk", flat=True)
    }
    assert [(a.status, a.body["error"]["code"]) for a in refused] == [
        (422, "idempotency_key_reused")
    ] * changed
    assert Wallet.objects.get(quota__user=user).reserved == PRICE * keys
    for invariant in (*OF_ACCOUNTS, *OF_GENERATIONS):
        assert invariant.breaches(ALL) == [], invariant.name
    return f"{keys * parallel} calls under {keys} keys: {keys} generations; {changed} other bodies: {changed} × 422"


def run(number: int, seed: int) -> str:
    return duplicates(keys=KEYS, parallel=PARALLEL, changed=CHANGED, dice=random.Random(seed))
