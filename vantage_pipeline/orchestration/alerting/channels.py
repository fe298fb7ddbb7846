"""The alert channels of ``ALERT_URLS``, through Apprise. One that fails is named with its reason, never its address."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from vantage_pipeline.settings import Settings

_REASON_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Channel:
    """One URL of ``ALERT_URLS``. Its name is the URL's scheme, and a number where several share it."""

    name: str
    address: str = field(repr=False)


def channels_of(settings: Settings) -> tuple[Channel, ...]:
    """The channels that are set, in their order."""
    addresses = settings.alert_urls.get_secret_value().split() if settings.alert_urls else []
    seen: Counter[str] = Counter()
    found = []
    for address in addresses:
        scheme, separator, _ = address.partition("://")
        kind = scheme.lower() if separator and scheme.isalnum() else "address"
        seen[kind] += 1
        found.append(Channel(kind if seen[kind] == 1 else f"{kind} {seen[kind]}", address))
    return tuple(found)


def send(channel: Channel, settings: Settings, title: str, body: str) -> str:
    """Send a message by one channel; gives what went wrong, empty when nothing did. Raises nothing."""
    import apprise  # 0.3 s that only those who send pay

    try:
        with _reasons() as told:
            sender = apprise.Apprise()
            if not sender.add(channel.address):
                return f"{channel.name} in ALERT_URLS is not an Apprise URL"
            taken = sender.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT)
    except Exception as error:  # noqa: BLE001 a plugin may raise anything, and no sensor may fail for it
        return settings.mask(f"{type(error).__name__}: {error}")[:_REASON_LENGTH]
    if taken:
        return ""
    return settings.mask(told[0] if told else "it did not take the message")[:_REASON_LENGTH]


class _Listener(logging.Handler):
    def __init__(self, told: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        self._told.append(record.getMessage())


@contextmanager
def _reasons() -> Iterator[list[str]]:
    """What Apprise says of a failure, kept from the log, since it may name the address."""
    log = logging.getLogger("apprise")
    told: list[str] = []
    listener = _Listener(told)
    propagates, log.propagate = log.propagate, False
    log.addHandler(listener)
    try:
        yield told
    finally:
        log.removeHandler(listener)
        log.propagate = propagates
