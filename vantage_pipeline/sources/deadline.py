"""A bound on one whole response, its head included: nobody keeps us waiting by a byte now and then.

requests and urllib3 bound the wait for a next byte only; a peer that sends one in time, for ever, would never end.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from functools import partial
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class _BoundedReader(io.RawIOBase):
    """What comes from a socket until the deadline."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket, seconds: float) -> None:
        self._raw, self._connection, self._seconds = raw, connection, seconds
        self._deadline = time.monotonic() + seconds
        self._pause = connection.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"the response took longer than {self._seconds:g} s")
        self._connection.settimeout(left if self._pause is None else min(self._pause, left))
        try:
            return self._raw.readinto(buffer)
        except TimeoutError:
            if self._pause is None or left < self._pause:
                raise TimeoutError(f"the response took longer than {self._seconds:g} s") from None
            raise

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    """A response that must have come whole within so many seconds."""

    def __init__(self, sock: socket.socket, *args: Any, seconds: float, **named: Any) -> None:
        super().__init__(sock, *args, **named)
        self.fp = io.BufferedReader(_BoundedReader(self.fp.detach(), sock, seconds))


class BoundedAdapter(HTTPAdapter):
    """An adapter whose responses come whole within `seconds`, or end in a TimeoutError."""

    def __init__(self, seconds: float, **named: Any) -> None:
        self._seconds = seconds
        super().__init__(**named)

    def init_poolmanager(self, *args: Any, **named: Any) -> None:
        super().init_poolmanager(*args, **named)
        bounded = partial(_BoundedResponse, seconds=self._seconds)

        class Plain(HTTPConnection):
            response_class = staticmethod(bounded)  # type: ignore[assignment]

        class Secure(HTTPSConnection):
            response_class = staticmethod(bounded)  # type: ignore[assignment]

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
