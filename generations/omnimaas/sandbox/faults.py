"""Orders for the next few requests, given over ``/_faults``: for tests that cannot put a word into the prompt."""

from __future__ import annotations

import threading
from typing import Any

from .wire import refuse
from .words import WORDS, Stage, checked


class Faults:
    """A line of orders; each request takes the oldest order of its stage."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: list[dict[str, Any]] = []

    def add(self, orders: object) -> None:
        """Add one order or a list: ``{"word": "429", "value": "", "times": 3}``. Raises ``Refusal``."""
        accepted = []
        for order in orders if isinstance(orders, list) else [orders]:
            if not isinstance(order, dict) or order.get("word") not in WORDS:
                refuse(f"Each order needs a word, one of {', '.join(WORDS)}.")
            times = order.get("times", 1)
            if type(times) is not int or times < 1:
                refuse("times must be a positive integer.")
            word = WORDS[order["word"]]
            value = checked(word, str(order.get("value", "")))
            accepted.append({"word": word.name, "value": value, "times": times})
        with self._lock:
            self._orders.extend(accepted)

    def left(self) -> list[dict[str, Any]]:
        """Return the orders that were not taken yet."""
        with self._lock:
            return [dict(order) for order in self._orders]

    def clear(self) -> None:
        """Forget all orders."""
        with self._lock:
            self._orders.clear()

    def take(self, stage: Stage) -> dict[str, str]:
        """Return the order for this request as ``{word: value}``, or nothing."""
        with self._lock:
            for order in self._orders:
                if WORDS[order["word"]].stage == stage:
                    order["times"] -= 1
                    if not order["times"]:
                        self._orders.remove(order)
                    return {order["word"]: order["value"]}
        return {}
