"""Forged keys: the checksum tells them, so that nobody can keep the database busy with guesses."""

from __future__ import annotations

import random
import string

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import keys
from accounts import services as people

REQUESTS = 10_000
ALPHABET = string.ascii_letters + string.digits
ADDRESSES = ("/v1/models", "/v1/quota", "/v1/video/generations", "/v1/videos", "/v1/batches", "/v1/webhooks")


def forgeries(many: int, seed: int) -> list[str]:
    """Keys that nobody was given: of our shape, a real one with one character changed, and rubbish."""
    dice = random.Random(seed)
    user = people.provision(f"forged-{seed}").user
    real = [people.make_key(user, label=str(number))[1] for number in range(5)]

    def changed() -> str:
        text = dice.choice(real)
        place = dice.randrange(len(keys.PREFIX), len(text))
        return text[:place] + dice.choice(ALPHABET.replace(text[place], "")) + text[place + 1 :]

    def shaped() -> str:
        text = keys.PREFIX + "".join(dice.choices(ALPHABET, k=keys.LOOKUP + keys.SECRET + keys.CHECKSUM))
        return text if not keys.well_formed(text) else shaped()

    def rubbish() -> str:
        return "".join(chr(dice.randrange(33, 256)) for _ in range(dice.randrange(0, 200)))

    return [dice.choice((changed, shaped, rubbish))() for _number in range(many)]


def refused(many: int, seed: int) -> int:
    """How many of so many requests were 401; asserts that none of them asked the database anything."""
    texts, client, count = forgeries(many, seed), Client(), 0
    dice = random.Random(seed)
    with CaptureQueriesContext(connection) as asked:
        for text in texts:
            method = dice.choice((client.get, client.post, client.delete))
            answer = method(dice.choice(ADDRESSES), headers={"authorization": f"Bearer {text}"})
            count += answer.status_code == 401
    assert not asked.captured_queries, asked.captured_queries[:3]
    return count


def run(number: int, seed: int) -> str:
    """All of them, in one process."""
    count = refused(REQUESTS, seed)
    assert count == REQUESTS
    return f"{count} requests refused, 0 queries"
