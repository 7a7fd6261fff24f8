"""Who calls in ``benchmarks.api``, and what they have. Run in ``manage.py shell``; prints JSON."""

from __future__ import annotations

import json

from django.db import connection

from accounts import services as people
from generations.models import Generation
from tests.api import finished
from tests.makers import ask, submitted

CREDITS = 1_000_000_000
ROWS = """
INSERT INTO generations_generation (id, user_id, visibility, derivation, created_at, finished_at, model, prompt,
  seconds, size, mode, sound, metadata, price, price_version, request_digest, status, progress, error_code,
  error_message, attempts, upstream_id, upstream_request_id, upstream_reply, result_url, polls, missing_count,
  store_attempts)
SELECT gen_random_uuid(), g.user_id, 'private', '', g.created_at - n * interval '7 seconds',
       g.created_at - n * interval '7 seconds' + interval '90 seconds', g.model, g.prompt, g.seconds, g.size, g.mode,
       false, '{}', g.price, g.price_version, '', 'succeeded', 100, '', '', 1, 'up-' || n, '', '', '', 9, 0, 0
  FROM generations_generation g, generate_series(1, %s) n WHERE g.id = %s
"""


def fill(users: int, each: int, ready: int) -> None:
    """So many people with a key and so many generations each, of which the first few are ready; a line each."""
    for number in range(users):
        made = people.provision(f"bench{number}", credits=CREDITS, api_key="bench")
        ids = [(finished if place < ready else submitted)(made.user).pk for place in range(each)]
        print(json.dumps({"key": made.api_key, "ids": [str(id) for id in ids]}))


def remember(rows: int, middle: int) -> None:
    """One person with a key and a history of so many; the id of the row in the ``middle``, from the newest."""
    made = people.provision("bench", credits=CREDITS, api_key="bench")
    first = ask(made.user)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(ROWS, [rows - 1, first.pk])
        cursor.execute("VACUUM ANALYZE")
    row = Generation.objects.newest_first()[middle]
    print(json.dumps({"key": made.api_key, "middle": str(row.pk)}))
