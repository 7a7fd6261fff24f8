"""The same statements behind FastAPI and asyncpg: what two calls of ``/v1`` cost without Django.

Status and create, with the platform's own tables, key check, rate limits, locks, JSON and signed link, and
without all else that the platform does around them (languages, security headers, idempotency, teams' rules).

    DATABASE_URL=… SECRET_KEY=… uvicorn app:app --workers 2
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import time
import uuid
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import asyncpg
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PRICE, LIMIT = 15, 1_000_000  # credits of the one model; calls a minute
EACH = 60_000_000 // LIMIT
# A signed task as django-q2 writes it: its text differs, its length and its cost to the database do not.
WAKE_UP = "gAWV9gAAAAAAAAB9lCiMAmlklIwg" + "A" * 360

OPENED = """k.lookup = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > statement_timestamp())
   AND (k.digest = $2 OR k.old_digest = $2 AND k.old_until > statement_timestamp())"""
NOTED = f"""WITH noted AS (
  UPDATE accounts_apikey k SET last_used_at = statement_timestamp(),
         old_used_at = CASE WHEN k.digest = $2 THEN k.old_used_at ELSE statement_timestamp() END
   WHERE {OPENED} AND coalesce(CASE WHEN k.digest = $2 THEN k.last_used_at ELSE k.old_used_at END
                               < statement_timestamp() - interval '1 minute', true)
)"""
KEY = f"""{NOTED}
SELECT k.id AS key_id, k.user_id, k.label, k.lookup, k.scopes, k.model_names, k.most_open,
       u.username, u.email, u.is_active, u.role, u.models_allowed, u.language, statement_timestamp() AS now
  FROM accounts_apikey k JOIN accounts_user u ON u.id = k.user_id
 WHERE {OPENED}
"""
STATUS = f"""{NOTED}
SELECT g.id, g.user_id, g.created_at, g.batch_id, g.batch_line, g.model, g.seconds, g.size, g.mode, g.price, g.status,
       g.progress, g.error_code, g.error_message, g.finished_at, g.submitted_at,
       coalesce((SELECT string_agg(t.name, ',') FROM generations_generation_tags gt
                   JOIN generations_tag t ON t.id = gt.tag_id
                  WHERE gt.generation_id = g.id), '') AS tag_names,
       k.id AS key_id, k.user_id, k.lookup, k.scopes, u.is_active
  FROM accounts_apikey k
  JOIN accounts_user u ON u.id = k.user_id
  JOIN generations_generation g ON g.user_id = u.id
 WHERE g.id = $3 AND g.deleted_at IS NULL AND {OPENED}
"""
RATE = """
UPDATE accounts_apikey
   SET creates_whole_at = CASE WHEN creates_whole_at > $1 THEN creates_whole_at ELSE $1 END + $2
 WHERE id = $3 AND creates_whole_at <= $4 RETURNING creates_whole_at
"""
TEAMS = """
SELECT t.* FROM accounts_team t JOIN accounts_team_members m ON m.team_id = t.id
 WHERE m.user_id = $1 ORDER BY t.name
"""
WALLETS = """
SELECT q.*, w.id AS open_id, w.ends_at AS open_until, statement_timestamp() AS now,
       EXISTS (SELECT 1 FROM accounts_topup u JOIN accounts_transfer t ON t.id = u.grant_id
                WHERE u.ends_at <= statement_timestamp() AND u.last_seq IS NULL AND t.wallet_id = w.id) AS lapsed
  FROM accounts_quota q LEFT JOIN accounts_wallet w ON w.quota_id = q.id AND w.closed_at IS NULL
 WHERE (q.user_id = $1 OR q.api_key_id = $2) AND q.lifted_at IS NULL ORDER BY q.id
"""
GENERATION = """
WITH made AS (
  INSERT INTO generations_generation (id, user_id, api_key_id, visibility, derivation, created_at, model, prompt,
    seconds, size, mode, sound, metadata, price, price_version, request_digest, status, next_check_at, progress,
    error_code, error_message, give_up_at, attempts, upstream_request_id, upstream_reply, result_url, polls,
    missing_count, store_attempts)
  VALUES ($1, $2, $3, 'private', '', $4, $5, $6, $7, $8, 'std', false, '{}', $9, '2026-11', $10, 'queued', $4, 0,
    '', '', $11, 0, '', '', '', 0, 0, 0)
  RETURNING id
), said AS (
  INSERT INTO generations_event (generation_id, at, from_status, to_status, note, actor_id, detail)
  VALUES ($1, $4, '', 'queued', '', $2, '{}') RETURNING id
)
SELECT (SELECT id FROM made), (SELECT id FROM said)
"""
TASK = "INSERT INTO django_q_ormq (key, payload, lock) VALUES ('kling', $1, $2) RETURNING id"
RESERVE = """
UPDATE accounts_wallet SET version = version + 1, available = available - $2, reserved = reserved + $2
 WHERE id = $1 AND available >= $2 AND closed_at IS NULL RETURNING version, available
"""
TRANSFER = """
INSERT INTO accounts_transfer (wallet_id, seq, kind, amount, available_after, generation_id, reason, created_at)
VALUES ($1, $2, 'reserve', $3, $4, $5, '', $6) RETURNING id
"""


@asynccontextmanager
async def pooled(app: FastAPI) -> AsyncIterator[None]:
    """Sixteen kept lines for each process: as many as the platform's processes have."""
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=16, max_size=16) as app.state.pool:
        yield


app = FastAPI(lifespan=pooled)
calls: dict[str, int] = {}
lock = asyncio.Lock()


class Asked(BaseModel):
    """What this rival takes: one model, words only."""

    model: Literal["kling-v2-5-turbo-std"]
    prompt: str = Field(min_length=1, max_length=2500)
    duration: Literal[5, 10] = 5
    size: Literal["16:9", "1:1", "9:16"] = "16:9"


def checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, rest = divmod(number, 62)
        digits = ALPHABET[rest] + digits
    return digits


def sent(authorization: Annotated[str, Header()]) -> tuple[str, bytes]:
    """What finds a key, and the digest that opens it."""
    text = authorization.removeprefix("Bearer ")
    if len(text) != 52 or not hmac.compare_digest(text[-6:], checksum(text[:-6])):
        raise HTTPException(401)
    return text[:14], hashlib.sha256(text.encode()).digest()


Sent = Annotated[tuple[str, bytes], Depends(sent)]


async def asked_once(statement: str, key: tuple[str, bytes], *more: object) -> asyncpg.Record:
    """The row of a living key."""
    row = await app.state.pool.fetchrow(statement, *key, *more)
    if row is None or not row["is_active"]:
        raise HTTPException(401)
    return row


async def key_of(key: Sent) -> asyncpg.Record:
    """The living key that was sent, with its owner."""
    return await asked_once(KEY, key)


Key = Annotated[asyncpg.Record, Depends(key_of)]


async def counted(key: asyncpg.Record) -> None:
    """One call more of this key, in this process."""
    now = time.monotonic_ns() // 1000
    async with lock:
        ahead = max(0, calls.get(key["lookup"], 0) - now)
        if ahead > EACH * (LIMIT - 1):
            raise HTTPException(429)
        calls[key["lookup"]] = now + ahead + EACH


def link(id: uuid.UUID) -> str:
    expires = int(time.time()) + 86_400
    secret = hashlib.sha256(b"links" + os.environ["SECRET_KEY"].encode()).digest()
    made = hmac.digest(secret, f"{id}:{expires}".encode(), "sha256")
    signature = base64.urlsafe_b64encode(made).rstrip(b"=").decode()
    return f"http://127.0.0.1:8000/v1/video/generations/{id}/content?expires={expires}&sig={signature}"


@app.get("/v1/video/generations/{id}")
async def read(id: uuid.UUID, key: Sent) -> dict:
    row = await asked_once(STATUS, key, id)
    if "read" not in json.loads(row["scopes"]):
        raise HTTPException(403)
    await counted(row)
    done, failed = row["status"] == "succeeded", row["status"] in ("failed", "canceled")
    video = {
        "id": str(id),
        "task_id": str(id),
        "object": "video",
        "model": row["model"],
        "created_at": int(row["created_at"].timestamp()),
        "status": "succeeded" if done else "failed" if failed else "processing",
        "progress": 100 if done else min(row["progress"], 99),
        "state": row["status"],
        "seconds": row["seconds"],
        "size": row["size"],
        "cost": 0 if failed else row["price"],
    }
    if done:
        video |= {"completed_at": int(row["finished_at"].timestamp()), "url": link(id)}
    elif not failed:
        empty = {"position": None, "eta_seconds": None, "eta_seconds_at_most": None}
        video["queue"] = empty | {"paused": False}
    if row["tag_names"]:
        video["tags"] = sorted(row["tag_names"].split(","))
    return video


@app.post("/v1/video/generations")
async def create(asked: Asked, key: Key) -> dict:
    if "create" not in json.loads(key["scopes"]):
        raise HTTPException(403)
    digest = hashlib.sha256(asked.model_dump_json().encode()).hexdigest()
    user, now, id = key["user_id"], datetime.now(UTC), uuid.uuid4()
    moment = int(key["now"].timestamp() * 1_000_000)
    async with app.state.pool.acquire() as line:
        if not await line.fetch(RATE, moment, EACH, key["key_id"], moment + EACH * (LIMIT - 1)):
            raise HTTPException(429)
        await line.fetch(TEAMS, user)
        async with line.transaction():
            wallets = sorted(row["open_id"] for row in await line.fetch(WALLETS, user, key["key_id"]))
            what = (asked.model, asked.prompt, asked.duration, asked.size, PRICE, digest)
            await line.fetchrow(GENERATION, id, user, key["key_id"], now, *what, now + timedelta(days=1))
            await line.fetchval(TASK, WAKE_UP, now)
            for wallet in wallets:
                moved = await line.fetchrow(RESERVE, wallet, PRICE)
                if moved is None:
                    raise HTTPException(402)
                await line.fetchval(TRANSFER, wallet, moved["version"], PRICE, moved["available"], id, now)
    return {
        "id": str(id),
        "task_id": str(id),
        "object": "video",
        "model": asked.model,
        "created_at": int(now.timestamp()),
        "status": "processing",
        "progress": 0,
        "state": "queued",
    }
