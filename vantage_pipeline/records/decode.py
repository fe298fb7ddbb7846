"""JSON bytes to Python values, exactly: decimals stay decimals, whole numbers stay whole.

msgspec decodes; what it finds malformed (a lone surrogate in one record, say) is tried once more with the
standard library, which takes such text, so that one bad record does not cost its page.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

import msgspec

from vantage_pipeline.errors import SourceProtocolError

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Decoded:
    """`clean` tells that no text in it can hold a NUL or a lone surrogate, which PostgreSQL cannot store."""

    value: Any
    clean: bool


def decode(body: bytes, *, where: str) -> Decoded:
    """Decode one response.

    Args:
        body: the response as UTF-8 JSON.
        where: what was asked, for the message.

    Raises:
        SourceProtocolError: it is not JSON, or nested beyond what a parser takes.
    """
    try:
        return Decoded(_decoder.decode(body), b"\\u0000" not in body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass
    try:
        value = json.loads(body.decode("utf-8"), parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        start = body[:60].decode("utf-8", "replace").replace("\n", " ")
        kind = "HTML" if start.lstrip().startswith("<") else "malformed or truncated JSON"
        raise SourceProtocolError(
            f"{where}: expected JSON, got {kind} ({len(body)} bytes, starting {start!r}); "
            f"try again later, and if it persists ask the API's support"
        ) from error
    return Decoded(value, False)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def encode(value: object) -> str:
    """JSON text of a decoded value; decimals as numbers with all their digits.

    UnicodeEncodeError on a lone surrogate.
    """
    return _encoder.encode(value).decode("utf-8")


def encode_lines(values: Sequence[object]) -> list[str]:
    """`encode` of each value."""
    # no line break but those between values: inside a text they are escaped
    return _encoder.encode_lines(values).decode("utf-8").split("\n")[:-1]


def encode_raw(record: object) -> str:
    """JSON text that can hold any record, lone surrogates and NULs as escapes: for the quarantine."""
    try:
        text = encode(record)
    except (UnicodeEncodeError, msgspec.EncodeError, RecursionError):
        text = json.dumps(_plain(record), ensure_ascii=True)
    return text


def _plain(value: object) -> object:
    """Decimals as the nearest that json can write, for records that nothing else can."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Decimal) else value


def depth(value: object, limit: int) -> int:
    """How deep lists and objects nest in `value`; stops counting at `limit` + 1."""
    level, layer = 0, [value]
    while layer and level <= limit:
        inner: list[object] = []
        for item in layer:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        containers = any(isinstance(item, (dict, list)) for item in layer)
        level += containers
        layer = inner
        if not containers:
            break
    return level


def has_unstorable_text(value: object) -> bool:
    """Whether any text in `value`, keys included, holds a NUL or a lone surrogate."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if "\x00" in item:
                return True
            try:
                item.encode("utf-8")
            except UnicodeEncodeError:
                return True
        elif isinstance(item, dict):
            stack.extend(item.keys())
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return False
