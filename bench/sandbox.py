"""The sandbox's Bubble app in a process of its own, which tells when each request came."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any


@dataclass
class BubbleApp:
    """An app that serves. `environment` points the project at it."""

    environment: Mapping[str, str]
    ids: Mapping[str, list[str]]
    """The ids of each type."""
    _pipe: Any

    def taken(self) -> list[tuple[float, str]]:
        """Time and path of each request since this was last asked."""
        self._pipe.send(None)
        answered: list[tuple[float, str]] = self._pipe.recv()
        return answered

    def delay(self, seconds: float) -> None:
        """Hold each answer back from now on."""
        self._pipe.send(seconds)
        self._pipe.recv()


def _serve(pipe: Connection, scale: float) -> None:
    from vantage_pipeline.sandbox import Sandbox

    asked: list[tuple[float, str]] = []
    with contextlib.suppress(KeyboardInterrupt, EOFError), Sandbox.start(
        accounts=2, funds=1, cash_flows=1, bubble_scale=scale
    ) as sandbox:  # fmt: skip
        sandbox.on_request.append(lambda path: asked.append((time.time(), path)))
        pipe.send((sandbox.environment(), {name: list(found) for name, found in sandbox.bubble.records.items()}))
        while True:
            wanted = pipe.recv()
            if wanted is not None:
                sandbox.delay = wanted
            pipe.send(asked[:])
            if wanted is None:
                asked.clear()


@contextlib.contextmanager
def bubble_app(scale: float) -> Iterator[BubbleApp]:
    """Serve until the block ends; at a scale of 1 the app holds 30,006 records."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, scale), daemon=True)
    process.start()
    theirs.close()
    try:
        environment, ids = ours.recv()
        kept = {name: value for name, value in environment.items() if name.startswith("BUBBLE_")}
        yield BubbleApp(kept, ids, ours)
    finally:
        process.terminate()
        process.join()
