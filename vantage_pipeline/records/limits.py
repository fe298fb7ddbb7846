"""What one record may be: its size, how deep it nests, and that PostgreSQL can store its texts."""

from __future__ import annotations

from dataclasses import dataclass

from vantage_pipeline.records.decode import depth, encode_raw, has_unstorable_text
from vantage_pipeline.records.model import Record
from vantage_pipeline.records.plans import Fields


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one record: encoded bytes and nesting of lists and objects."""

    record_bytes: int = 8 * 2**20
    nesting: int = 32


@dataclass(frozen=True, slots=True)
class Broken:
    """A limit that a record breaks, in the words of a rejection."""

    code: str
    field: str
    message: str


def beyond(fields: Fields, limits: Limits, *, clean: bool, received: int | None) -> dict[int, Broken]:
    """The records that break a limit, by their place.

    Args:
        fields: the records to look at.
        limits: the bounds.
        clean: whether no text can hold what PostgreSQL cannot store.
        received: bytes of the largest response that any of them came in, None where not known.
    """
    # written anew, a record takes at most a third more than it came in: an exponent gains a sign
    small = received is not None and 2 * received <= limits.record_bytes
    if clean and small:
        kinds = fields.all_kinds()
        if list not in kinds and dict not in kinds:
            return {}
    found = {}
    for index, record in enumerate(fields.records):
        broken = _broken(record, limits, clean=clean, small=small)
        if broken is not None:
            found[index] = broken
    return found


def _broken(record: Record, limits: Limits, *, clean: bool, small: bool) -> Broken | None:
    size = 0
    for name, value in record.items():
        kind = type(value)
        if kind is str:
            size += len(value)
        elif kind is list or kind is dict:
            if depth(value, limits.nesting) > limits.nesting:
                return Broken("TOO_DEEP", name, f"expected at most {limits.nesting} levels of nesting")
            size += 0 if small else len(encode_raw(value))
    if size > limits.record_bytes:
        return Broken("TOO_LARGE", "", f"expected at most {limits.record_bytes} bytes a record, got {size}")
    if not clean and has_unstorable_text(record):
        field = next((name for name, value in record.items() if has_unstorable_text({name: value})), "")
        return Broken(
            "UNSTORABLE_TEXT", field, "the text holds a NUL or a lone surrogate, which PostgreSQL cannot store"
        )
    return None
