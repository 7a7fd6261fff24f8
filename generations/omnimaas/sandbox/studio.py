"""Makes the films in the background: pictures are fetched by a few threads, films are made one at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

from PIL import Image

from . import pictures
from .render import Recipe, Stopped, render
from .scene import placeholder
from .store import Made, Store

log = logging.getLogger(__name__)
_FETCHERS = 4
_NEEDS_NO_FILM = ("fail", "stuck")
Work = SimpleQueue["Made | None"]


class Studio:
    """Two queues: pictures named by an address are fetched first, so that a slow one holds up no other film."""

    def __init__(self, store: Store, scale: float) -> None:
        self._store, self._scale = store, scale
        self._closing = threading.Event()
        self._fetched: dict[str, list[Image.Image]] = {}
        self._broken: set[str] = set()
        self._to_fetch: Work = SimpleQueue()
        self._to_film: Work = SimpleQueue()
        self._threads = [self._thread(self._to_fetch, self._fetch) for _ in range(_FETCHERS)]
        self._threads.append(self._thread(self._to_film, self._film))
        for made in list(store.made.values()):
            self.order(made)

    def order(self, made: Made) -> None:
        """See that the film of ``made`` exists some time; it is not made twice."""
        if any(word in made.words for word in _NEEDS_NO_FILM) or self.ready(made):
            return
        fetching = any(picture.url for picture in made.order.pictures)
        (self._to_fetch if fetching else self._to_film).put(made)

    def ready(self, made: Made) -> bool:
        """Whether the film can be fetched."""
        return self._store.film(made.id).exists()

    def broken(self, made: Made) -> bool:
        """Whether making the film failed; the log says why."""
        return made.id in self._broken

    def close(self) -> None:
        """Give up what is in the making; it is made anew at the next start."""
        self._closing.set()
        for _ in range(_FETCHERS):
            self._to_fetch.put(None)
        self._to_film.put(None)
        for thread in self._threads:
            thread.join(timeout=1)

    def _thread(self, work: Work, do: Callable[[Made], None]) -> threading.Thread:
        thread = threading.Thread(target=self._run, args=(work, do), daemon=True, name="sandbox-studio")
        thread.start()
        return thread

    def _run(self, work: Work, do: Callable[[Made], None]) -> None:
        while (made := work.get()) is not None and not self._closing.is_set():
            try:
                do(made)
            except Stopped:
                return
            except Exception:  # one film that cannot be made must not end the making of all others
                log.exception("the film of %s could not be made", made.id)
                self._broken.add(made.id)

    def _fetch(self, made: Made) -> None:
        found = []
        for picture in made.order.pictures:
            if picture.url:
                found.append(pictures.fetch(picture.url) or placeholder((1280, 720)))
            else:
                found.append(pictures.opened(self._store.bytes_of(picture)))
        self._fetched[made.id] = found
        self._to_film.put(made)

    def _film(self, made: Made) -> None:
        frames = self._fetched.pop(made.id, None)
        if frames is None:
            frames = [pictures.opened(self._store.bytes_of(picture)) for picture in made.order.pictures]
        order, wrong = made.order, "wrong-ratio" in made.words
        recipe = Recipe(
            prompt=order.prompt,
            model=order.model,
            mode=order.mode,
            ratio=order.ratio if not wrong else "16:9" if order.ratio == "9:16" else "9:16",
            seconds=order.seconds,
            sound=order.sound,
            first=frames[0] if frames and not wrong else None,
            last=frames[1] if len(frames) > 1 else None,
            scale=self._scale,
        )
        render(recipe, self._store.film(made.id), self._closing.is_set)
