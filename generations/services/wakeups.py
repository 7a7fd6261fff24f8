"""Wake-ups: one row in the queue, written in the caller's transaction. Waking twice is harmless."""

from __future__ import annotations

import uuid

from django_q.tasks import async_task


def wake_dispatch() -> None:
    """Something may be sent."""
    async_task("generations.tasks.dispatch")


def wake_store(generation_id: uuid.UUID) -> None:
    """A video may be copied."""
    async_task("generations.tasks.store", str(generation_id))


def wake_confirm(generation_id: uuid.UUID) -> None:
    """Somebody wishes an id to be asked about."""
    async_task("generations.tasks.confirm", str(generation_id))
