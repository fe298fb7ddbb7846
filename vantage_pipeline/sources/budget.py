"""A request budget per minute, shared by all threads and processes of a machine.

A token bucket in a small file, taken under a file lock: nothing to start, nothing left behind by a crash.
"""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

from filelock import FileLock


class RequestBudget:
    """Grants `per_minute` requests a minute, with a burst of at most one second's worth (at least one).

    Args:
        folder: where the bucket's file lies; processes with the same folder and `name` share it.
        name: whose budget it is, for instance the API's base URL.
        per_minute: requests a minute, margin already taken off.
    """

    def __init__(self, folder: Path, name: str, per_minute: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"budget-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        self._file = folder / f"{stem}.txt"
        self._lock = FileLock(folder / f"{stem}.lock")
        self._rate = per_minute / 60
        self._burst = max(1.0, self._rate)

    def take(self, stop: threading.Event | None = None) -> float:
        """Wait for one request's turn; gives the seconds waited. `stop` ends the wait early."""
        with self._lock:
            now = time.time()
            tokens, at = self._read(now)
            tokens = min(self._burst, tokens + max(0.0, now - at) * self._rate) - 1
            self._file.write_text(f"{tokens!r} {now!r}")
        wait = max(0.0, -tokens / self._rate)
        if wait:
            (stop or threading.Event()).wait(wait)
        return wait

    def _read(self, now: float) -> tuple[float, float]:
        try:
            tokens, at = (float(part) for part in self._file.read_text().split())
        except (OSError, ValueError):
            return self._burst, now
        return (tokens, at) if at <= now else (tokens, now)
